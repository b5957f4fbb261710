import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { endJob } from '@fana/core/jobs/end.ts';
import { eraseJob } from '@fana/core/jobs/erase.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { retryJob } from '@fana/core/jobs/retry.ts';
import { DUE, ENDED, jobKey, readJob } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import { BULLMQ_PREFIX } from '@fana/core/queues.ts';
import { loadScript } from '@fana/core/redis.ts';
import { deliveryArguments } from '@fana/core/webhooks/delivery.ts';
import type { WebhookEndpoint } from '@fana/core/webhooks/endpoint.ts';
import { WEBHOOK_EVENT_TYPES } from '@fana/core/webhooks/event.ts';
import { batchOccasion } from '@fana/core/webhooks/occasion.ts';
import { prepareDeliveries } from '@fana/core/webhooks/publish.ts';
import { endpointDeliveriesKey, readDelivery, recordDelivery } from '@fana/core/webhooks/store.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const TENANT = 'alice';
const INDEX = endpointDeliveriesKey(TENANT, 'default');
const DAY_MS = 24 * 3600 * 1000;

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
beforeEach(() => deps.redis.flushall());

const reread = async (id: string): Promise<JobRecord> => (await readJob(deps.redis, id)) ?? Promise.reject(new Error('the job is gone'));
const deliveryOf = async (id: string): Promise<string> => (await deps.redis.hget(jobKey(id), 'deliveries')) ?? '';
const submitted = async (): Promise<JobRecord> => {
  const body = { type: 'chat', input: 'hi', webhook: { url: 'https://hooks.example.com/' }, metadata: { secret: 'marker-4711' } };
  return (await submitJob(deps, createAcceptor(deps), { tenant: TENANT, keyId: 'k', requestsPerMinute: 0 }, body, { rawBody: '' })).job;
};

/** A job of three runs, each of which ended with a webhook of its own; the first was delivered, the others are pending. */
const retriedTwice = async (): Promise<{ job: JobRecord; deliveries: string[] }> => {
  let job = await submitted();
  const deliveries: string[] = [];
  for (let run = 1; run <= 3; run++) {
    if (run > 1) job = (await retryJob(deps, await reread(job.id))) ?? job;
    await endJob(deps, job, { status: 'cancelled', lease: '' });
    deliveries.push(await deliveryOf(job.id));
  }
  await delivered(deliveries[0] ?? '');
  return { job: await reread(job.id), deliveries };
};
const delivered = async (id: string): Promise<void> => {
  const delivery = await readDelivery(deps.redis, id);
  if (!delivery) throw new Error('no delivery');
  const attempt = { number: 1, at: 1, status: 200, error: null, durationMs: 1 };
  await recordDelivery(deps.redis, delivery, attempt, { answer: 'taken', url: delivery.spec.url, status: 'delivered', nowMs: Date.now() });
};
const keys = async (): Promise<string[]> => (await deps.redis.keys('fana:*')).filter((key) => !key.startsWith('fana:bull'));

describe('the deliveries of a job that was retried', () => {
  it('are all erased with it, those of earlier runs and pending ones too', async () => {
    const { job, deliveries } = await retriedTwice();
    expect(new Set(deliveries).size).toBe(3);
    expect(await deps.redis.zcard(INDEX)).toBe(3);
    await eraseJob(deps, job);
    for (const id of deliveries) expect(await readDelivery(deps.redis, id)).toBeUndefined();
    expect(await keys()).toEqual([]);
  });

  it('outlive its expiry while they are pending, and leave nothing once they have ended', async () => {
    const { job, deliveries } = await retriedTwice();
    await eraseJob(deps, job, { expired: true });
    expect(await readJob(deps.redis, job.id)).toBeUndefined();
    const [first = '', ...pending] = deliveries;
    expect(await readDelivery(deps.redis, first)).toBeUndefined();
    for (const id of pending) {
      expect((await readDelivery(deps.redis, id))?.status).toBe('pending');
      expect(await deps.redis.zscore(DUE, id)).not.toBeNull();
      await delivered(id);
      expect(await readDelivery(deps.redis, id)).toBeUndefined();
    }
    expect(await keys()).toEqual([]);
  });
});

it("an endpoint's index of deliveries forgets what is older than any record, and ends with the last one", async () => {
  await deps.redis.zadd(INDEX, Date.now() - 41 * DAY_MS, 'whd_old', Date.now() - 29 * DAY_MS, 'whd_kept');
  const job = await submitted();
  await endJob(deps, job, { status: 'cancelled', lease: '' });
  expect(await deps.redis.zrange(INDEX, '0', '-1')).toEqual(['whd_kept', await deliveryOf(job.id)]);
  const ttlMs = await deps.redis.pttl(INDEX);
  expect(ttlMs).toBeGreaterThan(39 * DAY_MS);
  expect(ttlMs).toBeLessThanOrEqual(40 * DAY_MS);
});

describe('an end that owes several deliveries', () => {
  const endpoint = (id: string): WebhookEndpoint => ({
    id,
    tenant: TENANT,
    name: id,
    url: 'https://hooks.example.com/',
    eventTypes: WEBHOOK_EVENT_TYPES,
    createdMs: 1,
    updatedMs: 1,
    encryptedSecret: '',
    hint: 'abcd',
  });
  const endpoints = { find: async () => [endpoint('whe_a'), endpoint('whe_b')], forget: () => undefined };
  /** A job that has ended and owes its own webhook and two endpoints. */
  const owing = async (): Promise<{ job: JobRecord; deliveries: string[] }> => {
    const { id } = await submitted();
    await endJob({ ...deps, endpoints }, await reread(id), { status: 'cancelled', lease: '' });
    return { job: await reread(id), deliveries: (await deliveryOf(id)).split(' ') };
  };

  it('lists each under its endpoint and sends a message for each', async () => {
    const { deliveries } = await owing();
    expect(deliveries).toHaveLength(3);
    for (const [at, endpointId] of ['default', 'whe_a', 'whe_b'].entries()) {
      expect(await deps.redis.zrange(endpointDeliveriesKey(TENANT, endpointId), '0', '-1')).toEqual([deliveries[at]]);
      expect(await deps.redis.exists(`${BULLMQ_PREFIX}:webhook:${deliveries[at]}-1`)).toBe(1);
      expect(await deps.redis.zscore(DUE, deliveries[at] ?? '')).not.toBeNull();
    }
  });

  it.each([
    [0, 1, 2],
    [2, 0, 1],
  ])('does not let its job expire before the last of them has ended (order %i %i %i)', async (...order) => {
    const { job, deliveries } = await owing();
    for (const at of order) {
      expect(await deps.redis.zscore(ENDED, job.id)).toBeNull();
      await delivered(deliveries[at] ?? '');
    }
    expect(await deps.redis.zscore(ENDED, job.id)).toBe(String(job.expiresMs));
  });

  it('keeps a job that was retried meanwhile from expiring by the end of an earlier delivery', async () => {
    const { job, deliveries } = await owing();
    await retryJob(deps, job);
    for (const id of deliveries) await delivered(id);
    expect(await deps.redis.zscore(ENDED, job.id)).toBeNull();
  });

  it('has them all erased with its job', async () => {
    const { job } = await owing();
    await eraseJob(deps, job);
    expect(await keys()).toEqual([]);
  });

  it('is the same for a batch: what it owes keeps it, what it does not lets it go', async () => {
    const id = 'batch_0123456789ABCDEFGHIJKL';
    const key = `fana:batch:${id}`;
    const script = loadScript(import.meta.url, './end-owner.lua');
    const owed = await prepareDeliveries({ ...deps, endpoints }, batchOccasion({ id, tenant: TENANT, status: 'completed', metadata: {} }));
    await deps.redis.hset(key, { expires_ms: 4711 });
    expect(await script(deps.redis, [], ['write', id, key, TENANT, Date.now(), 4711, ...deliveryArguments(owed), 'next'])).toBe('next');
    expect(owed).toHaveLength(2);
    for (const delivery of owed) {
      expect(await deps.redis.zscore(ENDED, id)).toBeNull();
      await delivered(delivery.id);
    }
    expect(await deps.redis.zscore(ENDED, id)).toBe('4711');
    await script(deps.redis, [], ['erase', id, key, TENANT]);
    await deps.redis.del(key, ENDED);
    expect(await keys()).toEqual([]);
    await script(deps.redis, [], ['write', id, key, TENANT, Date.now(), 4712, ...deliveryArguments([])]);
    expect(await deps.redis.zscore(ENDED, id)).toBe('4712');
    expect(await keys()).toEqual([ENDED]);
  });
});

it('an endpoint lists its newest 10,000 deliveries', async () => {
  const pipeline = deps.redis.pipeline();
  for (let at = 0; at < 10_000; at++) pipeline.zadd(INDEX, Date.now() - 20_000 + at, `whd_${at}`);
  await pipeline.exec();
  const job = await submitted();
  await endJob(deps, job, { status: 'cancelled', lease: '' });
  expect(await deps.redis.zcard(INDEX)).toBe(10_000);
  expect(await deps.redis.zscore(INDEX, 'whd_0')).toBeNull();
  expect(await deps.redis.zrange(INDEX, '-1', '-1')).toEqual([await deliveryOf(job.id)]);
});
