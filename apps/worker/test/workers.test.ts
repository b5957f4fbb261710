import { connectSubscriber } from '@fana/core/redis.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import type { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createLeaseKeeper, type LeaseKeeper } from '../src/leases.ts';
import { createWorkers } from '../src/workers.ts';

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

it('a sweep that fails is logged, and the next one comes', async () => {
  const lines: string[] = [];
  const logger = pino({}, { write: (line: string) => lines.push(line) });
  let sweeps = 0;
  const now = (): number => {
    sweeps++;
    if (sweeps === 1) throw new Error('the clock is broken');
    return Date.now();
  };
  await deps.queues.scheduleSweep(300);
  const workers = createWorkers({ ...deps, logger, now }, keeper, deps.connections.bull);
  await expect.poll(() => sweeps, { timeout: 10_000 }).toBeGreaterThan(3);
  await workers.drain();
  expect(lines.filter((line) => line.includes('the clock is broken'))).toHaveLength(1);
});
