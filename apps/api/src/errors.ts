import { type AppError, ERRORS, type ErrorCode } from '@fana/core/errors.ts';
import type { ContentfulStatusCode } from 'hono/utils/http-status';

/** The one place where a code becomes a status: a code without one does not compile. */
export const STATUS = {
  invalid_json: 400,
  invalid_request: 400,
  unsupported_parameter: 400,
  payload_too_large: 413,
  unsupported_media_type: 415,
  invalid_url: 400,
  fetch_failed: 400,
  model_not_found: 400,
  model_not_available: 400,
  model_type_mismatch: 400,
  not_found: 404,
  method_not_allowed: 405,
  invalid_api_key: 401,
  insufficient_scope: 403,
  invalid_signature: 403,
  idempotency_key_reused: 422,
  idempotency_in_progress: 409,
  job_running: 409,
  job_not_cancellable: 409,
  job_not_retryable: 409,
  rate_limit_exceeded: 429,
  image_unreadable: 400,
  deadline_exceeded: 504,
  attempts_exhausted: 502,
  unknown_outcome: 502,
  cancelled: 409,
  still_running: 503,
  lease_lost: 500,
  result_not_stored: 500,
  storage_error: 503,
  provider_rate_limited: 429,
  provider_overloaded: 503,
  provider_unavailable: 502,
  provider_quota_exhausted: 429,
  provider_refused: 400,
  provider_bad_request: 400,
  provider_authentication: 502,
  provider_model_missing: 404,
  provider_bad_response: 502,
  context_too_long: 400,
  outcome_unknown: 502,
  unavailable: 503,
  internal_error: 500,
} as const satisfies Record<ErrorCode, ContentfulStatusCode>;

export type ErrorBody = { error: { message: string; type: string; code: ErrorCode; param: string | null }; request_id: string };

/** OpenAI's error shape with our request id. */
export const errorBody = (error: AppError, requestId: string): ErrorBody => ({
  error: { message: error.message, type: ERRORS[error.code].type, code: error.code, param: error.param ?? null },
  request_id: requestId,
});

/** `Retry-After` (seconds) where waiting helps, `x-should-retry: false` where it never does, and what a 401 asks for (RFC 9110 11.6.1). */
export const errorHeaders = (error: AppError): Record<string, string> => {
  const status = STATUS[error.code];
  const headers: Record<string, string> = {};
  if (status === 429 || status === 503) headers['retry-after'] = String(Math.max(1, Math.ceil((error.retryAfterMs ?? 1000) / 1000)));
  if (status === 401) headers['www-authenticate'] = 'Bearer';
  if (error.code === 'provider_refused' || error.code === 'provider_quota_exhausted') headers['x-should-retry'] = 'false';
  return headers;
};
