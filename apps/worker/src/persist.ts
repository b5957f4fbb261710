import { setTimeout as sleep } from 'node:timers/promises';
import { AppError, toAppError } from '@fana/core/errors.ts';
import type { Hold } from './leases.ts';

const FIRST_WAIT_MS = 100;
const MAX_WAIT_MS = 2000;

/**
 * Writes down what a provider call came to, for as long as the run is held: Redis may take no writes for a while (memory full, a replica
 * just now), and an answer that is dropped then would have to be paid for again (promise 2).
 * @throws what `step` threw when it is anything but `unavailable`, or when the lease is lost.
 */
export const persist = async <T>(hold: Pick<Hold, 'reason'>, step: () => Promise<T>): Promise<T> => {
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, MAX_WAIT_MS)) {
    try {
      return await step();
    } catch (thrown) {
      if (hold.reason() === 'lost' || toAppError(thrown).code !== 'unavailable') throw thrown;
      await sleep(waitMs);
    }
  }
};

/** What was paid for is worth waiting for a blob store that is away: 0.2 + 0.4 + … + 6.4 s. */
const STORE_ROUNDS = 6;

/**
 * Stores what a provider call made. `persistStep` is that of the run: it waits for Redis.
 * @throws AppError `result_not_stored` with `lost` as its message; `unavailable` once the lease is lost.
 */
export const storePaid = async <T>(persistStep: (step: () => Promise<T>) => Promise<T>, step: () => Promise<T>, lost: string): Promise<T> => {
  for (let round = 0; ; round++) {
    try {
      return await persistStep(step);
    } catch (cause) {
      if (toAppError(cause).code === 'unavailable') throw cause;
      if (round === STORE_ROUNDS) throw new AppError('result_not_stored', lost, { cause });
      await sleep(200 * 2 ** round);
    }
  }
};
