import { AppError } from '../../errors.ts';
import type { ModelLimits } from '../../provider-limits.ts';
import { learnFrom } from './learn.ts';
import type { PaceClass, PaceOutcome, PaceRequest } from './pacer.ts';
import { type LaneLook, type LaneReport, type LaneView, laneKey, type Obstacle } from './store.ts';

/** A call that waits for its turn. */
export type Waiter = { class: PaceClass; images: number; untilMs: number; go: (grantedMs: number) => void; fail: (error: AppError) => void };

/** What this process knows of the calls it makes to one model. Its times are those of `performance.now()`, but for `grantedMs`: Redis'. */
export type Lane = Pick<PaceRequest, 'provider' | 'model'> & {
  limits: ModelLimits;
  own: Record<PaceClass, number>;
  report: LaneReport;
  waiting: Record<PaceClass, Waiter[]>;
  /** When to look next. */
  lookMs: number;
  /** At the last look there were too many calls in flight: the end of one is worth another look. */
  isFull: boolean;
  /** The pause that was heard of last. */
  pause: { why: Obstacle; endsMs: number; heardMs: number } | undefined;
  /** When the last caller that was sent away was told to come back. */
  appointedMs: number;
};

/** How long a look is put off, so that many calls share one: a finished call is reported, a meter is looked at again. */
const REPORT_MS = 250;
const MIN_WAIT_MS = { interactive: 10, batch: 50 } as const;
/** Nobody knows when a call of another process ends. */
const FULL_WAIT_MS = 200;
/** Calls in flight are counted for 10 s after the last look (pace.lua). */
const HEARTBEAT_MS = 3000;
/** One look asks for so many calls of a class at most. */
const MAX_GROUP = 200;
/** Who is sent away comes back at its place in the line, but not later than this after the others. */
const MAX_LINE_MS = 60_000;
/** Places in the line of a lane that has no meter. */
const UNMETERED_GAP_MS = 10;
/** Whoever finds a room full and has waited long enough. */
const FULL_RETRY_MS = 1000;
/** A pause is believed without another look for so long. */
const PAUSE_BELIEVED_MS = 2000;

const emptyReport = (): LaneReport => ({
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
});

export const createLane = ({ provider, model }: Pick<PaceRequest, 'provider' | 'model'>, limits: ModelLimits): Lane => ({
  provider,
  model,
  limits,
  own: { interactive: 0, batch: 0 },
  report: emptyReport(),
  waiting: { interactive: [], batch: [] },
  lookMs: Number.POSITIVE_INFINITY,
  isFull: false,
  pause: undefined,
  appointedMs: 0,
});

/** Nothing waits, nothing runs, nothing is to be reported. */
export const isIdle = ({ lookMs, own, waiting }: Lane): boolean =>
  lookMs === Number.POSITIVE_INFINITY && own.interactive + own.batch + waiting.interactive.length + waiting.batch.length === 0;

const wakeLane = (lane: Lane, atMs: number): void => {
  lane.lookMs = Math.min(lane.lookMs, atMs);
};

/** Puts a call into the line, or sends it away at once when a pause is known that is longer than it can wait. */
export const joinLane = (lane: Lane, waiter: Waiter, nowMs: number): void => {
  const { pause } = lane;
  if (pause && pause.endsMs > waiter.untilMs && nowMs - pause.heardMs < PAUSE_BELIEVED_MS) {
    const inMs = pause.endsMs - nowMs;
    sendAway(lane, waiter, { why: pause.why, firstMs: inMs, inMs, gapMs: UNMETERED_GAP_MS }, nowMs);
    return;
  }
  const line = lane.waiting[waiter.class];
  // Behind others nobody's turn comes before theirs, and the time of the next look is set.
  if (line.length === 0) wakeLane(lane, nowMs);
  line.push(waiter);
};

export const leaveLane = (lane: Lane, waiter: Waiter): void => {
  const line = lane.waiting[waiter.class];
  const at = line.indexOf(waiter);
  if (at >= 0) line.splice(at, 1);
};

const REASON: Record<Obstacle, string> = {
  limited: 'asked us to slow down',
  overloaded: 'has too much to do',
  full: 'takes no more calls at once',
  meter: 'takes no more calls this minute',
};

/** `firstMs` and `inMs`: when the first in the line and when this one may go at the earliest; `gapMs`: between two calls. */
type Farewell = { why: Obstacle; firstMs: number; inMs: number; gapMs: number };

const sendAway = (lane: Lane, waiter: Waiter, { why, firstMs, inMs, gapMs }: Farewell, nowMs: number): void => {
  // One after another, so that those who come back together do not find the same place taken again.
  lane.appointedMs = Math.min(Math.max(lane.appointedMs, nowMs + inMs) + gapMs, nowMs + firstMs + MAX_LINE_MS);
  const retryAfterMs = Math.ceil(lane.appointedMs - nowMs);
  const said = `${lane.model} of ${lane.provider} ${REASON[why]}.`;
  const cause = new AppError(why === 'overloaded' ? 'provider_overloaded' : 'provider_rate_limited', said, { retryAfterMs });
  waiter.fail(new AppError('provider_paused', `${said} The call was not made.`, { retryAfterMs, cause }));
};

/** What became of a call, and when it was let go (the clock of Redis). */
type Settled = { grantedMs: number; outcome: PaceOutcome };

/** Books what became of a call that was let go. */
export const settleCall = (
  lane: Lane,
  { class: paceClass, images }: Pick<Waiter, 'class' | 'images'>,
  { grantedMs, outcome }: Settled,
  nowMs: number,
): void => {
  const { report } = lane;
  lane.own[paceClass]--;
  let isUrgent = lane.isFull;
  if (outcome.kind === 'ok') {
    report.succeeded++;
    report.succeededGranted = Math.max(report.succeededGranted, grantedMs);
    const learned = outcome.headers ? learnFrom(lane.provider, outcome.headers) : {};
    report.pauseMs = Math.max(report.pauseMs, learned.pauseMs ?? 0);
    report.requestsPerMinute = learned.requestsPerMinute ?? report.requestsPerMinute;
    isUrgent ||= learned.pauseMs !== undefined;
  } else if (outcome.kind === 'limited') {
    report.limited++;
    report.limitedImages += images;
    report.limitedGranted = Math.max(report.limitedGranted, grantedMs);
    report.limitedMs = Math.max(report.limitedMs, outcome.retryAfterMs ?? 0);
    isUrgent = true;
  } else if (outcome.kind === 'overloaded') {
    report.overloaded++;
    report.overloadedGranted = Math.max(report.overloadedGranted, grantedMs);
    report.overloadedMs = Math.max(report.overloadedMs, outcome.retryAfterMs ?? 0);
    isUrgent = true;
  } else if (outcome.kind === 'unused') {
    report.unused.requests++;
    report.unused.images += images;
  }
  wakeLane(lane, isUrgent ? nowMs : nowMs + REPORT_MS);
};

export type LookTaken = { lane: Lane; group: Record<PaceClass, Waiter[]>; look: LaneLook };

/** Takes out of the lane what the next look reports and asks for. */
export const takeLook = (lane: Lane): LookTaken => {
  const { own, limits, report, waiting } = lane;
  lane.report = emptyReport();
  lane.lookMs = Number.POSITIVE_INFINITY;
  lane.isFull = false;
  const group = { interactive: waiting.interactive.slice(0, MAX_GROUP), batch: waiting.batch.slice(0, MAX_GROUP) };
  const wanted = { interactive: group.interactive.map(({ images }) => images), batch: group.batch.map(({ images }) => images) };
  return { lane, group, look: { key: laneKey(lane.provider, lane.model), own: { ...own }, limits, report, wanted } };
};

/** Puts back what a look that failed was to report, and fails those who waited for it. */
export const undoLook = ({ lane, group, look }: LookTaken, error: AppError, nowMs: number): void => {
  const { report } = lane;
  for (const name of ['succeeded', 'limited', 'limitedImages', 'overloaded'] as const) report[name] += look.report[name];
  for (const name of ['succeededGranted', 'limitedGranted', 'limitedMs', 'overloadedGranted', 'overloadedMs', 'pauseMs', 'requestsPerMinute'] as const) {
    report[name] = Math.max(report[name], look.report[name]);
  }
  report.unused.requests += look.report.unused.requests;
  report.unused.images += look.report.unused.images;
  for (const waiter of [...group.interactive, ...group.batch]) {
    leaveLane(lane, waiter);
    waiter.fail(error);
  }
  wakeLane(lane, nowMs + FULL_RETRY_MS);
};

/** Lets go who may, sends away who cannot wait as long as it takes, and plans the next look. */
export const settleLook = ({ lane, group }: LookTaken, view: LaneView, nowMs: number): void => {
  for (const paceClass of ['interactive', 'batch'] as const) {
    const granted = group[paceClass].slice(0, view.granted[paceClass]);
    lane.own[paceClass] += granted.length;
    const line = lane.waiting[paceClass];
    for (const waiter of granted) {
      // Who gave up while the look was on its way has left the line, and its call is given back.
      if (line[0] === waiter) {
        line.shift();
        waiter.go(view.nowMs);
      } else {
        settleCall(lane, waiter, { grantedMs: view.nowMs, outcome: { kind: 'unused' } }, nowMs);
      }
    }
    const wait = view.wait[paceClass];
    if (wait) settleWaiting(lane, paceClass, wait, view, nowMs);
    else if (line.length > 0) wakeLane(lane, nowMs);
  }
  if (lane.own.interactive + lane.own.batch > 0) wakeLane(lane, nowMs + HEARTBEAT_MS);
};

const settleWaiting = (lane: Lane, paceClass: PaceClass, wait: { why: Obstacle; ms: number }, { gapMs, processes }: LaneView, nowMs: number): void => {
  const { why, ms } = wait;
  if (why === 'limited' || why === 'overloaded') lane.pause = { why, endsMs: nowMs + ms, heardMs: nowMs };
  lane.isFull ||= why === 'full';
  const firstMs = why === 'full' ? FULL_RETRY_MS : Math.max(ms, MIN_WAIT_MS[paceClass]);
  const gapOf = ({ images }: Waiter): number => Math.max(gapMs.request, images * gapMs.image);
  // By the meters: those before one in the line pay first. Other processes have lines of their own, so it may take longer.
  let aheadMs = 0;
  lane.waiting[paceClass] = lane.waiting[paceClass].filter((waiter) => {
    const ownMs = aheadMs;
    aheadMs += gapOf(waiter);
    if (nowMs < waiter.untilMs && nowMs + ms + ownMs <= waiter.untilMs) {
      wakeLane(lane, waiter.untilMs);
      return true;
    }
    sendAway(lane, waiter, { why, firstMs, inMs: firstMs + ownMs, gapMs: (gapOf(waiter) || UNMETERED_GAP_MS) * processes }, nowMs);
    return false;
  });
  if (lane.waiting[paceClass].length > 0) wakeLane(lane, nowMs + (why === 'full' ? FULL_WAIT_MS : firstMs));
};
