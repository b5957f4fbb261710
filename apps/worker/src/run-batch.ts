import { type BatchEnd, type BatchProblem, type BatchRecord, type BatchStop, partsExpireMs } from '@fana/core/batches/batch.ts';
import { type Ending, endBatch } from '@fana/core/batches/finish.ts';
import { feed } from '@fana/core/batches/messages.ts';
import { LineTooLong } from '@fana/core/batches/read-lines.ts';
import { claimStep, planBatch, readBatch, releaseStep } from '@fana/core/batches/store.ts';
import { validateFile } from '@fana/core/batches/validate.ts';
import { type BatchFiles, writeFiles } from '@fana/core/batches/write-files.ts';
import { saveBlob } from '@fana/core/blobs/store.ts';
import type { Deps } from '@fana/core/deps.ts';
import { AppError, toAppError } from '@fana/core/errors.ts';
import { newId } from '@fana/core/ids.ts';
import type { JobMessage } from '@fana/core/queues.ts';
import type { Hold, LeaseKeeper } from './leases.ts';
import { persist } from './persist.ts';
import { DONE, type MessageFate } from './run-end.ts';

/** A store that is away is asked again after this. */
const AGAIN_MS = 2000;

/**
 * The story of one step of a whole batch: reading its file when it is new, writing its output files when no chunk runs any more. Dying in it
 * leaves the batch as it was: the step is done again from its beginning.
 */
export const runBatchStep = async (deps: Deps, keeper: LeaseKeeper, message: JobMessage): Promise<MessageFate> => {
  const lease = newId('lease');
  const claim = await claimStep(deps, message.id, lease);
  if (claim.kind === 'none') return DONE;
  if (claim.kind === 'leased') return { againInMs: Math.max(100, claim.untilMs - deps.now() + 50) };
  const batch = await readBatch(deps, message.id);
  if (!batch) return DONE;
  const hold = keeper.hold(batch.id, lease);
  try {
    if (batch.status === 'validating' && batch.stop === undefined) return await validate(deps, batch, hold);
    await finalize(deps, batch, hold);
    return DONE;
  } catch (thrown) {
    if (hold.reason() === 'lost') return DONE;
    await persist(hold, () => releaseStep(deps, batch.id, lease));
    // Told to stop in the middle: whoever takes it next finds out what is due now. A cancel stops the reading of a file, not the writing.
    if (hold.signal.aborted && (hold.reason() !== 'cancel' || batch.status === 'validating')) return { againInMs: 0 };
    deps.logger.warn({ err: thrown, batch_id: batch.id, code: toAppError(thrown).code }, 'a batch step broke; it is done again');
    return { againInMs: AGAIN_MS };
  } finally {
    hold.drop();
  }
};

const fileGone = (): BatchProblem => ({ code: 'input_file_deleted', message: 'The input file was deleted.', line: null, param: 'input_file_id' });

/** Reads the file. One bad line and the batch has failed, before any provider call. */
const validate = async (deps: Deps, batch: BatchRecord, hold: Hold): Promise<MessageFate> => {
  const end = (problems: BatchProblem[]): Promise<boolean> => persist(hold, () => endBatch(deps, batch, hold.lease, { status: 'failed', problems }));
  let found: Awaited<ReturnType<typeof validateFile>>;
  try {
    found = await validateFile(deps, batch.spec, await deps.blobs.stream(batch.spec.inputBlobId), hold.signal);
  } catch (thrown) {
    if (thrown instanceof LineTooLong) await end([{ code: 'line_too_long', message: thrown.message, line: thrown.line, param: null }]);
    else if (toAppError(thrown).code === 'not_found') await end([fileGone()]);
    else throw thrown;
    return DONE;
  }
  if (found.problems.length > 0) {
    await end(found.problems);
    return DONE;
  }
  const index = await saveBlob(deps, {
    tenant: batch.spec.tenant,
    bytes: Buffer.from(JSON.stringify(found.offsets)),
    mediaType: 'application/json',
    expiresMs: partsExpireMs(batch.spec, deps.config.blobs.ttlSeconds),
  });
  const plan = { total: found.total, chunks: found.offsets.length - 1, indexBlobId: index.id, model: found.model };
  const status = await persist(hold, () => planBatch(deps, batch, hold.lease, plan));
  if (status === 'in_progress') await feed(deps, batch);
  // Stopped while its file was read: there is no chunk to wait for.
  return status === 'cancelling' ? { againInMs: 0 } : DONE;
};

const END_OF: Record<BatchStop, BatchEnd> = { cancelled: 'cancelled', expired: 'expired', capped: 'completed', input_gone: 'failed' };

const problemsOf = ({ stop, total, completed, failed, spec }: BatchRecord, isInputGone: boolean): BatchProblem[] => {
  const left = total - completed - failed;
  if (isInputGone) return [fileGone()];
  if (stop !== 'capped') return [];
  const message = `max_cost_usd (${spec.maxCostUsd}) was reached: ${left} of ${total} lines were not begun. They are in the error file; retry_failed makes a batch of them.`;
  return [{ code: 'cost_limit_reached', message, line: null, param: 'max_cost_usd' }];
};

/** Writes the output files and ends the batch. */
const finalize = async (deps: Deps, batch: BatchRecord, hold: Hold): Promise<void> => {
  // A cancel is why they are written, or comes too late for them; a lost lease or a shutdown ends the writing.
  const files: BatchFiles = batch.total === 0 ? {} : await writeFiles(deps, batch, hold.unlessCancelled);
  const ending: Ending = { ...files, status: batch.stop ? END_OF[batch.stop] : 'completed', problems: problemsOf(batch, files.isInputGone ?? false) };
  const ended = await persist(hold, () => endBatch(deps, batch, hold.lease, ending));
  if (!ended) throw new AppError('lease_lost', 'The batch was taken over by another worker.');
};
