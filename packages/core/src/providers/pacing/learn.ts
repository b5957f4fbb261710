import { parseGoDuration } from '../errors.ts';
import type { ProviderName } from '../provider.ts';

/** What a good reply's headers say of the limits: nothing remains for `pauseMs`, and how much a minute holds. */
export type Learned = { pauseMs?: number; requestsPerMinute?: number };

/** Resets may be a day away, and of a bucket they tell when it is full, not when one more fits: after a minute a call asks again. */
const MAX_PAUSE_MS = 60_000;
const MINUTE_MS = 60_000;

const numberOf = (text: string | null): number | undefined => {
  const value = text === null || text === '' ? Number.NaN : Number(text);
  return Number.isFinite(value) && value >= 0 ? value : undefined;
};

/**
 * Reads `x-ratelimit-*`. Requests are per minute at OpenAI and per day at Groq, tokens per minute at both; some small OpenAI accounts have
 * requests per day too, which then come back in more than a minute. Only what is surely per minute becomes a meter.
 */
export const learnFrom = (provider: ProviderName, headers: Headers): Learned => {
  const learned: Learned = {};
  for (const what of ['requests', 'tokens']) {
    const resetMs = parseGoDuration(headers.get(`x-ratelimit-reset-${what}`) ?? '');
    if (resetMs === undefined || numberOf(headers.get(`x-ratelimit-remaining-${what}`)) !== 0) continue;
    learned.pauseMs = Math.max(learned.pauseMs ?? 0, Math.min(resetMs, MAX_PAUSE_MS));
  }
  const limit = numberOf(headers.get('x-ratelimit-limit-requests'));
  const resetMs = parseGoDuration(headers.get('x-ratelimit-reset-requests') ?? '');
  if (provider === 'openai' && limit !== undefined && limit > 0 && resetMs !== undefined && resetMs <= MINUTE_MS) learned.requestsPerMinute = limit;
  return learned;
};
