import { BATCH_TRANSITIONS, type BatchSpec, type BatchStatus, CHUNK_LINES, CHUNK_WINDOW } from '@fana/core/batches/batch.ts';
import {
  beginLine,
  chunkResults,
  claimChunk,
  claimStep,
  endChunk,
  feedBatch,
  finishBatch,
  type HeldLine,
  insertBatch,
  pendingChunks,
  planBatch,
  readBatch,
  releaseChunk,
  renewBatchLeases,
  reopenLine,
  settleLine,
  stopBatch,
} from '@fana/core/batches/store.ts';
import { newId } from '@fana/core/ids.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';

let redis: TestRedis;
let deps: TestDeps;

beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
});
afterAll(async () => {
  await deps.close();
  await redis.stop();
});

const specOf = (more: Partial<BatchSpec> = {}): BatchSpec => ({
  tenant: newId('req'),
  keyId: 'key_test',
  endpoint: 'images.generations',
  inputFileId: 'file_test',
  inputBlobId: 'blob_test',
  metadata: {},
  expiresMs: Date.now() + 86_400_000,
  ...more,
});

const read = async (id: string) => {
  const batch = await readBatch(deps, id);
  if (!batch) throw new Error('no batch');
  return batch;
};

/** A batch whose file was found good. */
const planned = async (total: number, more: Partial<BatchSpec> = {}) => {
  const id = newId('batch');
  await insertBatch(deps, id, specOf(more));
  await claimStep(deps, id, 'validator');
  const chunks = Math.ceil(total / CHUNK_LINES);
  await planBatch(deps, await read(id), 'validator', { total, chunks, indexBlobId: 'blob_index' });
  return read(id);
};

const lineOf = (batchId: string, line: number, lease: string, estimateUsd?: number): HeldLine => ({
  batchId,
  chunk: Math.floor(line / CHUNK_LINES),
  lease,
  line,
  ...(estimateUsd !== undefined && { estimateUsd }),
});
const settle = (held: HeldLine, isFailed = false, costUsd?: number) => settleLine(deps, held, { isFailed, result: '{}', costUsd });

test('only a small window of chunks is ever in the queue, and every chunk enters once', async () => {
  const batch = await planned(CHUNK_LINES * 20);
  const seen: number[] = [];
  const { tenant } = batch.spec;
  expect(await feedBatch(deps, batch.id, tenant)).toHaveLength(CHUNK_WINDOW);
  expect(await feedBatch(deps, batch.id, tenant)).toEqual([]);
  for (let chunk = 0; chunk < 20; chunk++) {
    expect(await pendingChunks(deps, batch.id)).toContain(chunk);
    await claimChunk(deps, batch, chunk, 'worker');
    expect(await endChunk(deps, batch.id, chunk, 'worker', undefined)).toBe(chunk === 19 ? 'last' : 'ended');
    seen.push(...(await feedBatch(deps, batch.id, tenant)));
  }
  expect(seen).toEqual(Array.from({ length: 20 - CHUNK_WINDOW }, (_, n) => n + CHUNK_WINDOW));
});

test('the batches of one tenant share its window', async () => {
  const { tenant } = specOf();
  const first = await planned(CHUNK_LINES * 20, { tenant });
  const second = await planned(CHUNK_LINES * 20, { tenant });
  expect(await feedBatch(deps, first.id, tenant)).toHaveLength(CHUNK_WINDOW / 2);
  expect(await feedBatch(deps, second.id, tenant)).toHaveLength(CHUNK_WINDOW / 2);
});

test('a line is settled once, whoever asks how often, and counts come from the bits', async () => {
  const batch = await planned(3);
  await feedBatch(deps, batch.id, batch.spec.tenant);
  await claimChunk(deps, batch, 0, 'worker');
  for (const line of [0, 1]) expect(await beginLine(deps, lineOf(batch.id, line, 'worker'), undefined)).toBe('begun');
  for (let again = 0; again < 3; again++) expect(await settle(lineOf(batch.id, 0, 'worker'))).toBe('settled');
  await settle(lineOf(batch.id, 1, 'worker'), true);
  expect(await read(batch.id)).toMatchObject({ total: 3, completed: 1, failed: 1 });
  expect(await chunkResults(deps, batch.id, 0)).toEqual(['1 {}', '2 {}']);
});

test('who has lost the chunk cannot write, and the next holder sees which calls were open', async () => {
  const batch = await planned(4);
  await feedBatch(deps, batch.id, batch.spec.tenant);
  await claimChunk(deps, batch, 0, 'dead');
  await beginLine(deps, lineOf(batch.id, 0, 'dead'), undefined);
  await settle(lineOf(batch.id, 0, 'dead'));
  await beginLine(deps, lineOf(batch.id, 1, 'dead'), undefined);
  await beginLine(deps, lineOf(batch.id, 2, 'dead'), undefined);
  await reopenLine(deps, lineOf(batch.id, 2, 'dead'), false);
  expect(await claimChunk(deps, batch, 0, 'next')).toMatchObject({ kind: 'leased' });
  expect(await renewBatchLeases(deps.redis, [{ batchId: batch.id, chunk: 0, lease: 'dead' }])).toEqual(['held']);
  // The lease of a dead worker runs out; here it is given back in its name.
  await releaseChunk(deps, batch.id, 0, 'dead');
  expect(await claimChunk(deps, batch, 0, 'next')).toEqual({ kind: 'claimed', states: ['done', 'open', 1, 0], isStopped: false });
  expect(await settle(lineOf(batch.id, 1, 'dead'))).toBe('lost');
  expect(await beginLine(deps, lineOf(batch.id, 3, 'dead'), undefined)).toBe('lost');
  expect(await reopenLine(deps, lineOf(batch.id, 1, 'dead'), false)).toBe(false);
  expect(await endChunk(deps, batch.id, 0, 'dead', undefined)).toBe('lost');
  expect(await renewBatchLeases(deps.redis, [{ batchId: batch.id, chunk: 0, lease: 'dead' }])).toEqual(['lost']);
});

test('a line makes three calls at most, and one that did not count makes room for another', async () => {
  const batch = await planned(1);
  await feedBatch(deps, batch.id, batch.spec.tenant);
  await claimChunk(deps, batch, 0, 'worker');
  const line = lineOf(batch.id, 0, 'worker');
  for (let pause = 0; pause < 10; pause++) {
    expect(await beginLine(deps, line, undefined)).toBe('begun');
    await reopenLine(deps, line, true);
  }
  for (let call = 0; call < 3; call++) {
    expect(await beginLine(deps, line, undefined)).toBe('begun');
    // Sent again because its acknowledgement was lost: the same call.
    expect(await beginLine(deps, line, undefined)).toBe('begun');
    await reopenLine(deps, line, false);
  }
  expect(await beginLine(deps, line, undefined)).toBe('spent');
});

test('under a cost cap calls are reserved before they are made, and the batch stops before it would go over', async () => {
  const batch = await planned(10, { maxCostUsd: 1 });
  await feedBatch(deps, batch.id, batch.spec.tenant);
  await claimChunk(deps, batch, 0, 'worker');
  const line = (n: number) => lineOf(batch.id, n, 'worker', 0.4);
  expect(await beginLine(deps, line(0), 1)).toBe('begun');
  expect(await beginLine(deps, line(1), 1)).toBe('begun');
  // 0.8 is reserved: another 0.4 might be too much, but what is under way may turn out cheaper.
  expect(await beginLine(deps, line(2), 1)).toBe('wait');
  await settle(line(0), false, 0.1);
  await settle(line(1), false, 0.1);
  expect(await beginLine(deps, line(2), 1)).toBe('begun');
  await settle(line(2), false, 0.5);
  expect(await beginLine(deps, line(3), 1)).toBe('stopped');
  expect(await read(batch.id)).toMatchObject({ stop: 'capped', completed: 3, costUsd: expect.closeTo(0.7, 6) });
});

test('a call of unknown price counts as what was reserved for it, and a dead worker’s reservations are given back', async () => {
  const batch = await planned(10, { maxCostUsd: 1 });
  await feedBatch(deps, batch.id, batch.spec.tenant);
  await claimChunk(deps, batch, 0, 'dead');
  await beginLine(deps, lineOf(batch.id, 0, 'dead', 0.4), 1);
  await settle(lineOf(batch.id, 0, 'dead', 0.4));
  await beginLine(deps, lineOf(batch.id, 1, 'dead', 0.5), 1);
  await releaseChunk(deps, batch.id, 0, 'dead');
  await claimChunk(deps, batch, 0, 'next');
  expect(await read(batch.id)).toMatchObject({ costUsd: expect.closeTo(0.4, 6) });
  expect(await beginLine(deps, lineOf(batch.id, 2, 'next', 0.5), 1)).toBe('begun');
});

test('its files are written once, when no chunk runs any more', async () => {
  const batch = await planned(CHUNK_LINES * 2);
  await feedBatch(deps, batch.id, batch.spec.tenant);
  expect(await claimStep(deps, batch.id, 'early')).toEqual({ kind: 'none' });
  for (const chunk of [0, 1]) {
    await claimChunk(deps, batch, chunk, 'worker');
    await endChunk(deps, batch.id, chunk, 'worker', undefined);
  }
  expect(await claimStep(deps, batch.id, 'first')).toEqual({ kind: 'claimed' });
  expect(await claimStep(deps, batch.id, 'second')).toMatchObject({ kind: 'leased' });
  const ending: Parameters<typeof finishBatch>[3] = { status: 'completed', keptMs: 1000, deliveries: [], fields: {} };
  expect(await finishBatch(deps, batch, 'second', ending)).toBe('lost');
  expect(await finishBatch(deps, batch, 'first', ending)).toBe('ended');
  expect(await claimStep(deps, batch.id, 'third')).toEqual({ kind: 'none' });
});

test('every way a batch goes is one of the table, and every way of the table is gone', async () => {
  const gone = new Set<string>();
  const walk = async (id: string, step: () => Promise<unknown>): Promise<void> => {
    const before = (await read(id)).status;
    await step();
    const after = (await read(id)).status;
    if (before === after) return;
    expect(BATCH_TRANSITIONS[before] as readonly BatchStatus[]).toContain(after);
    gone.add(`${before} ${after}`);
  };
  const end = async (id: string, status: 'completed' | 'failed' | 'expired' | 'cancelled'): Promise<void> => {
    await walk(id, () => claimStep(deps, id, 'step'));
    const batch = await read(id);
    await walk(id, () => finishBatch(deps, batch, 'step', { status, keptMs: 1000, deliveries: [], fields: {} }));
  };
  const fresh = async (): Promise<string> => {
    const id = newId('batch');
    await insertBatch(deps, id, specOf());
    return id;
  };
  const running = async (): Promise<string> => {
    const id = await fresh();
    await walk(id, async () => {
      await claimStep(deps, id, 'step');
      await planBatch(deps, await read(id), 'step', { total: 1, chunks: 1, indexBlobId: 'blob_index' });
    });
    return id;
  };
  await end(await fresh(), 'failed');
  const late = await fresh();
  await stopBatch(deps, late, 'expired');
  await end(late, 'expired');
  for (const status of ['expired', 'failed'] as const) {
    const id = await running();
    await stopBatch(deps, id, status === 'expired' ? 'expired' : 'input_gone');
    await end(id, status);
  }
  const cancelled = await running();
  await walk(cancelled, () => stopBatch(deps, cancelled, 'cancelled'));
  await end(cancelled, 'cancelled');
  const early = await fresh();
  await walk(early, () => stopBatch(deps, early, 'cancelled'));
  await end(early, 'cancelled');
  const whole = await running();
  await feedBatch(deps, whole, (await read(whole)).spec.tenant);
  await claimChunk(deps, await read(whole), 0, 'worker');
  await endChunk(deps, whole, 0, 'worker', undefined);
  await end(whole, 'completed');
  for (const id of [cancelled, whole]) expect(await stopBatch(deps, id, 'cancelled')).toMatch(/cancelled|completed/);
  expect([...gone].sort()).toEqual(
    Object.entries(BATCH_TRANSITIONS)
      .flatMap(([from, list]) => list.map((to) => `${from} ${to}`))
      .sort(),
  );
});
