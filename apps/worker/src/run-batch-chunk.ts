import { type BatchRecord, partsExpireMs } from '@fana/core/batches/batch.ts';
import { type ChunkLine, readChunk } from '@fana/core/batches/chunk-lines.ts';
import { feed, stepMessage } from '@fana/core/batches/messages.ts';
import { chunkResults, claimChunk, endChunk, type LineState, type Part, readBatch, releaseChunk, stopBatch } from '@fana/core/batches/store.ts';
import { saveBlob } from '@fana/core/blobs/store.ts';
import type { Deps } from '@fana/core/deps.ts';
import { toAppError } from '@fana/core/errors.ts';
import { newId } from '@fana/core/ids.ts';
import type { JobMessage } from '@fana/core/queues.ts';
import type { LimitFunction } from 'p-limit';
import { chunkHoldId } from './batch-leases.ts';
import type { Hold, LeaseKeeper } from './leases.ts';
import { persist } from './persist.ts';
import { DONE, type MessageFate } from './run-end.ts';
import { type LineEnd, runLine } from './run-line.ts';

/** What the chunks of one process share. */
export type ChunkWorld = {
  keeper: LeaseKeeper;
  /** Lines at once in this process. */
  slots: LimitFunction;
  /** Aborted when this process takes no new work. */
  intake: AbortSignal;
};

/** A chunk this process works on. */
export type HeldChunk = {
  batch: BatchRecord;
  chunk: number;
  hold: Hold;
  /** Aborted when no line is to be begun any more: cancelled, expired, over its cap, shutdown, lost. */
  stopping: AbortSignal;
  /** Aborted when calls under way are to be given up: end of the drain, lost. A cancelled batch lets them end. */
  calls: AbortSignal;
};

/** A store that is away is asked again after this. */
const AGAIN_MS = 2000;

/**
 * The story of one chunk: claim → its lines, side by side → their results into one blob → the next chunk into the queue. It can die at any
 * line: what has ended is written down line by line, and whoever claims the chunk next goes on with the others. A line whose call was open
 * then is of unknown outcome.
 */
export const runBatchChunk = async (deps: Deps, world: ChunkWorld, { id, run: chunk }: JobMessage): Promise<MessageFate> => {
  const batch = await readBatch(deps, id);
  if (!batch) return DONE;
  const lease = newId('lease');
  const claim = await claimChunk(deps, batch, chunk, lease);
  if (claim.kind === 'ended') return DONE;
  if (claim.kind === 'leased') return { againInMs: Math.max(100, claim.untilMs - deps.now() + 50), place: 'first' };
  const hold = world.keeper.hold(chunkHoldId(id, chunk), lease);
  if (claim.isStopped) hold.stop('cancel');
  const held: HeldChunk = { batch, chunk, hold, stopping: AbortSignal.any([hold.signal, world.intake]), calls: hold.unlessCancelled };
  try {
    return await runHeld(deps, world, held, claim.states);
  } finally {
    hold.drop();
  }
};

const runHeld = async (deps: Deps, world: ChunkWorld, held: HeldChunk, states: LineState[]): Promise<MessageFate> => {
  const { batch, chunk, hold } = held;
  const lines = await readLines(deps, held);
  if (!lines) return { againInMs: AGAIN_MS };
  const open = lines.filter((_, at) => states[at] !== 'done');
  const ends = await Promise.all(open.map((line) => world.slots(() => runLine(deps, held, line, states[line.line - (lines[0]?.line ?? 0)] ?? 0))));
  if (hold.reason() === 'lost') return DONE;
  const left = ends.filter((end) => end.kind === 'left');
  const isStopped = ends.some(({ kind }) => kind === 'stopped') || hold.reason() === 'cancel';
  if (left.length > 0 && !isStopped) return giveBack(deps, held, left);
  await finishChunk(deps, batch, chunk, hold);
  return DONE;
};

/** Undefined: the store cannot be read now. A file that is gone stops the batch. */
const readLines = async (deps: Deps, { batch, chunk, hold }: HeldChunk): Promise<ChunkLine[] | undefined> => {
  try {
    return await readChunk(deps, batch, chunk);
  } catch (thrown) {
    const error = toAppError(thrown);
    if (error.code === 'not_found') {
      await stopBatch(deps, batch.id, 'input_gone');
      return [];
    }
    deps.logger.warn({ err: thrown, batch_id: batch.id, chunk }, 'the lines of a chunk cannot be read now');
    await releaseChunk(deps, batch.id, chunk, hold.lease);
    return undefined;
  }
};

/** Some lines wait for their provider, or this process ends: the chunk comes again, and no slot is held meanwhile. */
const giveBack = async (deps: Deps, { batch, chunk, hold }: HeldChunk, left: Extract<LineEnd, { kind: 'left' }>[]): Promise<MessageFate> => {
  await persist(hold, () => releaseChunk(deps, batch.id, chunk, hold.lease));
  return { againInMs: Math.min(...left.map(({ againInMs }) => againInMs)) };
};

const storeResults = async (deps: Deps, batch: BatchRecord, results: string[]): Promise<Part | undefined> => {
  if (results.length === 0) return undefined;
  const numbers = results.map((line) => Number.parseInt(line, 10));
  const blob = await saveBlob(deps, {
    tenant: batch.spec.tenant,
    bytes: Buffer.from(`${results.join('\n')}\n`),
    mediaType: 'application/json',
    expiresMs: partsExpireMs(batch.spec, deps.config.blobs.ttlSeconds),
  });
  return { blobId: blob.id, count: results.length, first: Math.min(...numbers), last: Math.max(...numbers) };
};

const finishChunk = async (deps: Deps, batch: BatchRecord, chunk: number, hold: Hold): Promise<void> => {
  const part = await persist(hold, async () => storeResults(deps, batch, await chunkResults(deps, batch.id, chunk)));
  const end = await persist(hold, () => endChunk(deps, batch.id, chunk, hold.lease, part));
  if (end === 'ended') await feed(deps, batch);
  if (end === 'last') await deps.queues.enqueue([stepMessage(batch.id, 'finalize')]);
};
