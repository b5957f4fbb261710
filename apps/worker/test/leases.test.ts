import { claimJob, jobKey, requestCancel } from '@fana/core/jobs/store.ts';
import { connectSubscriber } from '@fana/core/redis.ts';
import { acceptJob } from '@fana/testkit/accept-job.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLeaseKeeper, type Hold, type LeaseKeeper } from '../src/leases.ts';

/** A renewal is due every 3 s. */
const NEXT_RENEWAL = { timeout: 5000, interval: 20 };
let redis: TestRedis;
let deps: TestDeps;
let subscriber: Redis;
let keeper: LeaseKeeper;

beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
  subscriber = connectSubscriber(redis.url);
  keeper = await createLeaseKeeper(deps, subscriber);
});
afterAll(async () => {
  keeper.close();
  subscriber.disconnect();
  await deps.close();
  await redis.stop();
});

let count = 0;
const held = async (): Promise<{ id: string; hold: Hold }> => {
  const job = await acceptJob(deps);
  const lease = `lease_${++count}`;
  await claimJob(deps.redis, job.id, 1, lease);
  return { id: job.id, hold: keeper.hold(job.id, lease) };
};
const leaseMs = async (id: string): Promise<number> => Number(await deps.redis.hget(jobKey(id), 'lease_ms'));

describe.concurrent('a hold', () => {
  it('is renewed while the run lasts, and no longer once it is dropped', async ({ expect }) => {
    const { id, hold } = await held();
    const first = await leaseMs(id);
    await expect.poll(() => leaseMs(id), NEXT_RENEWAL).toBeGreaterThan(first);
    hold.drop();
    const last = await leaseMs(id);
    await new Promise((resolve) => setTimeout(resolve, 3300));
    expect(await leaseMs(id)).toBe(last);
    expect(hold.signal.aborted).toBe(false);
  });

  it('is stopped at once by a cancellation', async ({ expect }) => {
    const { id, hold } = await held();
    await requestCancel(deps.redis, id);
    await expect.poll(() => hold.reason(), { timeout: 1000, interval: 5 }).toBe('cancel');
    expect(hold.signal.aborted).toBe(true);
  });

  it('hears of a cancellation that it missed at the next renewal', async ({ expect }) => {
    const { id, hold } = await held();
    await deps.redis.hset(jobKey(id), 'status', 'cancelling');
    await expect.poll(() => hold.reason(), NEXT_RENEWAL).toBe('cancel');
  });

  it('is stopped when another worker has taken the job', async ({ expect }) => {
    const { id, hold } = await held();
    await deps.redis.hset(jobKey(id), 'lease', 'lease_of_another');
    await expect.poll(() => hold.reason(), NEXT_RENEWAL).toBe('lost');
  });

  it('keeps the first reason it was given', async ({ expect }) => {
    const { hold } = await held();
    hold.stop('deadline');
    hold.stop('shutdown');
    expect(hold.reason()).toBe('deadline');
    expect(hold.signal.reason).toMatchObject({ message: 'stopped: deadline' });
  });
});

it('the end of the drain stops everything that still runs', async () => {
  const runs = await Promise.all([held(), held(), held()]);
  runs[0]?.hold.drop();
  keeper.stopAll('shutdown');
  expect(runs.map(({ hold }) => hold.reason())).toEqual([undefined, 'shutdown', 'shutdown']);
});
