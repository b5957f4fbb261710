import { setTimeout as sleep } from 'node:timers/promises';
import { type FastUpstream, startFastUpstream } from '@fana/testkit/fast-upstream.ts';
import { startReceiver } from '@fana/testkit/webhook-receiver.ts';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Batch, type BatchClient, createBatchClient, pictureLine } from './support/batch-client.ts';
import { type Installation, startInstallation } from './support/installation.ts';

let upstream: FastUpstream;
let fana: Installation;
let client: BatchClient;
let redis: Redis;
let callMs = 0;
let isDown = false;

beforeAll(async () => {
  upstream = await startFastUpstream({
    behave: async ({ key }) => {
      await sleep(callMs);
      return isDown && key.startsWith('refuse') ? { status: 400 } : isDown && key.startsWith('cut') ? 'hangUp' : 'answer';
    },
  });
  fana = await startInstallation({ env: { ...upstream.env, FANA_CONCURRENCY_BATCH: '16', FANA_ALLOW_PRIVATE_NETWORK: 'true' } });
  client = createBatchClient(fana);
  redis = new Redis(fana.redis.url);
});
afterAll(async () => {
  redis.disconnect();
  await fana.stop();
  await upstream.stop();
});
beforeEach(() => {
  callMs = 0;
  isDown = false;
});

const pictures = (prefix: string, count: number, more: object = {}): string[] =>
  Array.from({ length: count }, (_, n) => pictureLine(`${prefix}-${n}`, `${prefix} ${n}`, more));
const callsOf = (prefix: string): number => [...upstream.calls.keys()].filter((key) => key.startsWith(prefix)).length;
const retry = (id: string, headers: Record<string, string> = {}) => fana.request(`/v1/batches/${id}/retry_failed`, { method: 'POST', headers });

describe('max_cost_usd', () => {
  it('stops cleanly: not more is spent, and the lines that remain are named and can be retried', async () => {
    const batch = await client.create(pictures('capped', 120, { quality: 'low' }), { max_cost_usd: 0.1 });
    expect(batch).toMatchObject({ max_cost_usd: 0.1, cost_usd: null });
    const done = await client.ended(batch.id);
    const { output, errors } = await client.filesOf(done);
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 120, completed: output.size, failed: 0 } });
    expect(done.errors?.data?.[0]).toMatchObject({
      code: 'cost_limit_reached',
      param: 'max_cost_usd',
      message: expect.stringContaining(`${errors.size} of 120`),
    });
    // 10 tokens in and 100 out at the prices of gpt-image-2.
    expect(done.cost_usd).toBeCloseTo(output.size * (10 * 5e-6 + 100 * 30e-6), 6);
    expect(done.cost_usd).toBeLessThanOrEqual(0.1);
    // It stops because the next call might not fit, not long before.
    expect(done.cost_usd).toBeGreaterThan(0.08);
    expect(callsOf('capped')).toBe(output.size);
    expect(output.size + errors.size).toBe(120);
    for (const line of errors.values()) expect(line).toMatchObject({ response: null, error: { code: 'cost_limit_reached' } });
    const next = (await (await retry(batch.id)).json()) as Batch;
    expect(next).toMatchObject({ retry_of: batch.id, max_cost_usd: 0.1 });
    expect(await client.ended(next.id)).toMatchObject({ request_counts: { total: errors.size } });
  });

  it('counts what may have been billed: a picture of unknown outcome costs what was reserved for it', async () => {
    isDown = true;
    const batch = await client.create(
      Array.from({ length: 40 }, (_, n) => pictureLine(`cut-${n}`, `cut off ${n}`, { quality: 'low' })),
      { max_cost_usd: 0.05 },
    );
    const done = await client.ended(batch.id);
    const { errors } = await client.filesOf(done);
    const unknown = [...errors.values()].filter(({ error }) => error.code === 'unknown_outcome').length;
    // 272 tokens are reserved for such a picture.
    expect(unknown).toBe(Math.floor(0.05 / (272 * 30e-6)));
    expect(callsOf('cut off')).toBe(unknown);
    expect(done.cost_usd).toBeLessThanOrEqual(0.05);
    expect(done).toMatchObject({ status: 'completed', output_file_id: null, request_counts: { total: 40, completed: 0, failed: unknown } });
  });

  it('is refused for a model whose price is not known, with the line', async () => {
    const batch = await client.create([...pictures('known', 2), pictureLine('x', 'unknown', { model: 'gpt-image-2.5-flare' })], { max_cost_usd: 5 });
    const done = await client.ended(batch.id);
    expect(done).toMatchObject({ status: 'failed', errors: { data: [{ code: 'unknown_price', line: 3, param: 'body.model' }] } });
    expect(callsOf('known')).toBe(0);
  });
});

describe('retry_failed', () => {
  it('makes a linked batch of the failed lines and those of unknown outcome, once for an Idempotency-Key', async () => {
    isDown = true;
    const lines = [...pictures('fine', 3), pictureLine('refused', 'refuse me'), pictureLine('lost', 'cut me')];
    const parent = await client.ended((await client.create(lines, { metadata: { order: '7' } })).id);
    expect(parent.request_counts).toEqual({ total: 5, completed: 3, failed: 2 });
    isDown = false;
    const first = await retry(parent.id, { 'idempotency-key': 'retry-once' });
    const child = (await first.json()) as Batch;
    expect(first.status).toBe(200);
    expect(child).toMatchObject({ object: 'batch', status: 'validating', retry_of: parent.id, metadata: { order: '7' }, endpoint: '/v1/images/generations' });
    const again = await retry(parent.id, { 'idempotency-key': 'retry-once' });
    expect([((await again.json()) as Batch).id, again.headers.get('idempotent-replayed')]).toEqual([child.id, 'true']);
    const done = await client.ended(child.id);
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 2, completed: 2, failed: 0 } });
    expect([...(await client.filesOf(done)).output.keys()].sort()).toEqual(['lost', 'refused']);
    for (let n = 0; n < 3; n++) expect(upstream.calls.get(`fine ${n}`)).toBe(1);
    // Nothing is left of the child.
    expect([(await retry(child.id)).status, ((await (await retry(child.id)).json()) as { error: { code: string } }).error.code]).toEqual([
      400,
      'nothing_to_retry',
    ]);
  });

  it('of a batch that runs is a 409, of one that never began a 400', async () => {
    callMs = 1000;
    const running = await client.create(pictures('running', 20));
    const refused = await retry(running.id);
    expect([refused.status, ((await refused.json()) as { error: { code: string } }).error.code]).toEqual([409, 'batch_running']);
    const bad = await client.ended((await client.create(['not json'])).id);
    expect((await retry(bad.id)).status).toBe(400);
    await client.ended(running.id);
  });

  it('runs with what the key allows that asks for it', async () => {
    const newKey = async (models: string[]): Promise<string> => {
      const response = await fana.request('/v1/admin/keys', { body: { name: 'k', tenant: 'retries', scopes: ['jobs', 'files'], models } });
      return ((await response.json()) as { key: string }).key;
    };
    isDown = true;
    const owner = createBatchClient(fana, await newKey(['gpt-image-2']));
    const parent = await owner.ended((await owner.create([pictureLine('r', 'refuse once')])).id);
    const narrowKey = await newKey(['gpt-image-1']);
    const other = createBatchClient(fana, narrowKey);
    isDown = false;
    const response = await fana.request(`/v1/batches/${parent.id}/retry_failed`, { method: 'POST', key: narrowKey });
    const done = await other.ended(((await response.json()) as Batch).id);
    expect(done).toMatchObject({ status: 'failed', errors: { data: [{ line: 1, param: 'body.model' }] } });
    expect(upstream.calls.get('refuse once')).toBe(1);
  });
});

describe('the end of its 24 hours', () => {
  it('ends a batch as expired: what was done is in the output file, the rest in the error file, and its end is told once', async () => {
    const receiver = await startReceiver();
    callMs = 500;
    const batch = await client.create(pictures('expiring', 400), { webhook: { url: receiver.url } });
    expect(batch.expires_at).toBe(batch.created_at + 86_400);
    await client.until(batch.id, ({ request_counts: counts }) => (counts?.completed ?? 0) >= 16);
    // An installation cannot wait that long: its record is told that the time has come.
    const spec = JSON.parse((await redis.hget(`fana:batch:${batch.id}`, 'spec')) ?? '{}');
    await redis.hset(`fana:batch:${batch.id}`, 'spec', JSON.stringify({ ...spec, expiresMs: Date.now() }));
    const done = await client.ended(batch.id);
    expect(done).toMatchObject({ status: 'expired', expired_at: expect.any(Number) });
    const { output, errors } = await client.filesOf(done);
    expect([output.size > 0, output.size, output.size + errors.size]).toEqual([true, callsOf('expiring'), 400]);
    expect(done.request_counts).toEqual({ total: 400, completed: output.size, failed: 0 });
    for (const line of errors.values()) expect(line).toMatchObject({ response: null, error: { code: 'batch_expired' } });
    await receiver.waitFor(1);
    await sleep(500);
    expect(receiver.requests.map(({ body }) => JSON.parse(body))).toMatchObject([{ type: 'batch.expired', data: { id: batch.id, status: 'expired' } }]);
    await receiver.stop();
    // The rest can be had.
    callMs = 0;
    const next = (await (await retry(batch.id)).json()) as Batch;
    expect(await client.ended(next.id)).toMatchObject({ status: 'completed', request_counts: { total: errors.size, completed: errors.size, failed: 0 } });
  });
});

describe('output_expires_after', () => {
  it('is the life of the output files, from their creation', async () => {
    const batch = await client.create(pictures('short', 1), { output_expires_after: { anchor: 'created_at', seconds: 3600 } });
    const done = await client.ended(batch.id);
    const file = await client.openai.files.retrieve(done.output_file_id ?? '');
    expect(file).toMatchObject({ purpose: 'batch_output', filename: expect.stringContaining(batch.id) });
    expect((file.expires_at ?? 0) - file.created_at).toBe(3600);
  });
});
