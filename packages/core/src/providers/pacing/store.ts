import type { Redis } from 'ioredis';
import type { ModelLimits } from '../../provider-limits.ts';
import { loadScript } from '../../redis.ts';
import type { PaceClass } from './pacer.ts';

const script = loadScript(import.meta.url, './pace.lua');

/** What became of calls since the last look. `…Granted`: when the newest of them was let go, by the clock of Redis. */
export type LaneReport = {
  succeeded: number;
  succeededGranted: number;
  limited: number;
  limitedGranted: number;
  limitedImages: number;
  /** The longest pause a 429 asked for; 0: none said. */
  limitedMs: number;
  overloaded: number;
  overloadedGranted: number;
  overloadedMs: number;
  /** Calls that were let go and never made. */
  unused: { requests: number; images: number };
  /** A reply said that nothing remains for so long. */
  pauseMs: number;
  /** What a reply said the account may ask a minute; 0: nothing. */
  requestsPerMinute: number;
};

/** One process' look at one lane. `wanted` are the pictures of each call that waits, in order; `own` is what this process has in flight. */
export type LaneLook = { key: string; own: Record<PaceClass, number>; limits: ModelLimits; report: LaneReport; wanted: Record<PaceClass, number[]> };

/** Why a call has to wait. */
export type Obstacle = 'limited' | 'overloaded' | 'full' | 'meter';

export type LaneView = {
  /** By the clock of Redis. */
  nowMs: number;
  /** How many of `wanted` may go, from the first on. */
  granted: Record<PaceClass, number>;
  /** Of the first one that may not. */
  wait: Record<PaceClass, { why: Obstacle; ms: number } | undefined>;
  /** Between two requests and between two pictures, by the meters; 0 without one. */
  gapMs: { request: number; image: number };
  /** Processes that have calls in flight, this one included. */
  processes: number;
};

/** Hash of a lane: pauses, meters, limit, calls in flight (pace.lua). */
export const laneKey = (provider: string, model: string): string => `fana:pace:${provider}:${model}`;

const encode = ({ own, limits, report, wanted }: LaneLook): string =>
  JSON.stringify({
    own,
    wanted,
    requests_per_minute: limits.requestsPerMinute,
    images_per_minute: limits.imagesPerMinute,
    report: {
      succeeded: report.succeeded,
      succeeded_granted: report.succeededGranted,
      limited: report.limited,
      limited_images: report.limitedImages,
      limited_granted: report.limitedGranted,
      limited_ms: report.limitedMs,
      overloaded: report.overloaded,
      overloaded_granted: report.overloadedGranted,
      overloaded_ms: report.overloadedMs,
      unused: report.unused,
      pause_ms: report.pauseMs > 0 ? report.pauseMs : undefined,
      requests_per_minute: report.requestsPerMinute > 0 ? report.requestsPerMinute : undefined,
    },
  });

type Row = [string, number, number, Obstacle | '', number, Obstacle | '', number, string, string, number];

const decode = ([now, interactive, batch, whyInteractive, msInteractive, whyBatch, msBatch, request, image, processes]: Row): LaneView => ({
  nowMs: Number(now),
  granted: { interactive, batch },
  wait: {
    interactive: whyInteractive === '' ? undefined : { why: whyInteractive, ms: msInteractive },
    batch: whyBatch === '' ? undefined : { why: whyBatch, ms: msBatch },
  },
  gapMs: { request: Number(request), image: Number(image) },
  processes,
});

/** Pauses are up to this much longer than asked, so that processes and installations do not come back as one. */
const JITTER = 0.2;

/**
 * Reports and asks for several lanes in one step; the views have the order of `looks`. The clock is that of Redis, unless a test gives `nowMs`.
 * @throws what Redis says; a look that is sent twice charges the meters twice and changes nothing else.
 */
export const lookAtLanes = async (redis: Redis, process: string, looks: LaneLook[], { nowMs, jitter = 1 + JITTER * Math.random() }: LookOptions = {}) => {
  const rows = (await script(
    redis,
    looks.map(({ key }) => key),
    [nowMs ?? '', process, jitter, ...looks.map(encode)],
  )) as Row[];
  return rows.map(decode);
};

type LookOptions = { nowMs?: number; jitter?: number };
