import type { Redis } from 'ioredis';
import type { Config } from '../../config.ts';
import { AppError } from '../../errors.ts';
import type { ModelLimits } from '../../provider-limits.ts';
import type { ProviderName } from '../provider.ts';
import { createLane, isIdle, joinLane, type Lane, leaveLane, settleCall, type Waiter } from './lane.ts';
import { createLooks } from './looks.ts';
import { laneKey } from './store.ts';

/** Whether somebody waits for the call; a third of every limit is kept for those. */
export type PaceClass = 'interactive' | 'batch';

/** What became of a call that was let go. */
export type PaceOutcome =
  /** A complete good reply; its rate-limit headers are learned from. */
  | { kind: 'ok'; headers?: Headers }
  /** 429: the account's own limit. */
  | { kind: 'limited'; retryAfterMs?: number }
  /** 529, 498: the provider has too much to do, whoever asks. */
  | { kind: 'overloaded'; retryAfterMs?: number }
  | { kind: 'failed' }
  /** The call was not made after all. */
  | { kind: 'unused' };

/** Leave to make one call. `done` is called exactly once, whatever became of it, and never throws. */
type Permit = { done: (outcome: PaceOutcome) => void };

export type PaceRequest = {
  provider: ProviderName;
  model: string;
  class: PaceClass;
  /** Pictures the call makes; 0 for text. */
  images: number;
  /** How long the caller can wait. */
  maxWaitMs: number;
  signal: AbortSignal;
};

/** The pace at which all processes together call a provider's models (docs/decisions/0007). */
export type Pacer = {
  /**
   * Resolves with a permit as soon as this one call may be made; the first in each line goes first, all its pictures at once.
   * @throws AppError `provider_paused` (its `cause`: what a call would have been answered) when that is further away than `maxWaitMs`:
   * `retryAfterMs` says when to come back; `cancelled` by the signal; `unavailable` when Redis takes no writes.
   */
  acquire: (request: PaceRequest) => Promise<Permit>;
  /** Ends its timers; whoever waits is cancelled. */
  close: () => void;
};

/** Lanes are named by clients (`openai/<any model>`): beyond so many, those that rest are forgotten here. Redis keeps what it knows. */
const MAX_LANES = 1000;

const limitsOf = ({ pacing }: Pick<Config, 'pacing'>, { provider, model }: Pick<PaceRequest, 'provider' | 'model'>): ModelLimits => {
  const models = provider === 'simulated' ? undefined : pacing.limits[provider];
  if (!models) return {};
  return (Object.hasOwn(models, model) ? models[model] : models['*']) ?? {};
};

const notMade = (why: string): AppError => new AppError('cancelled', `The call was not made: ${why}.`);

/** Leave for one call: the first word of what became of it is booked, others are not heard. */
const permitOf = (lane: Lane, waiter: Pick<Waiter, 'class' | 'images'>, grantedMs: number, plan: () => void): Permit => {
  let isDone = false;
  return {
    done(outcome) {
      if (isDone) return;
      isDone = true;
      settleCall(lane, waiter, { grantedMs, outcome }, performance.now());
      plan();
    },
  };
};

/** Resolves when it is the turn of this call. */
const waitInLane = (lane: Lane, request: PaceRequest, plan: () => void): Promise<Permit> =>
  new Promise((resolve, reject) => {
    const { signal, images } = request;
    const waiter: Waiter = {
      class: request.class,
      images,
      untilMs: performance.now() + request.maxWaitMs,
      go(grantedMs) {
        signal.removeEventListener('abort', onAbort);
        resolve(permitOf(lane, waiter, grantedMs, plan));
      },
      fail(error) {
        signal.removeEventListener('abort', onAbort);
        reject(error);
      },
    };
    const onAbort = (): void => {
      leaveLane(lane, waiter);
      waiter.fail(notMade('it was stopped while it waited'));
    };
    signal.addEventListener('abort', onAbort);
    joinLane(lane, waiter, performance.now());
    plan();
  });

/** The pace of this process. Nothing is started before the first `acquire`. */
export const createPacer = ({ redis, config }: { redis: Redis; config: Pick<Config, 'pacing'> }): Pacer => {
  const lanes = new Map<string, Lane>();
  const looks = createLooks(redis, lanes);
  let isClosed = false;

  const laneOf = (request: PaceRequest): Lane => {
    const key = laneKey(request.provider, request.model);
    let lane = lanes.get(key);
    if (!lane) {
      if (lanes.size >= MAX_LANES) for (const [name, known] of lanes) if (isIdle(known)) lanes.delete(name);
      lane = createLane(request, limitsOf(config, request));
      lanes.set(key, lane);
    }
    return lane;
  };

  return {
    async acquire(request) {
      if (request.provider === 'simulated') return { done: () => undefined };
      if (isClosed) throw notMade('this process is ending');
      if (request.signal.aborted) throw notMade('it was stopped while it waited');
      return await waitInLane(laneOf(request), request, looks.plan);
    },
    close() {
      isClosed = true;
      looks.stop();
      for (const { waiting } of lanes.values()) {
        for (const waiter of [...waiting.interactive.splice(0), ...waiting.batch.splice(0)]) waiter.fail(notMade('this process is ending'));
      }
    },
  };
};
