import { setTimeout as sleep } from 'node:timers/promises';
import { keepAside } from '@fana/core/blobs/aside.ts';
import type { BlobRecord } from '@fana/core/blobs/blob.ts';
import { type NewBlob, newBlobRecord, saveBlob } from '@fana/core/blobs/store.ts';
import type { Deps } from '@fana/core/deps.ts';
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

type PersistStep = <T>(step: () => Promise<T>) => Promise<T>;

/** What a provider call made, stored; `isAside`: on this machine alone so far. */
export type Paid = { record: BlobRecord; isAside: boolean };

/**
 * Stores what a provider call made. A store that is away does not lose it: it is kept aside on this machine at once, and moved to the store
 * when that is there again (aside-mover.ts). `persistStep` is that of the run: it waits for Redis.
 * @throws AppError `result_not_stored` with `lost` as its message when this machine cannot keep it either; `unavailable` once the lease is lost.
 */
export const savePaid = async (deps: Deps, persistStep: PersistStep, blob: NewBlob, lost: string): Promise<Paid> => {
  try {
    return { record: await persistStep(() => saveBlob(deps, blob)), isAside: false };
  } catch (thrown) {
    if (toAppError(thrown).code === 'unavailable') throw thrown;
  }
  const record = newBlobRecord(deps, blob);
  try {
    await persistStep(() => keepAside(deps, record, blob.bytes));
  } catch (cause) {
    if (toAppError(cause).code === 'unavailable') throw cause;
    throw new AppError('result_not_stored', lost, { cause });
  }
  deps.logger.warn({ blob_id: record.id }, 'the blob store is away: what was paid for is kept aside');
  return { record, isAside: true };
};
