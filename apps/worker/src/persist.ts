import { setTimeout as sleep } from 'node:timers/promises';
import { toAppError } from '@fana/core/errors.ts';
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
