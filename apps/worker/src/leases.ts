import type { Deps } from '@fana/core/deps.ts';
import { CANCEL_CHANNEL, type LeaseState, renewLeases } from '@fana/core/jobs/store.ts';
import type { Redis } from 'ioredis';

/** Why a run was told to stop. */
type StopReason = 'cancel' | 'deadline' | 'shutdown' | 'lost';

/** The hold of this process on one run: its signal aborts once, for the first reason given. */
export type Hold = {
  lease: string;
  signal: AbortSignal;
  /** Aborted by the first reason but a cancel, also after one: for what is to come to its end although it was cancelled. */
  unlessCancelled: AbortSignal;
  reason: () => StopReason | undefined;
  stop: (reason: StopReason) => void;
  drop: () => void;
};

/** The leases of one process. */
export type LeaseKeeper = {
  hold: (id: string, lease: string) => Hold;
  /** Stops everything that still runs (end of the drain). */
  stopAll: (reason: StopReason) => void;
  close: () => void;
};

/** Renews the leases of `held` in one call; the reply has their order. */
export type RenewLeases = (redis: Redis, held: { id: string; lease: string }[]) => Promise<LeaseState[]>;

/** Design 4: a third of the lease, so that two renewals may be lost. */
const RENEW_EVERY_MS = 3000;

/**
 * Keeps the leases of everything this process runs with one call every 3 s, and listens for cancellations.
 * A cancel message that was missed (reconnect) is found by the next renewal. What is held may be a part of what is cancelled: its id is
 * then that of the whole, a colon and more.
 */
export const createLeaseKeeper = async (deps: Pick<Deps, 'redis' | 'logger'>, subscriber: Redis, renewAll: RenewLeases = renewLeases): Promise<LeaseKeeper> => {
  const holds = new Map<string, Hold>();

  const renew = async (): Promise<void> => {
    const held = [...holds].map(([id, { lease }]) => ({ id, lease }));
    if (held.length === 0) return;
    const states = await renewAll(deps.redis, held);
    for (const [at, { id, lease }] of held.entries()) {
      const hold = holds.get(id);
      if (hold?.lease !== lease) continue;
      if (states[at] === 'lost') hold.stop('lost');
      if (states[at] === 'cancelling') hold.stop('cancel');
    }
  };

  let renewing = false;
  const timer = setInterval(() => {
    // While Redis is away the call waits; a second one would only queue up behind it.
    if (renewing) return;
    renewing = true;
    renew()
      .catch((error: unknown) => deps.logger.error({ err: error }, 'leases could not be renewed'))
      .finally(() => {
        renewing = false;
      });
  }, RENEW_EVERY_MS);

  subscriber.on('message', (channel, id) => {
    if (channel !== CANCEL_CHANNEL) return;
    for (const [held, hold] of holds) if (held === id || held.startsWith(`${id}:`)) hold.stop('cancel');
  });
  await subscriber.subscribe(CANCEL_CHANNEL);

  return {
    hold(id, lease) {
      const controller = new AbortController();
      const unlessCancelled = new AbortController();
      let reason: StopReason | undefined;
      const hold: Hold = {
        lease,
        signal: controller.signal,
        unlessCancelled: unlessCancelled.signal,
        reason: () => reason,
        stop(why) {
          if (why !== 'cancel') unlessCancelled.abort(new Error(`stopped: ${why}`));
          if (reason) return;
          reason = why;
          controller.abort(new Error(`stopped: ${why}`));
        },
        drop() {
          if (holds.get(id) === hold) holds.delete(id);
        },
      };
      holds.set(id, hold);
      return hold;
    },
    stopAll(reason) {
      for (const hold of holds.values()) hold.stop(reason);
    },
    close: () => clearInterval(timer),
  };
};
