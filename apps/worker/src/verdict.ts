import { type AppError, ERRORS } from '@fana/core/errors.ts';
import { type Attempt, type AttemptOutcome, countedAttempts, type JobError, type JobRecord, MAX_ATTEMPTS, type TerminalStatus } from '@fana/core/jobs/job.ts';

/** What becomes of a run whose processor threw. */
export type Verdict =
  | { kind: 'retry'; outcome: AttemptOutcome; error: JobError; delayMs: number }
  | { kind: 'end'; status: TerminalStatus; outcome: AttemptOutcome; error: JobError };

const RETRY_BASE_MS = 1000;
const RETRY_CAP_MS = 60_000;
/** A job that providers keep pausing ends after this long without a deadline of its own. */
const MAX_PAUSED_MS = 24 * 3600 * 1000;

/** Capped exponential backoff with ±25 % jitter; `round` counts from 1. */
export const backoffMs = (round: number, random: () => number = Math.random): number =>
  Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** (round - 1)) * (0.75 + random() / 2);

const isPause = (error: AppError): boolean => error.code === 'provider_rate_limited' || error.code === 'provider_overloaded';

const outcomeOf = (error: AppError): AttemptOutcome => {
  if (error.code === 'provider_refused') return 'refused';
  if (isPause(error)) return 'paused';
  return error.provider?.outcome === 'unknown' ? 'unknown' : 'failed';
};

export const toJobError = (error: AppError): JobError => ({
  code: error.code,
  message: error.message,
  ...(error.param !== undefined && { param: error.param }),
  ...(error.provider?.code !== undefined && { providerCode: error.provider.code }),
});

export const UNKNOWN_OUTCOME: JobError = {
  code: 'unknown_outcome',
  message: 'A picture call was sent and no complete reply came: it may have been made and billed. It is held until you retry it.',
};

/**
 * Decides after a failure (contract promises 1 to 3). `attempts` are those of this run, the failed one included.
 * An image call of unknown outcome is held; refusals and bad requests end the job; pauses cost no attempt; the rest is retried up to `MAX_ATTEMPTS`.
 */
export const judge = (job: Pick<JobRecord, 'spec' | 'createdMs' | 'queuedMs'>, attempts: Attempt[], error: AppError, nowMs: number): Verdict => {
  const jobError = toJobError(error);
  const outcome = outcomeOf(error);
  if (outcome === 'unknown' && job.spec.type === 'image') return { kind: 'end', status: 'unknown_outcome', outcome, error: UNKNOWN_OUTCOME };
  if (!ERRORS[error.code].retryable) return { kind: 'end', status: 'failed', outcome, error: jobError };
  if (outcome === 'paused') {
    if (nowMs - (job.queuedMs ?? job.createdMs) > MAX_PAUSED_MS) return { kind: 'end', status: 'failed', outcome, error: jobError };
    const pauses = attempts.filter((attempt) => attempt.outcome === 'paused').length + 1;
    return { kind: 'retry', outcome, error: jobError, delayMs: Math.max(error.retryAfterMs ?? 0, backoffMs(pauses)) };
  }
  const counted = countedAttempts(attempts);
  if (counted >= MAX_ATTEMPTS) return { kind: 'end', status: 'failed', outcome, error: jobError };
  return { kind: 'retry', outcome, error: jobError, delayMs: Math.max(error.retryAfterMs ?? 0, backoffMs(Math.max(1, counted))) };
};
