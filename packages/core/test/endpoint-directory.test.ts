import { setTimeout as sleep } from 'node:timers/promises';
import { connectSubscriber } from '@fana/core/redis.ts';
import { createEndpointDirectory } from '@fana/core/webhooks/endpoint-directory.ts';
import { createEndpoint, updateEndpoint } from '@fana/core/webhooks/manage-endpoints.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';

let redis: TestRedis;
let deps: TestDeps;
let subscriber: Redis;
let clockMs = 1_767_225_600_000;
const now = (): number => clockMs;

beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
  subscriber = connectSubscriber(redis.url);
});
afterAll(async () => {
  subscriber.disconnect();
  await deps.close();
  await redis.stop();
});
beforeEach(() => deps.redis.flushall());

const made = (tenant = 'a') => createEndpoint(deps, { tenant, name: 'x', url: 'https://hooks.example.com/', eventTypes: ['job.completed'] });
/** How many scripts Redis has run: what a look-up costs. */
const scriptsRun = async (): Promise<number> => {
  const stats = await deps.redis.info('commandstats');
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
};

it('asks Redis for a tenant once in 3 s, however many ask, and for each tenant apart', async () => {
  const directory = createEndpointDirectory({ redis: deps.redis, now });
  const { id } = await made();
  await directory.find('warm-up');
  const before = await scriptsRun();
  const answers = await Promise.all(Array.from({ length: 100 }, () => directory.find('a')));
  for (const endpoints of answers) expect(endpoints.map((endpoint) => endpoint.id)).toEqual([id]);
  for (let at = 0; at < 100; at++) await directory.find('a');
  expect(await directory.find('nobody')).toEqual([]);
  for (let at = 0; at < 100; at++) await directory.find('nobody');
  expect((await scriptsRun()) - before).toBe(2);
  clockMs += 3000;
  await directory.find('a');
  expect((await scriptsRun()) - before).toBe(3);
});

it('knows a change within 3 s where no message comes, and at once where it does', async () => {
  const deaf = createEndpointDirectory({ redis: deps.redis, now });
  const hearing = createEndpointDirectory({ redis: deps.redis, subscriber, now });
  await expect.poll(() => deps.redis.pubsub('NUMSUB', 'fana:webhook-endpoints')).toEqual(['fana:webhook-endpoints', 1]);
  const { id } = await made();
  expect(await Promise.all([deaf.find('a'), hearing.find('a')])).toMatchObject([[{ id }], [{ id }]]);
  await updateEndpoint(deps, 'a', id, { enabled: false });
  await expect.poll(() => hearing.find('a')).toEqual([]);
  expect(await deaf.find('a')).toMatchObject([{ id }]);
  clockMs += 3000;
  expect(await deaf.find('a')).toEqual([]);
  await updateEndpoint(deps, 'a', id, { enabled: true });
  await expect.poll(() => hearing.find('a')).toMatchObject([{ id }]);
});

it('does not remember what it read before a change that it heard while reading', async () => {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const slow = new Proxy(deps.redis, {
    get: (target, name, self) =>
      name === 'evalsha' || name === 'eval'
        ? async (...args: unknown[]) => {
            const reply = await Reflect.apply(Reflect.get(target, name), target, args);
            await held;
            return reply;
          }
        : Reflect.get(target, name, self),
  });
  const directory = createEndpointDirectory({ redis: slow, now });
  const early = directory.find('a');
  await sleep(50);
  const { id } = await made();
  directory.forget('a');
  const late = directory.find('a');
  release();
  expect(await early).toEqual([]);
  expect(await late).toMatchObject([{ id }]);
  expect(await directory.find('a')).toMatchObject([{ id }]);
});

it('says that it cannot know when Redis is away, and remembers for 3 s what it knew', async () => {
  const { id } = await made();
  const directory = createEndpointDirectory({ redis: deps.redis, now });
  await directory.find('a');
  const away = createEndpointDirectory({
    redis: Object.assign(Object.create(deps.redis), { evalsha: () => Promise.reject(new Error('Connection is closed.')) }),
    now,
  });
  await expect(away.find('a')).rejects.toMatchObject({ code: 'unavailable' });
  expect(await directory.find('a')).toMatchObject([{ id }]);
});
