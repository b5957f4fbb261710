import { rateLimitsOf } from '../errors.ts';
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
 * Reads `x-ratelimit-*` and `anthropic-ratelimit-*`. Requests are per minute at OpenAI and Anthropic and per day at Groq, tokens per minute at
 * all of them; some small OpenAI accounts have requests per day too, which then come back in more than a minute. Only what is surely per minute
 * becomes a meter. `nowMs`: Anthropic tells moments, not durations.
 */
export const learnFrom = (provider: ProviderName, headers: Headers, nowMs: number = Date.now()): Learned => {
  const learned: Learned = {};
  for (const { what, limit, remaining, resetMs } of rateLimitsOf(headers, nowMs)) {
    if (resetMs === undefined) continue;
    if (numberOf(remaining) === 0) learned.pauseMs = Math.max(learned.pauseMs ?? 0, Math.min(resetMs, MAX_PAUSE_MS));
    const most = numberOf(limit);
    const isPerMinute = provider === 'anthropic' || (provider === 'openai' && resetMs <= MINUTE_MS);
    if (what === 'requests' && isPerMinute && most !== undefined && most > 0) learned.requestsPerMinute = most;
  }
  return learned;
};
