/** How an upstream counts: any minute that has passed, minutes of the clock, or a bucket that fills steadily and holds a tenth of a minute. */
export type LimitKind = 'sliding' | 'fixed' | 'bucket';

/** A limit as upstreams enforce it: `take` lets one through, or says how long to wait. */
export type EnforcedLimit = { take: (nowMs: number) => { retryAfterMs: number } | undefined };

const MINUTE_MS = 60_000;

const sliding = (perMinute: number): EnforcedLimit => {
  const taken: number[] = [];
  return {
    take(nowMs) {
      while ((taken[0] ?? nowMs) <= nowMs - MINUTE_MS) taken.shift();
      if (taken.length >= perMinute) return { retryAfterMs: (taken[0] ?? nowMs) + MINUTE_MS - nowMs };
      taken.push(nowMs);
      return undefined;
    },
  };
};

const fixed = (perMinute: number): EnforcedLimit => {
  let minute = 0;
  let count = 0;
  return {
    take(nowMs) {
      const now = Math.floor(nowMs / MINUTE_MS);
      if (now !== minute) [minute, count] = [now, 0];
      if (count >= perMinute) return { retryAfterMs: (minute + 1) * MINUTE_MS - nowMs };
      count += 1;
      return undefined;
    },
  };
};

const bucket = (perMinute: number): EnforcedLimit => {
  const size = perMinute / 10;
  let level = size;
  let filledMs: number | undefined;
  return {
    take(nowMs) {
      level = Math.min(size, level + ((nowMs - (filledMs ?? nowMs)) * perMinute) / MINUTE_MS);
      filledMs = nowMs;
      if (level < 1) return { retryAfterMs: ((1 - level) * MINUTE_MS) / perMinute };
      level -= 1;
      return undefined;
    },
  };
};

/** A limit of so many a minute, empty at first (a bucket is full). */
export const enforceLimit = (kind: LimitKind, perMinute: number): EnforcedLimit => ({ sliding, fixed, bucket })[kind](perMinute);
