import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { cancelJob } from '@fana/core/jobs/cancel.ts';
import { eraseJob } from '@fana/core/jobs/erase.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { retryJob } from '@fana/core/jobs/retry.ts';
import { claimJob, jobKey, readJob } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import { connectSubscriber } from '@fana/core/redis.ts';
import { loadLanguageDetector } from '@fana/core/triggers/language.ts';
import { readDelivery, recordDelivery } from '@fana/core/webhooks/store.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createLeaseKeeper, type LeaseKeeper } from '../src/leases.ts';
import { runJob } from '../src/run-job.ts';
import { sweep } from '../src/sweep.ts';

let redis: TestRedis;
let deps: TestDeps;
let subscriber: Redis;
let keeper: LeaseKeeper;

beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
  subscriber = connectSubscriber(redis.url);
  keeper = await createLeaseKeeper(deps, subscriber);
  await loadLanguageDetector();
});
afterAll(async () => {
  keeper.close();
  subscriber.disconnect();
  await deps.close();
  await redis.stop();
});

let count = 0;
const submit = async (body: Record<string, unknown>): Promise<JobRecord> => {
  const caller = { tenant: 'alice', keyId: 'key_1', requestsPerMinute: 1000 };
  const sent = { webhook: { url: 'https://hooks.example.com/' }, ...body };
  return (await submitJob(deps, createAcceptor(deps), caller, sent, { rawBody: '', idempotencyKey: `once-${++count}` })).job;
};
const reread = async (id: string): Promise<JobRecord> => (await readJob(deps.redis, id)) ?? Promise.reject(new Error('the job is gone'));
const delivered = async (id: string): Promise<void> => {
  const delivery = await readDelivery(deps.redis, (await deps.redis.hget(jobKey(id), 'deliveries')) ?? '');
  if (!delivery) throw new Error('no delivery');
  const attempt = { number: 1, at: 1, status: 200, error: null, durationMs: 1 };
  await recordDelivery(deps.redis, delivery, attempt, { answer: 'taken', url: delivery.spec.url, status: 'delivered', nowMs: Date.now() });
};
/** Keys that would stay for ever, but the queues' own. */
const lasting = async (): Promise<string[]> => {
  const keys = (await deps.redis.keys('fana:*')).filter((key) => !key.startsWith('fana:bull'));
  const ttls = await Promise.all(keys.map((key) => deps.redis.ttl(key)));
  return keys.filter((_, at) => ttls[at] === -1);
};

it('nothing of a job stays without a time to live: run, retried, cancelled, deleted while queued, left by a dead worker', async () => {
  const chat = await submit({ type: 'chat', input: `hello ${'x'.repeat(9000)}` });
  const image = await submit({ type: 'image', input: 'a fox', parameters: { size: '64x64' } });
  for (const { id } of [chat, image]) await runJob(deps, keeper, { id, run: 1 });

  const retried = await submit({ type: 'chat', input: 'again' });
  await cancelJob(deps, retried);
  await delivered(retried.id);
  await retryJob(deps, await reread(retried.id));
  await runJob(deps, keeper, { id: retried.id, run: 2 });

  const left = await submit({ type: 'chat', input: 'left' });
  await claimJob(deps.redis, left.id, 1, 'lease_of_the_dead');
  await deps.redis.hset(jobKey(left.id), 'lease_ms', '1');
  await runJob(deps, keeper, { id: left.id, run: 1 });

  const done = [chat, image, retried, left];
  for (const { id } of done) expect((await reread(id)).status).toBe('completed');
  for (const { id } of done) await delivered(id);

  const deleted = await submit({ type: 'vision', input: { text: 'what?', images: [{ data: 'aGVsbG8=' }] } });
  await eraseJob(deps, deleted);
  expect(await runJob(deps, keeper, { id: deleted.id, run: 1 })).toEqual({});

  const year = { ...deps, now: () => Date.now() + 366 * 24 * 3600 * 1000 };
  await sweep(year);
  for (const { id } of done) expect(await readJob(deps.redis, id)).toBeUndefined();
  expect(await lasting()).toEqual([]);
});
