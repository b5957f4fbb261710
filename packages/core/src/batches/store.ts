import type { Redis } from 'ioredis';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { DUE, ENDED, RUNNING_BAND_MS } from '../jobs/store.ts';
import { execute, loadScript } from '../redis.ts';
import { type Delivery, deliveryArguments } from '../webhooks/delivery.ts';
import {
  BATCH_STATUSES,
  type BatchEnd,
  type BatchRecord,
  type BatchSpec,
  type BatchStatus,
  type BatchStop,
  CHUNK_LINES,
  CHUNK_WINDOW,
  MAX_TRIES,
} from './batch.ts';

/** Hash of a batch; its bitmaps, chunks and parts are keys below it. */
const batchKey = (id: string): string => `fana:batch:${id}`;
const doneKey = (id: string): string => `${batchKey(id)}:done`;
const failedKey = (id: string): string => `${batchKey(id)}:failed`;
const openKey = (id: string): string => `${batchKey(id)}:open`;
const triesKey = (id: string): string => `${batchKey(id)}:tries`;
const endedChunksKey = (id: string): string => `${batchKey(id)}:chunks`;
const partsKey = (id: string): string => `${batchKey(id)}:parts`;
const chunkKey = (id: string, number: number): string => `${batchKey(id)}:chunk:${number}`;
const resultsKey = (id: string, number: number): string => `${batchKey(id)}:results:${number}`;
/** Zset of a tenant's batches; score: unix µs of creation. */
export const tenantBatchesKey = (tenant: string): string => `fana:tenant:${tenant}:batches`;
const runningKey = (tenant: string): string => `fana:tenant:${tenant}:running-batches`;

/** As that of jobs: a dead worker's chunk is free after at most this. */
const LEASE_MS = 10_000;
/** The sweep looks at a batch this often while it has not ended. */
export const BATCH_CHECK_MS = 5_000;

const scripts = {
  create: loadScript(import.meta.url, './create-batch.lua'),
  claim: loadScript(import.meta.url, './claim-batch.lua'),
  plan: loadScript(import.meta.url, './plan-batch.lua'),
  feed: loadScript(import.meta.url, './feed-batch.lua'),
  pending: loadScript(import.meta.url, './pending-chunks.lua'),
  claimChunk: loadScript(import.meta.url, './claim-chunk.lua'),
  beginLine: loadScript(import.meta.url, './begin-line.lua'),
  reopenLine: loadScript(import.meta.url, './reopen-line.lua'),
  settleLine: loadScript(import.meta.url, './settle-line.lua'),
  endChunk: loadScript(import.meta.url, './end-chunk.lua'),
  releaseChunk: loadScript(import.meta.url, './release-chunk.lua'),
  renew: loadScript(import.meta.url, './renew-batch.lua'),
  stop: loadScript(import.meta.url, './stop-batch.lua'),
  end: loadScript(import.meta.url, './end-batch.lua'),
  erase: loadScript(import.meta.url, './erase-batch.lua'),
};

type RedisDeps = Pick<Deps, 'redis'>;

/** Writes a new batch; one that exists under this id stays as it is. */
export const insertBatch = async ({ redis }: RedisDeps, id: string, spec: BatchSpec): Promise<void> => {
  await scripts.create(redis, [batchKey(id), DUE, tenantBatchesKey(spec.tenant)], [id, JSON.stringify(spec), BATCH_CHECK_MS - RUNNING_BAND_MS]);
};

const numberOf = (text: string | undefined): number => Number(text ?? 0);

const decode = (id: string, hash: Record<string, string>, done: number, failed: number): BatchRecord => {
  const reachedMs: BatchRecord['reachedMs'] = {};
  for (const status of BATCH_STATUSES) if (hash[`${status}_ms`] !== undefined) reachedMs[status] = Number(hash[`${status}_ms`]);
  return {
    id,
    spec: JSON.parse(hash['spec'] ?? '{}'),
    status: hash['status'] as BatchStatus,
    createdMs: numberOf(hash['created_ms']),
    reachedMs,
    total: numberOf(hash['total']),
    completed: done - failed,
    failed,
    chunks: numberOf(hash['chunks']),
    usage: {
      inputTokens: numberOf(hash['input_tokens']),
      cachedInputTokens: numberOf(hash['cached_tokens']),
      outputTokens: numberOf(hash['output_tokens']),
      reasoningTokens: numberOf(hash['reasoning_tokens']),
    },
    problems: hash['problems'] === undefined ? [] : JSON.parse(hash['problems']),
    ...(hash['stop'] !== undefined && { stop: hash['stop'] as BatchStop }),
    ...(hash['index_blob'] !== undefined && { indexBlobId: hash['index_blob'] }),
    ...(hash['model'] !== undefined && { model: hash['model'] }),
    ...(hash['cost'] !== undefined && { costUsd: Number(hash['cost']) }),
    ...(hash['output_file'] !== undefined && { outputFileId: hash['output_file'] }),
    ...(hash['error_file'] !== undefined && { errorFileId: hash['error_file'] }),
  };
};

/** The records of these ids that exist, in their order, in one round trip. */
export const readBatches = async ({ redis }: RedisDeps, ids: string[]): Promise<BatchRecord[]> => {
  if (ids.length === 0) return [];
  const pipeline = redis.pipeline();
  for (const id of ids) pipeline.hgetall(batchKey(id)).bitcount(doneKey(id)).bitcount(failedKey(id));
  const replies = await execute(pipeline);
  return ids.flatMap((id, at) => {
    const [hash, done, failed] = replies.slice(3 * at, 3 * at + 3) as [Record<string, string>, number, number];
    return hash['spec'] === undefined ? [] : [decode(id, hash, done, failed)];
  });
};

/** The record of a batch, whoever owns it. */
export const readBatch = async (deps: RedisDeps, id: string): Promise<BatchRecord | undefined> => (await readBatches(deps, [id]))[0];

/** `none`: it has ended, or its chunks still run. */
export type StepClaim = { kind: 'none' } | { kind: 'leased'; untilMs: number } | { kind: 'claimed' };

/** Takes the lease of the step that the batch is due for: reading its file, or writing its output files. */
export const claimStep = async ({ redis }: RedisDeps, id: string, lease: string): Promise<StepClaim> => {
  const [kind, untilMs] = (await scripts.claim(redis, [batchKey(id), endedChunksKey(id)], [lease, LEASE_MS])) as [StepClaim['kind'], string];
  return kind === 'leased' ? { kind, untilMs: Number(untilMs) } : { kind };
};

export type Plan = { total: number; chunks: number; indexBlobId: string; model?: string | undefined };

/** Lets the chunks of a batch run, once its file was found good. */
export const planBatch = async ({ redis }: RedisDeps, { id, spec }: BatchRecord, lease: string, plan: Plan): Promise<BatchStatus | 'lost'> =>
  (await scripts.plan(redis, [batchKey(id), runningKey(spec.tenant)], [id, lease, plan.total, plan.chunks, plan.indexBlobId, plan.model ?? ''])) as
    | BatchStatus
    | 'lost';

/** Numbers of the chunks that may enter the queue now. */
export const feedBatch = async ({ redis }: RedisDeps, id: string, tenant: string): Promise<number[]> =>
  (await scripts.feed(redis, [batchKey(id), endedChunksKey(id), runningKey(tenant)], [CHUNK_WINDOW])) as number[];

/** Numbers of the chunks that are in the queue or run. */
export const pendingChunks = async ({ redis }: RedisDeps, id: string): Promise<number[]> =>
  (await scripts.pending(redis, [batchKey(id), endedChunksKey(id)], [])) as number[];

/** What is known of a line that a chunk begins with: it has ended, a call of it was open, or so many calls were made. */
export type LineState = 'done' | 'open' | number;
export type ChunkClaim = { kind: 'ended' } | { kind: 'leased'; untilMs: number } | { kind: 'claimed'; states: LineState[]; isStopped: boolean };

const stateOf = (letter: string): LineState => (letter === 'd' ? 'done' : letter === 'o' ? 'open' : Number(letter));

/** Takes the lease of a chunk. `batch.total` bounds its lines. */
export const claimChunk = async ({ redis }: RedisDeps, { id, total }: BatchRecord, number: number, lease: string): Promise<ChunkClaim> => {
  const first = number * CHUNK_LINES;
  const keys = [batchKey(id), chunkKey(id, number), endedChunksKey(id), doneKey(id), openKey(id), triesKey(id)];
  const args = [number, lease, LEASE_MS, first, Math.min(CHUNK_LINES, total - first)];
  const [kind, value, stopped] = (await scripts.claimChunk(redis, keys, args)) as [ChunkClaim['kind'], string, number];
  if (kind === 'leased') return { kind, untilMs: Number(value) };
  return kind === 'claimed' ? { kind, states: [...value].map(stateOf), isStopped: stopped === 1 } : { kind };
};

/** A line of a chunk this worker holds. `estimateUsd` is what its call may cost, where the batch has a cap. */
export type HeldLine = { batchId: string; chunk: number; lease: string; line: number; estimateUsd?: number | undefined };

export type BeginLine = 'begun' | 'lost' | 'stopped' | 'wait' | 'spent';

/** Writes down that a call is about to be made for a line. */
export const beginLine = async (
  { redis }: RedisDeps,
  { batchId: id, chunk, lease, line, estimateUsd }: HeldLine,
  maxCostUsd: number | undefined,
): Promise<BeginLine> =>
  (await scripts.beginLine(
    redis,
    [batchKey(id), chunkKey(id, chunk), openKey(id), triesKey(id)],
    [lease, line, maxCostUsd === undefined ? '' : (estimateUsd ?? 0), maxCostUsd ?? '', MAX_TRIES],
  )) as BeginLine;

/** A call ended without a result and another is to follow. `isFree`: it counts as none. False: the chunk is lost. */
export const reopenLine = async ({ redis }: RedisDeps, { batchId: id, chunk, lease, line, estimateUsd }: HeldLine, isFree: boolean): Promise<boolean> =>
  (await scripts.reopenLine(redis, [batchKey(id), chunkKey(id, chunk), openKey(id), triesKey(id)], [lease, line, estimateUsd ?? '', isFree ? 1 : 0])) === 1;

export type Settlement = {
  isFailed: boolean;
  /** JSON of a `LineResult` (result.ts). */
  result: string;
  costUsd?: number | undefined;
  usage?: Partial<BatchRecord['usage']>;
};

/** Ends a line, once. `lost`: another worker holds the chunk. */
export const settleLine = async ({ redis }: RedisDeps, held: HeldLine, { isFailed, result, costUsd, usage = {} }: Settlement): Promise<'settled' | 'lost'> => {
  const { batchId: id, chunk, lease, line, estimateUsd } = held;
  const { inputTokens = 0, cachedInputTokens = 0, outputTokens = 0, reasoningTokens = 0 } = usage;
  const reply = await scripts.settleLine(
    redis,
    [batchKey(id), chunkKey(id, chunk), openKey(id), doneKey(id), failedKey(id), resultsKey(id, chunk)],
    [lease, line, isFailed ? 1 : 0, estimateUsd ?? '', costUsd ?? '', result, inputTokens, cachedInputTokens, outputTokens, reasoningTokens],
  );
  return reply === 0 ? 'lost' : 'settled';
};

/** Results of a chunk that has not ended, each as `number in the order of ending`, a space, JSON. */
export const chunkResults = ({ redis }: RedisDeps, id: string, chunk: number): Promise<string[]> => redis.lrange(resultsKey(id, chunk), 0, -1);

/** Results of many chunks in one round trip. */
export const manyChunkResults = async ({ redis }: RedisDeps, id: string, chunks: number[]): Promise<string[]> => {
  if (chunks.length === 0) return [];
  const pipeline = redis.pipeline();
  for (const chunk of chunks) pipeline.lrange(resultsKey(id, chunk), 0, -1);
  return ((await execute(pipeline)) as string[][]).flat();
};

/** The results of one chunk, in a blob: how many, and the first and last of their numbers in the order of ending. */
export type Part = { blobId: string; count: number; first: number; last: number };

/** Ends a chunk whose results are in `part`. `last`: the output files are to be written. */
export const endChunk = async ({ redis }: RedisDeps, id: string, chunk: number, lease: string, part: Part | undefined): Promise<'lost' | 'ended' | 'last'> =>
  (await scripts.endChunk(
    redis,
    [batchKey(id), chunkKey(id, chunk), endedChunksKey(id), resultsKey(id, chunk), partsKey(id)],
    [lease, chunk, part ? JSON.stringify(part) : ''],
  )) as 'lost' | 'ended' | 'last';

/** Gives a chunk back; one that another worker holds is left alone. */
export const releaseChunk = async ({ redis }: RedisDeps, id: string, chunk: number, lease: string): Promise<void> => {
  await scripts.releaseChunk(redis, [chunkKey(id, chunk)], [lease]);
};

/** Gives a step of the whole batch back; one that has ended or that another worker holds is left alone. */
export const releaseStep = async ({ redis }: RedisDeps, id: string, lease: string): Promise<void> => {
  await scripts.releaseChunk(redis, [batchKey(id)], [lease]);
};

/** The parts of a batch, in the order in which their chunks ended. */
export const readParts = async ({ redis }: RedisDeps, id: string): Promise<Part[]> => (await redis.lrange(partsKey(id), 0, -1)).map((line) => JSON.parse(line));

/** Which lines have ended, and of those which failed: one bit a line, the first line is the highest bit of the first byte. */
export const readLineBits = async ({ redis }: RedisDeps, id: string): Promise<{ done: Buffer; failed: Buffer }> => {
  const [done, failed] = await Promise.all([redis.getBuffer(doneKey(id)), redis.getBuffer(failedKey(id))]);
  return { done: done ?? Buffer.alloc(0), failed: failed ?? Buffer.alloc(0) };
};

/** Whether the bit of a line is set in what `readLineBits` gave. */
export const hasBit = (bits: Buffer, line: number): boolean => (((bits[line >> 3] ?? 0) >> (7 - (line & 7))) & 1) === 1;

/** What a worker process holds: a chunk (`number`), or the step of a whole batch. */
export type HeldPart = { batchId: string; chunk?: number | undefined; lease: string };

/** Renews leases; the reply has the order of `held`. `cancelling`: the batch takes no new lines. */
export const renewBatchLeases = async (redis: Redis, held: HeldPart[]): Promise<('held' | 'cancelling' | 'lost')[]> =>
  (await scripts.renew(
    redis,
    [],
    [LEASE_MS, ...held.flatMap(({ batchId, chunk, lease }) => [chunk === undefined ? batchKey(batchId) : chunkKey(batchId, chunk), lease, batchKey(batchId)])],
  )) as ('held' | 'cancelling' | 'lost')[];

/** Lets a batch begin no further line; returns the status before. @throws AppError `not_found`. */
export const stopBatch = async ({ redis }: RedisDeps, id: string, why: BatchStop): Promise<BatchStatus> => {
  const status = (await scripts.stop(redis, [batchKey(id)], [id, why])) as BatchStatus | '';
  if (status === '') throw new AppError('not_found', `There is no batch ${id.slice(0, 100)}.`);
  return status;
};

export type BatchEnding = { status: BatchEnd; keptMs: number; deliveries: Delivery[]; fields: Record<string, string> };

/** Ends a batch, once, with the webhook deliveries that its end owes. */
export const finishBatch = async ({ redis }: RedisDeps, { id, spec }: BatchRecord, lease: string, ending: BatchEnding): Promise<'ended' | 'lost'> =>
  (await scripts.end(
    redis,
    [batchKey(id), DUE, runningKey(spec.tenant), openKey(id), triesKey(id), endedChunksKey(id)],
    [id, lease, ending.status, ending.keptMs, spec.tenant, ...deliveryArguments(ending.deliveries), ...Object.entries(ending.fields).flat()],
  )) as 'ended' | 'lost';

/** Removes what Redis holds of an ended batch. */
export const eraseBatchKeys = async ({ redis }: RedisDeps, { id, spec }: BatchRecord): Promise<void> => {
  const others = [doneKey(id), failedKey(id), openKey(id), triesKey(id), endedChunksKey(id), partsKey(id)];
  await scripts.erase(redis, [batchKey(id), ENDED, tenantBatchesKey(spec.tenant), ...others], [id, spec.tenant]);
};
