import { type BatchSpec, CHUNK_LINES } from '@fana/core/batches/batch.ts';
import { listResults } from '@fana/core/batches/results.ts';
import {
  beginLine,
  chunkResults,
  claimChunk,
  claimStep,
  endChunk,
  feedBatch,
  insertBatch,
  planBatch,
  readBatch,
  settleLine,
} from '@fana/core/batches/store.ts';
import { removeBlobs, saveBlob } from '@fana/core/blobs/store.ts';
import { newId } from '@fana/core/ids.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';

let redis: TestRedis;
/** Of the worker and of the API: connections of their own, as in life. */
let worker: TestDeps;
let api: TestDeps;

beforeAll(async () => {
  redis = await startRedis();
  worker = testDeps(redis.url);
  api = testDeps(redis.url, { FANA_DATA_DIR: worker.config.dataDir });
});
afterAll(async () => {
  await api.close();
  await worker.close();
  await redis.stop();
});

const CHUNKS = 8;
const TENANT = 'readers';

const planned = async () => {
  const id = newId('batch');
  const spec: BatchSpec = {
    tenant: TENANT,
    keyId: 'key_test',
    endpoint: 'images.generations',
    inputFileId: 'file_test',
    inputBlobId: 'blob_test',
    metadata: {},
    expiresMs: Date.now() + 86_400_000,
  };
  await insertBatch(worker, id, spec);
  await claimStep(worker, id, 'step');
  const batch = await readBatch(worker, id);
  if (!batch) throw new Error('no batch');
  await planBatch(worker, batch, 'step', { total: CHUNKS * CHUNK_LINES, chunks: CHUNKS, indexBlobId: 'blob_index' });
  await feedBatch(worker, id, TENANT);
  return { ...batch, total: CHUNKS * CHUNK_LINES };
};

/** Ends every line of a chunk, several at once, and the chunk after them. */
const runChunk = async (batch: Awaited<ReturnType<typeof planned>>, chunk: number): Promise<void> => {
  await claimChunk(worker, batch, chunk, 'worker');
  const settle = async (line: number): Promise<void> => {
    const held = { batchId: batch.id, chunk, lease: 'worker', line };
    await beginLine(worker, held, undefined);
    const result = JSON.stringify({ line, customId: `id-${line}`, kind: 'ended', error: { code: 'x', message: 'x' } });
    await settleLine(worker, held, { isFailed: true, result });
  };
  for (let n = 0; n < CHUNK_LINES; n += 4) await Promise.all([0, 1, 2, 3].map((more) => settle(chunk * CHUNK_LINES + n + more)));
  const results = await chunkResults(worker, batch.id, chunk);
  const numbers = results.map((line) => Number.parseInt(line, 10));
  const blob = await saveBlob(worker, { tenant: TENANT, bytes: Buffer.from(`${results.join('\n')}\n`), mediaType: 'application/json' });
  await endChunk(worker, batch.id, chunk, 'worker', { blobId: blob.id, count: results.length, first: Math.min(...numbers), last: Math.max(...numbers) });
};

test('whoever pages through the results of a running batch gets every line once, in the order of ending', async () => {
  const batch = await planned();
  let isRunning = true;
  const running = Promise.all(Array.from({ length: CHUNKS }, (_, chunk) => runChunk(batch, chunk))).finally(() => {
    isRunning = false;
  });
  const seen: string[] = [];
  const ids: string[] = [];
  for (let wasRunning = true; wasRunning || isRunning; ) {
    wasRunning = isRunning;
    for (let hasMore = true; hasMore; ) {
      const page = await listResults(api, batch, { limit: 7, after: ids.at(-1) });
      seen.push(...page.results.map(({ custom_id }) => custom_id));
      ids.push(...page.results.map(({ id }) => id));
      hasMore = page.hasMore;
    }
  }
  await running;
  expect(ids.map((id) => Number(id.slice(id.lastIndexOf('_') + 1)))).toEqual(Array.from({ length: batch.total }, (_, n) => n + 1));
  expect(new Set(seen).size).toBe(batch.total);
});

test('a page ends before a line that has ended and was not seen yet', async () => {
  const batch = await planned();
  await claimChunk(worker, batch, 0, 'worker');
  for (const line of [0, 1, 2]) {
    const result = JSON.stringify({ line, customId: `id-${line}`, kind: 'ended', error: { code: 'x', message: 'x' } });
    await settleLine(worker, { batchId: batch.id, chunk: 0, lease: 'worker', line }, { isFailed: true, result });
  }
  // As if the second one had been written between the looks at two chunks.
  const [first = '', second = '', third = ''] = await chunkResults(worker, batch.id, 0);
  await worker.redis.lrem(`fana:batch:${batch.id}:results:0`, 1, second);
  const page = await listResults(api, batch, { limit: 10 });
  expect(page).toMatchObject({ results: [{ custom_id: 'id-0' }], hasMore: true });
  expect(await listResults(api, batch, { limit: 10, after: page.results[0]?.id })).toEqual({ results: [], hasMore: false });
  await worker.redis.rpush(`fana:batch:${batch.id}:results:0`, second);
  expect([first, second, third].map((text) => Number.parseInt(text, 10))).toEqual([1, 2, 3]);
  expect((await listResults(api, batch, { limit: 10, after: page.results[0]?.id })).results.map(({ custom_id }) => custom_id)).toEqual(['id-1', 'id-2']);
});

/** Ends a line with a picture of these bytes, told in base64; returns its blob. */
const settlePicture = async (batchId: string, line: number, bytes: Buffer): Promise<string> => {
  const { id } = await saveBlob(worker, { tenant: TENANT, bytes, mediaType: 'image/png' });
  const image = { blobId: id, mediaType: 'image/png', width: 1, height: 1, bytes: bytes.length, sha256: 'x', expiresMs: Date.now() + 60_000 };
  const spec = { model: 'gpt-image-2', type: 'image', parameters: {}, metadata: {}, echo: { response_format: 'b64_json' } };
  const finished = { createdMs: 1, finishedMs: 2, warnings: [], spec, output: { kind: 'images', images: [image] } };
  const result = JSON.stringify({ line, customId: `id-${line}`, kind: 'completed', finished });
  await settleLine(worker, { batchId, chunk: 0, lease: 'worker', line }, { isFailed: false, result });
  return id;
};

test('a picture that is gone does not keep the other results of its page from anybody', async () => {
  const batch = await planned();
  await claimChunk(worker, batch, 0, 'worker');
  for (const line of [0, 1, 2]) {
    const blobId = await settlePicture(batch.id, line, Buffer.from(`picture ${line}`));
    if (line === 1) await removeBlobs(worker, [blobId]);
  }
  const { results } = await listResults(api, batch, { limit: 10 });
  expect(results).toMatchObject([
    { custom_id: 'id-0', response: { status_code: 200, body: { data: [{ b64_json: Buffer.from('picture 0').toString('base64') }] } }, error: null },
    { custom_id: 'id-1', response: null, error: { code: 'result_deleted' } },
    { custom_id: 'id-2', response: { status_code: 200 }, error: null },
  ]);
});

test('a page of pictures ends when it is some MB long, whatever its limit, and the next one goes on', async () => {
  const batch = await planned();
  await claimChunk(worker, batch, 0, 'worker');
  for (const line of [0, 1, 2]) await settlePicture(batch.id, line, Buffer.alloc(10_000_000, line));
  const page = await listResults(api, batch, { limit: 100 });
  expect([page.results.map(({ custom_id }) => custom_id), page.hasMore]).toEqual([['id-0', 'id-1'], true]);
  const next = await listResults(api, batch, { limit: 100, after: page.results.at(-1)?.id });
  expect([next.results.map(({ custom_id }) => custom_id), next.hasMore]).toEqual([['id-2'], false]);
});
