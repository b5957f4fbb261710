import { performance } from 'node:perf_hooks';
import pLimit, { type LimitFunction } from 'p-limit';

/** How often the share of the loop is looked at. */
const LOOK_EVERY_MS = 250;
/**
 * The loop of this process is shared with chat and pictures that somebody waits for. Above 80 % of its time a callback waits several times as
 * long as it takes, so lines give way there; below 65 % they take more again.
 */
const BUSY = 0.8;
const FREE = 0.65;
/** Lines never give way altogether, and take slots back in steps of an eighth. */
const LEAST = 4;

export type LineSlots = { limit: LimitFunction; close: () => void };

/** Adapts `limit` to one look at the loop: `busy` is the share of the time since the last look that it was not idle. */
export const adaptSlots = (limit: Pick<LimitFunction, 'concurrency'>, most: number, busy: number): void => {
  const least = Math.min(LEAST, most);
  if (busy > BUSY) limit.concurrency = Math.max(least, Math.floor(limit.concurrency * 0.75));
  else if (busy < FREE) limit.concurrency = Math.min(most, limit.concurrency + Math.ceil(most / 8));
};

/** The lines of batches this process runs at once: `most`, and fewer while its event loop is busy. */
export const createLineSlots = (most: number): LineSlots => {
  const limit = pLimit(most);
  let before = performance.eventLoopUtilization();
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization();
    // An idle process is looked at too: what it was busy with must not be remembered for its next batch.
    adaptSlots(limit, most, performance.eventLoopUtilization(now, before).utilization);
    before = now;
  }, LOOK_EVERY_MS);
  timer.unref();
  return { limit, close: () => clearInterval(timer) };
};
