import { setTimeout as sleep } from 'node:timers/promises';
import { type FastUpstream, startFastUpstream } from '@fana/testkit/fast-upstream.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type BatchClient, chatLine, createBatchClient, pictureLine } from './support/batch-client.ts';
import { proveBatch } from './support/batch-proof.ts';
import { endProcess, type Installation, startInstallation } from './support/installation.ts';

describe('workers are killed, Redis and the API are started again, and a tenth of the calls fail', () => {
  it('of 1,000 pictures each is in one file once, and paid once or reported as of unknown outcome', async () => {
    const proof = await proveBatch({ lines: 1000, callMs: 200, env: { FANA_CONCURRENCY_BATCH: '16' }, kills: 4, timeoutMs: 150_000 });
    console.log(JSON.stringify(proof));
    expect(proof.broken).toEqual([]);
    expect(proof).toMatchObject({ redisRestarts: 1, apiRestarts: 1 });
    expect(proof.workerKills).toBeGreaterThan(1);
    expect(proof.failedCalls).toBeGreaterThan(50);
    expect(proof.completed + proof.unknown).toBe(1000);
  });

  it('chat and embeddings are made again: each line has its result after at most three calls', async () => {
    const one = { lines: 60, callMs: 700, env: { FANA_CONCURRENCY_BATCH: '4' }, kills: 1, everything: false, timeoutMs: 150_000 };
    for (const proof of await Promise.all([proveBatch({ ...one, kind: 'chat' }), proveBatch({ ...one, kind: 'embeddings' })])) {
      expect(proof.broken).toEqual([]);
      expect(proof).toMatchObject({ completed: 60, unknown: 0, workerKills: 1 });
    }
  });
});

describe('one worker of two', () => {
  let upstream: FastUpstream;
  let fana: Installation;
  let client: BatchClient;
  let callMs = 0;

  beforeAll(async () => {
    upstream = await startFastUpstream({
      behave: async ({ key }): Promise<'answer'> => {
        await sleep(key.startsWith('endless') ? 120_000 : callMs, undefined, { ref: false });
        return 'answer';
      },
    });
    fana = await startInstallation({ env: { ...upstream.env, FANA_CONCURRENCY_BATCH: '8' } });
    client = createBatchClient(fana);
  });
  afterAll(async () => {
    await fana.stop();
    await upstream.stop();
  });
  afterEach(() => {
    callMs = 0;
  });

  const pictures = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, n) => pictureLine(`${prefix}-${n}`, `${prefix} ${n}`));
  const callsOf = (prefix: string): number[] => [...upstream.calls].filter(([key]) => key.startsWith(prefix)).map(([, count]) => count);
  const running = () => {
    const worker = fana.workers.at(-1);
    if (!worker) throw new Error('there is no worker');
    return worker;
  };
  const someDone = (id: string, count: number) => client.until(id, ({ request_counts: counts }) => (counts?.completed ?? 0) >= count);

  it('is told to stop in the middle: what it has begun it ends, the other goes on at once, and nothing is unknown or called twice', async () => {
    callMs = 500;
    const leaving = running();
    const batch = await client.create(pictures('drain', 200));
    await someDone(batch.id, 10);
    await fana.startWorker();
    const askedMs = Date.now();
    expect(await endProcess(leaving, 'SIGTERM')).toBe(0);
    expect(Date.now() - askedMs).toBeLessThan(10_000);
    const before = (await client.retrieve(batch.id)).request_counts?.completed ?? 0;
    await someDone(batch.id, before + 8);
    // Its chunks were given back: nobody waits for leases of 10 s.
    expect(Date.now() - askedMs).toBeLessThan(15_000);
    const done = await client.ended(batch.id);
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 200, completed: 200, failed: 0 }, error_file_id: null });
    expect(callsOf('drain').every((count) => count === 1)).toBe(true);
    expect((await client.filesOf(done)).output.size).toBe(200);
  });

  it('dies while its batch is cancelled: a picture whose call was open is of unknown outcome, not called "not begun"', async () => {
    callMs = 4000;
    const batch = await client.create(pictures('orphan', 100));
    await client.until(batch.id, () => callsOf('orphan').length >= 8);
    await client.openai.batches.cancel(batch.id);
    const called = callsOf('orphan').length;
    await endProcess(running(), 'SIGKILL');
    await fana.startWorker();
    const done = await client.ended(batch.id);
    const { output, errors } = await client.filesOf(done);
    const unknown = [...errors.values()].filter(({ error }) => error.code === 'unknown_outcome');
    expect(output.size + unknown.length).toBe(called);
    expect(unknown.length).toBeGreaterThan(0);
    expect(done).toMatchObject({ status: 'cancelled', request_counts: { total: 100, completed: output.size, failed: unknown.length } });
    expect(errors.size + output.size).toBe(100);
    for (const [id, { error }] of errors) expect(error.code).toBe(upstream.calls.has(id.replace('-', ' ')) ? 'unknown_outcome' : 'batch_cancelled');
  });

  it('is told to stop and its calls do not end: it goes all the same, pictures are of unknown outcome, text is asked for again', async () => {
    await endProcess(running(), 'SIGTERM');
    // Three chunks at once: a process takes one for each 16 of its lines.
    const leaving = await fana.startWorker({ FANA_CONCURRENCY_BATCH: '48' });
    const picturesBatch = await client.create([...pictures('endless', 2), ...pictures('quick', 30)]);
    const chatBatch = await client.create([chatLine('chat-0', 'endless chat'), chatLine('chat-1', 'a quick chat')], { endpoint: '/v1/chat/completions' });
    const cancelled = await client.create(pictures('endless cancelled', 2));
    await client.until(chatBatch.id, () => callsOf('endless').length === 5);
    await client.openai.batches.cancel(cancelled.id);
    await fana.startWorker();
    const askedMs = Date.now();
    expect(await endProcess(leaving, 'SIGTERM')).toBe(0);
    expect(Date.now() - askedMs).toBeLessThan(31_000);
    // What it gave up it wrote down itself: nobody waits for its leases.
    expect(await client.ended(cancelled.id, 8000)).toMatchObject({ status: 'cancelled', request_counts: { total: 2, completed: 0, failed: 2 } });
    const done = await client.ended(picturesBatch.id);
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 32, completed: 30, failed: 2 } });
    for (const { error } of (await client.filesOf(done)).errors.values()) expect(error.code).toBe('unknown_outcome');
    await client.until(chatBatch.id, () => upstream.calls.get('endless chat') === 2);
    await client.openai.batches.cancel(chatBatch.id);
    expect(callsOf('endless').sort()).toEqual([1, 1, 1, 1, 2]);
  });

  it('Redis answers nothing for 6 s: no line is lost or made twice', async () => {
    callMs = 300;
    const batch = await client.create(pictures('frozen', 200));
    await someDone(batch.id, 40);
    fana.redis.pause();
    await sleep(6000);
    fana.redis.resume();
    const done = await client.ended(batch.id);
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 200, completed: 200, failed: 0 } });
    expect((await client.filesOf(done)).output.size).toBe(200);
    expect(callsOf('frozen')).toHaveLength(200);
    expect(callsOf('frozen').every((count) => count === 1)).toBe(true);
  });

  it('dies while it reads the file, and while it writes the output: both are done again, and one file is left of each', async () => {
    const batch = await client.create(pictures('steps', 800));
    await endProcess(running(), 'SIGKILL');
    await fana.startWorker();
    await client.until(batch.id, ({ request_counts: counts }) => (counts?.completed ?? 0) >= 780);
    await client.until(batch.id, ({ status }) => status === 'finalizing' || status === 'completed');
    await endProcess(running(), 'SIGKILL');
    await fana.startWorker();
    const done = await client.ended(batch.id);
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 800 } });
    const { output, errors } = await client.filesOf(done);
    expect(output.size + errors.size).toBe(800);
    const files: string[] = [];
    for await (const { filename } of client.openai.files.list({ limit: 100 })) if (filename.startsWith(batch.id)) files.push(filename);
    expect(files.sort()).toEqual([...new Set(files)]);
  });
});
