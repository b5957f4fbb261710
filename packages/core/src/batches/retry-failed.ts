import { findBlob } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { saveFile } from '../files/store.ts';
import { type BatchRecord, isEnded } from './batch.ts';
import { readAllLines } from './chunk-lines.ts';
import { type BatchCreator, startBatch } from './create.ts';
import { hasBit, readLineBits } from './store.ts';

/**
 * Makes a linked batch of the lines of an ended batch that have no result: those that failed, those of unknown outcome, and those that were
 * never begun. They are copied as a stream into an input file of their own.
 * @throws AppError `batch_running`, `nothing_to_retry`, `not_found` (its input file was deleted), `storage_error`, `unavailable`.
 */
export const retryFailed = async (deps: Deps, parent: BatchRecord, { keyId, system, models }: BatchCreator, id: string): Promise<BatchRecord> => {
  const { spec } = parent;
  if (!isEnded(parent.status)) throw new AppError('batch_running', `The batch is ${parent.status}: its failed lines can be retried when it has ended.`);
  if (parent.total - parent.completed === 0) {
    const why = parent.total === 0 ? 'The batch never began: mend its file and create a new one.' : 'Every line of the batch was completed.';
    throw new AppError('nothing_to_retry', why);
  }
  if (!(await findBlob(deps, spec.inputBlobId, spec.tenant))) throw new AppError('not_found', 'The input file of the batch was deleted: its lines are gone.');
  const { done, failed } = await readLineBits(deps, parent.id);
  const lines = async function* (): AsyncGenerator<Buffer> {
    for await (const { line, text } of readAllLines(deps, parent)) {
      if (!hasBit(done, line) || hasBit(failed, line)) yield Buffer.from(`${text}\n`);
    }
  };
  const file = await saveFile(deps, { tenant: spec.tenant, filename: `retry_of_${parent.id}.jsonl`, purpose: 'batch', source: lines() });
  // What a key allows is that of whoever retries: the key the parent was made with may have been allowed more.
  const { expiresMs: _, system: _system, models: _models, ...same } = spec;
  const own = { keyId, ...(system !== undefined && { system }), ...(models && { models }) };
  return startBatch(deps, id, { ...same, ...own, inputFileId: file.id, inputBlobId: file.blobId, retryOf: parent.id });
};
