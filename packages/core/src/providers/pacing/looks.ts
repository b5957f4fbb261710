import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { toAppError } from '../../errors.ts';
import { type Lane, settleLook, takeLook, undoLook } from './lane.ts';
import { lookAtLanes } from './store.ts';

/** When this process looks at its lanes. */
export type Looks = {
  /** Sees to it that there is a look when the next lane is due. */
  plan: () => void;
  stop: () => void;
};

/** Runs `step` at `atMs` of `performance.now()`; at once means at the end of this turn, so that all of it leaves together. */
const runAt = (atMs: number, step: () => void): (() => void) => {
  const inMs = atMs - performance.now();
  if (inMs <= 0) {
    const immediate = setImmediate(step);
    return () => clearImmediate(immediate);
  }
  const timer = setTimeout(step, Math.min(Math.ceil(inMs), 2 ** 31 - 1));
  return () => clearTimeout(timer);
};

/**
 * Group commit, as in jobs/acceptor.ts: what waits in the same turn leaves as one script call for all lanes, and finished calls are reported
 * with it. There is one script call at a time.
 */
export const createLooks = (redis: Redis, lanes: ReadonlyMap<string, Lane>): Looks => {
  const process = randomBytes(6).toString('hex');
  let isLooking = false;
  let isStopped = false;
  let next: { atMs: number; cancel: () => void } | undefined;

  const plan = (): void => {
    if (isLooking || isStopped) return;
    let atMs = Number.POSITIVE_INFINITY;
    for (const { lookMs } of lanes.values()) atMs = Math.min(atMs, lookMs);
    if (next && next.atMs <= atMs) return;
    next?.cancel();
    next = atMs === Number.POSITIVE_INFINITY ? undefined : { atMs, cancel: runAt(atMs, () => void look()) };
  };

  const look = async (): Promise<void> => {
    next = undefined;
    const nowMs = performance.now();
    const taken = [...lanes.values()].filter(({ lookMs }) => lookMs <= nowMs).map(takeLook);
    isLooking = true;
    try {
      const views =
        taken.length === 0
          ? []
          : await lookAtLanes(
              redis,
              process,
              taken.map((one) => one.look),
            );
      for (const [at, view] of views.entries()) if (taken[at]) settleLook(taken[at], view, performance.now());
    } catch (thrown) {
      const error = toAppError(thrown);
      for (const one of taken) undoLook(one, error, performance.now());
    } finally {
      isLooking = false;
      plan();
    }
  };

  return {
    plan,
    stop() {
      isStopped = true;
      next?.cancel();
    },
  };
};
