const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Delays after the previous attempt, the first at once (≈ 75 h in all). */
export const DELIVERY_DELAYS_MS = [0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR] as const;

/** A receiver cannot ask for a longer pause than this. */
const MAX_RETRY_AFTER_MS = 24 * HOUR;

/**
 * How long to wait after attempt `made` (from 1) failed, or undefined when the schedule is used up.
 * ±10 % jitter, so that receivers coming back are not met by everybody at once; `Retry-After` may make it longer.
 */
export const nextDelayMs = (made: number, retryAfterMs: number | undefined, random: () => number = Math.random): number | undefined => {
  const delay = DELIVERY_DELAYS_MS[made];
  if (delay === undefined) return undefined;
  return Math.max(delay * (0.9 + random() / 5), Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS));
};
