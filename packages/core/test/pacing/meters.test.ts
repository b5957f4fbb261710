import { connectConsumer } from '@fana/core/redis.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { densest, freshLane } from './lanes.ts';

let server: TestRedis;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = connectConsumer(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const MINUTE_MS = 60_000;

/** Asks for more than there is, every `everyMs`, and returns when pictures were let go, one time each. */
const drain = async (limit: number, images: number, { everyMs = 50, forMs = 180_000 } = {}): Promise<number[]> => {
  const { look } = freshLane(redis);
  const times: number[] = [];
  for (let atMs = 0; atMs < forMs; atMs += everyMs) {
    const view = await look(atMs, { limits: { imagesPerMinute: limit }, wanted: { batch: Array.from({ length: 100 }, () => images) } });
    for (let n = 0; n < view.granted.batch * images; n++) times.push(atMs);
    // Calls end at once: what is in flight is not what is measured here.
  }
  return times;
};

describe('a meter of N a minute', () => {
  it.each([
    [600, 1],
    [100, 1],
    [10, 1],
    [1, 1],
    [600, 4],
    [60, 10],
    [25, 10],
  ])('of %i: calls of %i pictures stay within it in any minute, with 1.9 s to spare for the way, and use 0.9 of it', async (limit, images) => {
    const times = await drain(limit, images, limit > 60 ? {} : { everyMs: 250, forMs: 600_000 });
    expect(densest(times, MINUTE_MS + 1900)).toBeLessThanOrEqual(limit);
    // As many whole calls as fit.
    const reachable = Math.floor(limit / images) * images;
    const minutes = limit > 60 ? 3 : 10;
    expect(times.length / minutes).toBeGreaterThanOrEqual(0.9 * reachable);
  });

  it('counts requests apart from pictures: a call passes both or is charged to none', async () => {
    const { key, look } = freshLane(redis);
    const limits = { requestsPerMinute: 60, imagesPerMinute: 6000 };
    const view = await look(0, { limits, wanted: { batch: [1, 1, 1, 1] } });
    expect(view.granted.batch).toBe(1);
    expect(view.wait.batch).toEqual({ why: 'meter', ms: Math.ceil(MINUTE_MS / 57 - 500) });
    // The pictures of the first one alone.
    const before = await redis.hget(key, 'images');
    await look(1, { limits, wanted: { batch: [1] } });
    expect(await redis.hget(key, 'images')).toBe(before);
    expect((await look(MINUTE_MS / 57, { limits, wanted: { batch: [1] } })).granted.batch).toBe(1);
  });

  it('takes back the calls that were let go and never made', async () => {
    const { look } = freshLane(redis);
    const limits = { imagesPerMinute: 10 };
    expect((await look(0, { limits, wanted: { interactive: [1, 1] } })).granted.interactive).toBe(1);
    expect((await look(1, { limits, wanted: { interactive: [1] } })).granted.interactive).toBe(0);
    const view = await look(2, { limits, report: { unused: { requests: 1, images: 1 } }, wanted: { interactive: [1] } });
    expect(view.granted.interactive).toBe(1);
  });
});
