import { STATUS } from '@fana/core/error-status.ts';
import { type AppError, ERRORS, type ErrorCode } from '@fana/core/errors.ts';

export type ErrorBody = { error: { message: string; type: string; code: ErrorCode; param: string | null }; request_id: string };

/** OpenAI's error shape with our request id. */
export const errorBody = (error: AppError, requestId: string): ErrorBody => ({
  error: { message: error.message, type: ERRORS[error.code].type, code: error.code, param: error.param ?? null },
  request_id: requestId,
});

/** Sent again unchanged it ends the same way; SDKs try a 409 and a 429 again unless they are told. */
const NEVER_AGAIN: ReadonlySet<ErrorCode> = new Set(['provider_refused', 'provider_quota_exhausted', 'replay_unavailable']);

/** `Retry-After` (seconds) where waiting helps, `x-should-retry: false` where it never does, and what a 401 asks for (RFC 9110 11.6.1). */
export const errorHeaders = (error: AppError): Record<string, string> => {
  const status = STATUS[error.code];
  const headers: Record<string, string> = {};
  if (status === 429 || status === 503) headers['retry-after'] = String(Math.max(1, Math.ceil((error.retryAfterMs ?? 1000) / 1000)));
  if (status === 401) headers['www-authenticate'] = 'Bearer';
  if (NEVER_AGAIN.has(error.code)) headers['x-should-retry'] = 'false';
  return headers;
};
