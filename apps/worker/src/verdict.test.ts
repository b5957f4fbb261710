import { AppError, ERRORS, type ErrorCode } from '@fana/core/errors.ts';
import type { Attempt, AttemptOutcome, JobRecord, JobType } from '@fana/core/jobs/job.ts';
import { describe, expect, it } from 'vitest';
import { backoffMs, judge, toJobError } from './verdict.ts';

const HOUR_MS = 3600 * 1000;
const DAY_MS = 24 * HOUR_MS;
const START_MS = 1_800_000_000_000;

type Judged = Pick<JobRecord, 'spec' | 'createdMs' | 'queuedMs' | 'startedMs'>;
const jobOf = (type: JobType, times: Partial<Judged> = {}): Judged => ({
  spec: {
    tenant: 'default',
    keyId: 'key_1',
    type,
    trigger: { label: type, confidence: 1, source: 'request' },
    model: `${type}-default`,
    inputPreview: 'hi',
    parameters: {},
    system: { source: 'installation' },
    urls: [],
    warnings: [],
    metadata: {},
    priority: 5,
    ownedBlobIds: [],
  },
  createdMs: START_MS,
  startedMs: START_MS,
  ...times,
});

/** The attempts of a run; null is the open one, which is being judged. */
const attemptsOf = (...outcomes: (AttemptOutcome | null)[]): Attempt[] =>
  outcomes.map((outcome, at) => ({ number: at + 1, provider: 'openai', model: 'm', startedAt: 0, finishedAt: null, outcome, error: null }));

const answered = (code: ErrorCode, retryAfterMs?: number): AppError =>
  new AppError(code, code, { provider: { outcome: 'known', status: 500 }, ...(retryAfterMs !== undefined && { retryAfterMs }) });
const unanswered = (): AppError => new AppError('outcome_unknown', 'no complete reply came', { provider: { outcome: 'unknown' } });

const judged = (error: AppError, attempts = attemptsOf(null), type: JobType = 'chat', nowMs = START_MS + 1000) => judge(jobOf(type), attempts, error, nowMs);

describe('never again', () => {
  it('a refusal ends the job, and its attempt says refused', () => {
    expect(judged(answered('provider_refused'), attemptsOf(null), 'image')).toMatchObject({ kind: 'end', status: 'failed', outcome: 'refused' });
  });

  it.each(['provider_bad_request', 'context_too_long', 'provider_authentication', 'image_unreadable', 'internal_error', 'result_not_stored'] as const)(
    '%s ends the job at its first attempt',
    (code) => {
      expect(judged(answered(code))).toMatchObject({ kind: 'end', status: 'failed', outcome: 'failed', error: { code } });
    },
  );

  it('a spent quota ends the job although it came as a 429', () => {
    const error = new AppError('provider_quota_exhausted', 'spent', {
      provider: { outcome: 'known', status: 429, code: 'insufficient_quota' },
      retryAfterMs: 1000,
    });
    expect(judged(error)).toMatchObject({ kind: 'end', status: 'failed', error: { code: 'provider_quota_exhausted', providerCode: 'insufficient_quota' } });
  });

  it('every code that is not retryable in the table of errors ends the job', () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      expect(judged(answered(code)).kind, code).toBe(ERRORS[code].retryable ? 'retry' : 'end');
    }
  });
});

describe('three attempts', () => {
  it.each(['provider_unavailable', 'provider_bad_response'] as const)('%s is tried again after the first and the second, not after the third', (code) => {
    expect(judged(answered(code), attemptsOf(null))).toMatchObject({ kind: 'retry', outcome: 'failed' });
    expect(judged(answered(code), attemptsOf('failed', null))).toMatchObject({ kind: 'retry', outcome: 'failed' });
    expect(judged(answered(code), attemptsOf('failed', 'unknown', null))).toMatchObject({ kind: 'end', status: 'failed', error: { code } });
  });

  it('pauses do not count towards them, however many there were', () => {
    const attempts = attemptsOf('paused', 'paused', 'failed', 'paused', 'failed', 'paused', 'paused');
    expect(judged(answered('provider_rate_limited'), [...attempts, ...attemptsOf(null)])).toMatchObject({ kind: 'retry', outcome: 'paused' });
    expect(judged(answered('provider_unavailable'), [...attempts, ...attemptsOf(null)])).toMatchObject({ kind: 'end', status: 'failed' });
  });

  it('a failure before any call costs none', () => {
    expect(judged(new AppError('storage_error', 'store away'), [])).toMatchObject({ kind: 'retry', outcome: 'failed' });
  });

  it('a failure before any call is not tried for ever: after 24 h the job ends', () => {
    expect(judged(new AppError('storage_error', 'store away'), [], 'vision', START_MS + DAY_MS + 1)).toMatchObject({
      kind: 'end',
      status: 'failed',
      error: { code: 'storage_error' },
    });
  });
});

describe('a call that was sent and not answered', () => {
  it('holds a picture at its first attempt', () => {
    expect(judged(unanswered(), attemptsOf(null), 'image')).toMatchObject({
      kind: 'end',
      status: 'unknown_outcome',
      outcome: 'unknown',
      error: { code: 'unknown_outcome' },
    });
  });

  it.each(['chat', 'vision'] as const)('is made again for %s, with the attempt unknown', (type) => {
    expect(judged(unanswered(), attemptsOf(null), type)).toMatchObject({ kind: 'retry', outcome: 'unknown' });
    expect(judged(unanswered(), attemptsOf('unknown', 'unknown', null), type)).toMatchObject({ kind: 'end', status: 'failed', outcome: 'unknown' });
  });

  it('is no unknown outcome when the request was never written', () => {
    const error = new AppError('provider_unavailable', 'no connection', { provider: { outcome: 'not_sent' } });
    expect(judged(error, attemptsOf(null), 'image')).toMatchObject({ kind: 'retry', outcome: 'failed' });
  });
});

describe('how long it waits', () => {
  const delayOf = (error: AppError, attempts: Attempt[]): number => {
    const verdict = judged(error, attempts);
    if (verdict.kind !== 'retry') throw new Error(verdict.kind);
    return verdict.delayMs;
  };

  it('1, 2, 4 … s within ±25 %, never over 75 s', () => {
    expect([1, 2, 3, 4, 5, 6].map((round) => backoffMs(round, () => 0))).toEqual([750, 1500, 3000, 6000, 12_000, 24_000]);
    expect([1, 2, 3].map((round) => backoffMs(round, () => 0.5))).toEqual([1000, 2000, 4000]);
    for (const round of [1, 7, 60, 5000]) {
      expect(backoffMs(round, () => 0.999_999)).toBeLessThan(Math.min(60_000, 1000 * 2 ** (round - 1)) * 1.25);
    }
    for (let n = 0; n < 200; n++) {
      const delay = backoffMs(2);
      expect(delay).toBeGreaterThanOrEqual(1500);
      expect(delay).toBeLessThan(2500);
    }
  });

  it('Retry-After when it is longer', () => {
    expect(delayOf(answered('provider_rate_limited', 17_000), attemptsOf(null))).toBe(17_000);
    expect(delayOf(answered('provider_unavailable', 17_000), attemptsOf(null))).toBe(17_000);
  });

  it('its own backoff when Retry-After is shorter', () => {
    const delay = delayOf(answered('provider_rate_limited', 10), attemptsOf('paused', 'paused', 'paused', null));
    expect(delay).toBeGreaterThanOrEqual(6000);
    expect(delay).toBeLessThan(10_000);
  });

  it('a day at most, whatever a provider asks for', () => {
    expect(delayOf(answered('provider_rate_limited', 1e15), attemptsOf(null))).toBe(DAY_MS);
    expect(delayOf(answered('provider_unavailable', 1e15), attemptsOf(null))).toBe(DAY_MS);
  });

  it('longer with every pause and every counted failure', () => {
    expect(delayOf(answered('provider_overloaded'), attemptsOf('paused', 'paused', null))).toBeGreaterThanOrEqual(3000);
    expect(delayOf(answered('provider_unavailable'), attemptsOf('failed', null))).toBeGreaterThanOrEqual(1500);
  });
});

describe('pauses', () => {
  const paused = (job: Judged, nowMs: number) => judge(job, attemptsOf(null), answered('provider_rate_limited'), nowMs);

  it('go on for 24 h, then the job ends failed', () => {
    expect(paused(jobOf('chat'), START_MS + DAY_MS)).toMatchObject({ kind: 'retry' });
    expect(paused(jobOf('chat'), START_MS + DAY_MS + 1)).toMatchObject({ kind: 'end', status: 'failed', outcome: 'paused' });
  });

  it('are counted from the start of the run, not from the acceptance of a job that was to run days later', () => {
    const late = jobOf('chat', { createdMs: START_MS - 5 * DAY_MS });
    expect(paused(late, START_MS + HOUR_MS)).toMatchObject({ kind: 'retry' });
  });

  it('of an earlier run do not shorten those of a retried one', () => {
    const retried = jobOf('chat', { createdMs: START_MS - 5 * DAY_MS, queuedMs: START_MS, startedMs: START_MS });
    expect(paused(retried, START_MS + HOUR_MS)).toMatchObject({ kind: 'retry' });
  });
});

it('the error of a job carries the provider code and the field, and nothing meant for logs', () => {
  const error = new AppError('provider_bad_request', 'size is not known', {
    param: 'parameters.size',
    detail: 'secret detail',
    cause: new Error('inner'),
    provider: { outcome: 'known', status: 400, code: 'invalid_value' },
  });
  expect(toJobError(error)).toEqual({
    code: 'provider_bad_request',
    message: 'size is not known',
    param: 'parameters.size',
    providerCode: 'invalid_value',
    providerStatus: 400,
  });
});
