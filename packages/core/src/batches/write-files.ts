import { Readable } from 'node:stream';
import { findBlob } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { saveFile } from '../files/store.ts';
import { derivedId } from '../ids.ts';
import type { BatchRecord, BatchStop } from './batch.ts';
import { customIdOf, readAllLines } from './chunk-lines.ts';
import { isCompleted, type NumberedResult, presentLasting, presentResult } from './result.ts';
import { readPart } from './results.ts';
import { hasBit, readLineBits, readParts } from './store.ts';

type FileDeps = Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>;

/** What is said of a line that was never begun, by the reason for which its batch stopped. */
const NOT_BEGUN: Record<BatchStop, { code: string; message: string }> = {
  cancelled: { code: 'batch_cancelled', message: 'The batch was cancelled before this line was begun.' },
  expired: { code: 'batch_expired', message: 'The batch expired before this line was begun.' },
  capped: { code: 'cost_limit_reached', message: 'max_cost_usd was reached before this line was begun.' },
  input_gone: { code: 'input_file_deleted', message: 'The input file was deleted before this line was begun.' },
};

async function* endedLines(deps: FileDeps, batch: BatchRecord, wanted: 'completed' | 'failed'): AsyncGenerator<Buffer> {
  for (const { blobId } of await readParts(deps, batch.id)) {
    for (const one of await readPart(deps, blobId)) {
      if (isCompleted(one.result) !== (wanted === 'completed')) continue;
      yield Buffer.from(`${JSON.stringify(await presentLasting(deps, batch, one))}\n`);
    }
  }
}

/** The lines that were never begun, after all that ended: their numbers go on behind the last of those. */
async function* linesNotBegun(deps: FileDeps, batch: BatchRecord, stop: BatchStop): AsyncGenerator<Buffer> {
  const { done } = await readLineBits(deps, batch.id);
  let number = batch.completed + batch.failed;
  for await (const { line, text } of readAllLines(deps, batch)) {
    if (hasBit(done, line)) continue;
    const result: NumberedResult = { number: ++number, result: { line, customId: customIdOf(text), kind: 'ended', error: NOT_BEGUN[stop] } };
    yield Buffer.from(`${JSON.stringify(await presentResult(deps, batch, result))}\n`);
  }
}

async function* errorLines(deps: FileDeps, batch: BatchRecord, stop: BatchStop | undefined): AsyncGenerator<Buffer> {
  yield* endedLines(deps, batch, 'failed');
  if (stop) yield* linesNotBegun(deps, batch, stop);
}

/** `isInputGone`: the lines that were not begun cannot be told, because the input file was deleted. */
export type BatchFiles = { outputFileId?: string; errorFileId?: string; isInputGone?: true };

/**
 * Writes the output and the error file of a batch whose chunks have all ended, as streams over the parts. A file without lines is not made.
 * Safe to repeat: a try that died is replaced. @throws AppError `storage_error`, `unavailable`.
 */
export const writeFiles = async (deps: FileDeps, batch: BatchRecord, signal: AbortSignal): Promise<BatchFiles> => {
  const { id, spec, total, completed, failed } = batch;
  const save = async (name: 'output' | 'error', lines: AsyncGenerator<Buffer>): Promise<string> => {
    const guarded = Readable.from(lines, { signal, objectMode: true });
    const file = await saveFile(deps, {
      tenant: spec.tenant,
      filename: `${id}_${name}.jsonl`,
      purpose: 'batch_output',
      source: guarded,
      id: derivedId('file', id, name),
      ...(spec.outputTtlSeconds !== undefined && { expiresMs: deps.now() + spec.outputTtlSeconds * 1000 }),
    });
    return file.id;
  };
  const isInputGone = batch.stop !== undefined && (await findBlob(deps, spec.inputBlobId, spec.tenant)) === undefined;
  const stop = isInputGone ? undefined : batch.stop;
  const files: BatchFiles = isInputGone ? { isInputGone } : {};
  if (completed > 0) files.outputFileId = await save('output', endedLines(deps, batch, 'completed'));
  if (failed > 0 || (stop && completed < total)) files.errorFileId = await save('error', errorLines(deps, batch, stop));
  return files;
};
