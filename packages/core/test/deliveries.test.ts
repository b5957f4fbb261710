import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { endJob } from '@fana/core/jobs/end.ts';
import { eraseJob } from '@fana/core/jobs/erase.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { retryJob } from '@fana/core/jobs/retry.ts';
import { DUE, jobKey, readJob, tenantDeliveriesKey } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import { readDelivery, recordDelivery } from '@fana/core/webhooks/store.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const TENANT = 'alice';
const INDEX = tenantDeliveriesKey(TENANT);
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
const deliveryOf = async (id: string): Promise<string> => (await deps.redis.hget(jobKey(id), 'delivery')) ?? '';
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
  await recordDelivery(deps.redis, delivery, { number: 1, at: 1, status: 200, error: null, durationMs: 1 }, { status: 'delivered' });
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

it("a tenant's index of deliveries forgets what is older than any record, and ends with the last one", async () => {
  await deps.redis.zadd(INDEX, Date.now() - 41 * DAY_MS, 'whd_old', Date.now() - 29 * DAY_MS, 'whd_kept');
  const job = await submitted();
  await endJob(deps, job, { status: 'cancelled', lease: '' });
  expect(await deps.redis.zrange(INDEX, '0', '-1')).toEqual(['whd_kept', await deliveryOf(job.id)]);
  const ttlMs = await deps.redis.pttl(INDEX);
  expect(ttlMs).toBeGreaterThan(39 * DAY_MS);
  expect(ttlMs).toBeLessThanOrEqual(40 * DAY_MS);
});
