import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import type { BatchRecord } from './batch.ts';
import { resendBatch } from './messages.ts';
import { readBatch, stopBatch } from './store.ts';

/**
 * Cancels a batch: from now on no line is begun, in whichever process its chunks run; lines under way end, and what has ended stays in the
 * output file. Cancelling twice is no error.
 * @throws AppError `batch_not_cancellable` when it has ended or its files are being written, `not_found`.
 */
export const cancelBatch = async (deps: Pick<Deps, 'redis' | 'queues'>, id: string): Promise<BatchRecord | undefined> => {
  const before = await stopBatch(deps, id, 'cancelled');
  if (before !== 'validating' && before !== 'in_progress' && before !== 'cancelling' && before !== 'cancelled') {
    throw new AppError('batch_not_cancellable', `The batch cannot be cancelled any more: it is ${before}.`);
  }
  const batch = await readBatch(deps, id);
  // Chunks that wait for their turn are to end now; with none of them nobody else would write the files.
  if (batch?.status === 'cancelling') await resendBatch(deps, batch);
  return batch;
};
