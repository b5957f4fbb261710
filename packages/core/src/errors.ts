/**
 * Every error code of the product: whether another attempt may help, and which OpenAI error type it is shown as.
 * `error-status.ts` gives each code its HTTP status; `docs/errors.md` is compared with this table by a test.
 */
export const ERRORS = {
  // What a client can get wrong
  invalid_json: { retryable: false, type: 'invalid_request_error' },
  invalid_request: { retryable: false, type: 'invalid_request_error' },
  unsupported_parameter: { retryable: false, type: 'invalid_request_error' },
  payload_too_large: { retryable: false, type: 'invalid_request_error' },
  unsupported_media_type: { retryable: false, type: 'invalid_request_error' },
  range_not_satisfiable: { retryable: false, type: 'invalid_request_error' },
  invalid_url: { retryable: false, type: 'invalid_request_error' },
  fetch_failed: { retryable: false, type: 'invalid_request_error' },
  model_not_found: { retryable: false, type: 'invalid_request_error' },
  model_not_available: { retryable: false, type: 'invalid_request_error' },
  model_type_mismatch: { retryable: false, type: 'invalid_request_error' },
  not_found: { retryable: false, type: 'invalid_request_error' },
  method_not_allowed: { retryable: false, type: 'invalid_request_error' },
  invalid_api_key: { retryable: false, type: 'authentication_error' },
  insufficient_scope: { retryable: false, type: 'permission_error' },
  invalid_signature: { retryable: false, type: 'permission_error' },
  idempotency_key_reused: { retryable: false, type: 'idempotency_error' },
  idempotency_in_progress: { retryable: false, type: 'idempotency_error' },
  job_running: { retryable: false, type: 'conflict_error' },
  job_not_cancellable: { retryable: false, type: 'conflict_error' },
  job_not_retryable: { retryable: false, type: 'conflict_error' },
  session_ended: { retryable: false, type: 'conflict_error' },
  endpoint_disabled: { retryable: false, type: 'conflict_error' },
  batch_not_cancellable: { retryable: false, type: 'conflict_error' },
  batch_running: { retryable: false, type: 'conflict_error' },
  nothing_to_retry: { retryable: false, type: 'invalid_request_error' },
  rate_limit_exceeded: { retryable: false, type: 'rate_limit_error' },
  // What can happen to a job
  image_unreadable: { retryable: false, type: 'invalid_request_error' },
  document_unreadable: { retryable: false, type: 'invalid_request_error' },
  document_too_large: { retryable: false, type: 'invalid_request_error' },
  deadline_exceeded: { retryable: false, type: 'job_error' },
  attempts_exhausted: { retryable: false, type: 'job_error' },
  unknown_outcome: { retryable: false, type: 'job_error' },
  cancelled: { retryable: false, type: 'job_error' },
  still_running: { retryable: true, type: 'server_error' },
  replay_unavailable: { retryable: false, type: 'conflict_error' },
  lease_lost: { retryable: false, type: 'job_error' },
  result_not_stored: { retryable: false, type: 'server_error' },
  storage_error: { retryable: true, type: 'server_error' },
  // What a provider can answer
  provider_paused: { retryable: true, type: 'rate_limit_error' },
  provider_rate_limited: { retryable: true, type: 'rate_limit_error' },
  provider_overloaded: { retryable: true, type: 'server_error' },
  provider_unavailable: { retryable: true, type: 'server_error' },
  provider_quota_exhausted: { retryable: false, type: 'insufficient_quota' },
  provider_refused: { retryable: false, type: 'invalid_request_error' },
  provider_bad_request: { retryable: false, type: 'invalid_request_error' },
  provider_authentication: { retryable: false, type: 'server_error' },
  provider_model_missing: { retryable: false, type: 'invalid_request_error' },
  provider_bad_response: { retryable: true, type: 'server_error' },
  context_too_long: { retryable: false, type: 'invalid_request_error' },
  outcome_unknown: { retryable: true, type: 'server_error' },
  // What can happen to the house
  unavailable: { retryable: true, type: 'server_error' },
  internal_error: { retryable: false, type: 'server_error' },
} as const satisfies Record<string, { retryable: boolean; type: string }>;

/** A code of the table, as clients see it. */
export type ErrorCode = keyof typeof ERRORS;

/** What is known of a provider call that failed; see promise 2. */
export type ProviderFailure = {
  /** `not_sent`: the connection failed before the request was written. `known`: a complete reply came. `unknown`: neither. */
  outcome: 'not_sent' | 'known' | 'unknown';
  status?: number;
  /** The provider's own error code, kept on the job beside ours. */
  code?: string;
  param?: string;
};

export type AppErrorOptions = {
  /** The field the error is about, as a path in the request body. */
  param?: string;
  /** How long the other side asked to wait. */
  retryAfterMs?: number;
  provider?: ProviderFailure;
  /** A finer word than the code, for those that tell it in their own way (sources of a job). */
  reason?: string;
  /** For logs only; never sent. */
  detail?: string;
  cause?: unknown;
};

/** The one error class. `message` is public; `detail` and `cause` are for logs. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly provider: ProviderFailure | undefined;
  readonly reason: string | undefined;
  readonly detail: string | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.param = options.param;
    this.retryAfterMs = options.retryAfterMs;
    this.provider = options.provider;
    this.reason = options.reason;
    this.detail = options.detail;
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }
}

/** ioredis and Node names of "Redis cannot be reached now", and Redis' own of "I take no writes now" (memory or disk full, replicas away). */
const REDIS_DOWN =
  /Connection is closed|Stream isn't writeable|Command timed out|max retries per request|ECONNREFUSED|ECONNRESET|EPIPE|READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|MISCONF|NOREPLICAS|OOM command not allowed|enableOfflineQueue/i;

/** Coerces anything thrown to an `AppError`: a lost Redis is `unavailable`, everything unknown `internal_error` (cause kept). */
export const toAppError = (thrown: unknown): AppError => {
  if (thrown instanceof AppError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const name = thrown instanceof Error ? thrown.name : '';
  if (name === 'MaxRetriesPerRequestError' || REDIS_DOWN.test(message)) {
    return new AppError('unavailable', 'The service cannot reach its store right now. Send the request again with the same Idempotency-Key.', {
      detail: message,
      cause: thrown,
      retryAfterMs: 1000,
    });
  }
  return new AppError('internal_error', 'Something went wrong on our side.', { detail: message, cause: thrown });
};
