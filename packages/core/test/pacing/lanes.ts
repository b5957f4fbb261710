import { type LaneLook, type LaneReport, type LaneView, laneKey, lookAtLanes } from '@fana/core/providers/pacing/store.ts';
import type { Redis } from 'ioredis';

const NOTHING: LaneReport = {
  succeeded: 0,
  succeededGranted: 0,
  limited: 0,
  limitedImages: 0,
  limitedGranted: 0,
  limitedMs: 0,
  overloaded: 0,
  overloadedGranted: 0,
  overloadedMs: 0,
  unused: { requests: 0, images: 0 },
  pauseMs: 0,
  requestsPerMinute: 0,
};

/** What a process says in one look; what is left out is nothing. */
export type Said = { own?: Partial<LaneLook['own']>; limits?: LaneLook['limits']; report?: Partial<LaneReport>; wanted?: Partial<LaneLook['wanted']> };

let lanes = 0;

/** A lane nobody has used, looked at with a clock of the test's own: `at` is in milliseconds from its beginning. */
export const freshLane = (redis: Redis) => {
  lanes += 1;
  const key = laneKey('openai', `model-${process.pid}-${lanes}`);
  const startMs = 1_800_000_000_000;
  const look = async (atMs: number, { own, limits = {}, report, wanted }: Said = {}, by = 'one'): Promise<LaneView> => {
    const said: LaneLook = {
      key,
      own: { interactive: 0, batch: 0, ...own },
      limits,
      report: { ...NOTHING, ...report },
      wanted: { interactive: [], batch: [], ...wanted },
    };
    const [view] = await lookAtLanes(redis, by, [said], { nowMs: startMs + atMs, jitter: 1 });
    if (!view) throw new Error('no view');
    return view;
  };
  return { key, look, at: (ms: number) => startMs + ms };
};

/** So many calls of one picture each. */
export const pictures = (count: number): number[] => Array.from({ length: count }, () => 1);

/** The largest number of `times` within any `windowMs`. */
export const densest = (times: number[], windowMs: number): number => {
  let from = 0;
  let most = 0;
  for (const [at, time] of times.entries()) {
    while ((times[from] ?? time) <= time - windowMs) from += 1;
    most = Math.max(most, at - from + 1);
  }
  return most;
};
