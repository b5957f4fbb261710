import { AppError, ERRORS } from '@fana/core/errors.ts';
import { type Attempt, type AttemptOutcome, countedAttempts, type JobError, type JobRecord, MAX_ATTEMPTS, type TerminalStatus } from '@fana/core/jobs/job.ts';

/** What becomes of a run whose processor threw. */
export type Verdict =
  /** `isPause`: the delay is a wait for the provider. */
  | { kind: 'retry'; outcome: AttemptOutcome; error: JobError; delayMs: number; isPause: boolean }
  | { kind: 'end'; status: TerminalStatus; outcome: AttemptOutcome; error: JobError };

const RETRY_BASE_MS = 1000;
const RETRY_CAP_MS = 60_000;
/** What costs no attempt (pauses, a store that is away before any call) goes on this long after the start of the run, then the job ends. */
const MAX_FREE_MS = 24 * 3600 * 1000;

/** Capped exponential backoff with ±25 % jitter; `round` counts from 1. */
export const backoffMs = (round: number, random: () => number = Math.random): number =>
  Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** (round - 1)) * (0.75 + random() / 2);

const isPause = ({ code }: AppError): boolean => code === 'provider_rate_limited' || code === 'provider_overloaded' || code === 'provider_paused';

/** What a job that is not made to wait any longer says: why the provider could not be asked, not that we did not ask. */
const shownError = (error: AppError): AppError => (error.code === 'provider_paused' && error.cause instanceof AppError ? error.cause : error);

const outcomeOf = (error: AppError): AttemptOutcome => {
  if (error.code === 'provider_refused') return 'refused';
  if (isPause(error)) return 'paused';
  return error.provider?.outcome === 'unknown' ? 'unknown' : 'failed';
};

/** What the record keeps of an error: our code and message, and the provider's own code. */
export const toJobError = (error: AppError): JobError => ({
  code: error.code,
  message: error.message,
  ...(error.param !== undefined && { param: error.param }),
  ...(error.provider?.code !== undefined && { providerCode: error.provider.code }),
  ...(error.provider?.status !== undefined && { providerStatus: error.provider.status }),
  ...(error.provider?.param !== undefined && { providerParam: error.provider.param }),
});

/** The error of a picture call that is held because nobody knows whether it was made. */
export const UNKNOWN_OUTCOME: JobError = {
  code: 'unknown_outcome',
  message: 'A picture call was sent and no complete reply came: it may have been made and billed. It is held until you retry it.',
};

/** The error of a run whose `deadline_seconds` have passed. */
export const DEADLINE_EXCEEDED: JobError = { code: 'deadline_exceeded', message: 'The job did not end before its deadline.' };

type Judged = Pick<JobRecord, 'spec' | 'createdMs' | 'queuedMs' | 'startedMs' | 'waitedMs'>;

/**
 * Decides after a failure (promises 1 to 3). `attempts` are those of this run, the failed one included.
 * An image call of unknown outcome is held; refusals and bad requests end the job; pauses cost no attempt, and are waited out as long as the
 * job's budget for them lasts; the rest is retried up to `MAX_ATTEMPTS`.
 */
export const judge = (job: Judged, attempts: Attempt[], error: AppError, nowMs: number): Verdict => {
  const jobError = toJobError(shownError(error));
  const outcome = outcomeOf(error);
  if (outcome === 'unknown' && job.spec.type === 'image') return { kind: 'end', status: 'unknown_outcome', outcome, error: UNKNOWN_OUTCOME };
  const failed: Verdict = { kind: 'end', status: 'failed', outcome, error: jobError };
  // A whole reply that cannot be read may have carried a paid picture: only 408, 409, 429 and 5xx count as not done (promise 2).
  const paid = error.code === 'provider_bad_response' && job.spec.type === 'image';
  if (paid || !ERRORS[error.code].retryable) return failed;
  const counted = countedAttempts(attempts, job.spec.type);
  const isFree = outcome === 'paused' || counted === 0;
  // From the start, not from the acceptance: a job may have waited for days for its `run_at`.
  const isSpent = isFree ? nowMs - (job.startedMs ?? job.queuedMs ?? job.createdMs) > MAX_FREE_MS : counted >= MAX_ATTEMPTS;
  if (isSpent) return failed;
  const round = outcome === 'paused' ? attempts.filter((attempt) => attempt.outcome === 'paused').length + 1 : Math.max(1, counted);
  // A reply that asks for years must not keep the job from ever ending.
  const askedMs = Math.min(error.retryAfterMs ?? 0, MAX_FREE_MS);
  // The pacer's word is the time itself: nothing was asked, so there is nothing to back off from.
  const delayMs = error.code === 'provider_paused' ? askedMs : Math.max(askedMs, backoffMs(round));
  const { pauseBudgetMs } = job.spec;
  if (isPause(error) && pauseBudgetMs !== undefined && (job.waitedMs ?? 0) + delayMs > pauseBudgetMs) {
    return { ...failed, error: { ...jobError, retryAfterMs: Math.ceil(delayMs) } };
  }
  return { kind: 'retry', outcome, error: jobError, delayMs, isPause: isPause(error) };
};
