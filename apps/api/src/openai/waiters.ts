import { newId } from '@fana/core/ids.ts';
import type { EndpointName } from '@fana/core/jobs/job.ts';
import { requestDigest } from '@fana/core/jobs/join.ts';
import { leaveJob, type Place, renewWaiters } from '@fana/core/jobs/store.ts';
import type { Logger } from '@fana/core/logger.ts';
import type { Redis } from 'ioredis';

/** A third of the lease of a place. */
const RENEW_EVERY_MS = 1000;

/** The places of the callers that wait in this process: while one is held, no repetition of its request takes it. */
export type Waiters = {
  hold: (jobId: string, place: Place) => void;
  /** Gives the place up. After a `delivered` final reply nobody joins the job any more. Never rejects. */
  leave: (jobId: string, place: Place, delivered: boolean) => Promise<void>;
};

/** A place for one request, before it has a job. */
export const newPlace = (keyId: string, endpoint: EndpointName, rawBody: string): Place => ({
  digest: requestDigest(keyId, endpoint, rawBody),
  waiter: newId('lease'),
});

/** Renews all of them with one call a second, whatever their number. A place whose renewal fails is free when its lease ends. */
export const createWaiters = (redis: Redis, logger: Logger): Waiters => {
  const held = new Map<string, { id: string; waiter: string }>();
  let timer: NodeJS.Timeout | undefined;

  const renew = (): void => {
    renewWaiters(redis, [...held.values()]).catch((error: unknown) => logger.warn({ err: error }, 'places of waiting callers not renewed'));
  };

  return {
    hold(id, { waiter }) {
      held.set(waiter, { id, waiter });
      timer ??= setInterval(renew, RENEW_EVERY_MS).unref();
    },
    async leave(id, place, delivered) {
      held.delete(place.waiter);
      if (held.size === 0) {
        clearInterval(timer);
        timer = undefined;
      }
      try {
        await leaveJob(redis, id, place, delivered);
      } catch (error) {
        logger.warn({ err: error, job_id: id }, 'place of a caller not given up');
      }
    },
  };
};
