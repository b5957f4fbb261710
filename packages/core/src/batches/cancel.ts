import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import type { BatchRecord } from './batch.ts';
import { stepMessage } from './messages.ts';
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
  // With no chunk running nobody else would write its files; with one, this message finds nothing to do.
  if (before !== 'cancelled') await deps.queues.enqueue([stepMessage(id, 'finalize')]);
  return readBatch(deps, id);
};
