import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { startProxy, type TcpProxy } from '@fana/testkit/tcp-proxy.ts';
import { TEST_ADMIN_KEY, testConfig } from '@fana/testkit/test-config.ts';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { assertUsable, connectProducer, connectSubscriber } from '../src/redis.ts';
import { newKey } from '../src/tenants/key-form.ts';
import { createKeyRing, type KeyRing } from '../src/tenants/keys.ts';
import { createKey, type NewKey, revokeKey, updateKey } from '../src/tenants/manage-keys.ts';

let server: TestRedis;
let proxy: TcpProxy;
let redis: Redis;
const connections: Redis[] = [];
const admin = { tenant: 'default' };

const open = async (connection: Redis): Promise<Redis> => {
  connection.on('error', () => undefined);
  connections.push(connection);
  await assertUsable(connection);
  return connection;
};
const clock = { nowMs: 0 };
const now = (): number => Date.now() + clock.nowMs;

/** As many processes as wanted: each ring has connections of its own. */
const newRing = async ({ subscribed = false, throughProxy = false } = {}): Promise<KeyRing> => {
  const url = throughProxy ? `redis://127.0.0.1:${proxy.port}` : server.url;
  const own = await open(connectProducer(url));
  const subscriber = subscribed ? await open(connectSubscriber(url)) : undefined;
  const ring = createKeyRing({ config: testConfig(), redis: own, now, subscriber });
  if (subscriber) await expect.poll(async () => ((await redis.pubsub('NUMSUB', 'fana:keys')) as [string, number])[1]).toBeGreaterThan(0);
  return ring;
};
const make = (settings: Partial<NewKey> = {}) => createKey({ redis, now }, admin, { tenant: 'acme', name: 'test', scopes: ['jobs'], ...settings });

beforeAll(async () => {
  server = await startRedis();
  proxy = await startProxy(server.port);
  redis = await open(connectProducer(server.url));
});
afterEach(() => {
  clock.nowMs = 0;
  proxy.setMode('pass');
});
afterAll(async () => {
  for (const connection of connections) connection.disconnect();
  await proxy.stop();
  await server.stop();
});

describe('the key ring', () => {
  test('knows the admin key of the settings, with all scopes and no limit, without Redis', async () => {
    const away = createKeyRing({ config: testConfig(), redis: connectAway(), now });
    expect(await away.find(TEST_ADMIN_KEY)).toEqual({
      tenant: 'default',
      keyId: 'key_admin',
      scopes: ['jobs', 'files', 'sessions', 'documents', 'webhooks', 'usage', 'admin'],
      requestsPerMinute: 0,
    });
    expect(await away.find(`${TEST_ADMIN_KEY}x`)).toBeUndefined();
    expect(await away.find(TEST_ADMIN_KEY.slice(0, -1))).toBeUndefined();
    expect(await away.find('')).toBeUndefined();
  });

  test('refuses what has not the form of a key without asking Redis', async () => {
    const away = createKeyRing({ config: testConfig(), redis: connectAway(), now });
    const key = newKey();
    expect(await away.find(`${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}`)).toBeUndefined();
    await expect(away.find(key)).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('asks Redis once for a thousand requests at once', async () => {
    const { key, record } = await make();
    const ring = await newRing();
    const before = await commandCount();
    const found = await Promise.all(Array.from({ length: 1000 }, () => ring.find(key)));
    expect(found.every((caller) => caller?.keyId === record.id)).toBe(true);
    expect((await commandCount()) - before).toBeLessThan(10);
  });

  test('does not remember keys that do not exist: one made later works at once', async () => {
    const ring = await newRing();
    expect(await ring.find(newKey())).toBeUndefined();
    const { key } = await make();
    expect(await ring.find(key)).toMatchObject({ tenant: 'acme' });
  });

  test('refuses a key from the second of its expiry on, remembered or not', async () => {
    const { key } = await make({ expiresMs: Date.now() + 2000 });
    const ring = await newRing();
    expect(await ring.find(key)).toBeDefined();
    clock.nowMs = 2000;
    expect(await ring.find(key)).toBeUndefined();
    expect(await (await newRing()).find(key)).toBeUndefined();
  });
});

describe('a change', () => {
  test('is in force everywhere well within 5 s by pub/sub', async () => {
    const { key, record } = await make();
    const rings = await Promise.all([newRing({ subscribed: true }), newRing({ subscribed: true })]);
    for (const ring of rings) expect(await ring.find(key)).toBeDefined();
    await updateKey({ redis, now }, admin, record.id, { requestsPerMinute: 7 });
    for (const ring of rings) await expect.poll(async () => (await ring.find(key))?.requestsPerMinute, { timeout: 1000 }).toBe(7);
    await revokeKey({ redis, now }, admin, record.id);
    for (const ring of rings) await expect.poll(() => ring.find(key), { timeout: 1000 }).toBeUndefined();
  });

  test('is in force within 5 s where pub/sub does not reach', async () => {
    const { key, record } = await make();
    const rings = await Promise.all([newRing(), newRing()]);
    for (const ring of rings) expect(await ring.find(key)).toBeDefined();
    await revokeKey({ redis, now }, admin, record.id);
    clock.nowMs = 2999 - 1000;
    // Still remembered: this is what makes a request cost no look-up.
    expect(await rings[0]?.find(key)).toBeDefined();
    clock.nowMs = 3000;
    for (const ring of rings) expect(await ring.find(key)).toBeUndefined();
  });

  test('that comes while the key is being read is not overwritten by what was read', async () => {
    const { key, record } = await make();
    const ring = await newRing({ throughProxy: true });
    proxy.setLatency(100);
    const reading = ring.find(key);
    ring.forget(record.id);
    await reading;
    proxy.setLatency(0);
    await revokeKey({ redis, now }, admin, record.id);
    expect(await ring.find(key)).toBeUndefined();
  });

  test('cannot bring a revoked key back, whichever comes first', async () => {
    const { key, record } = await make();
    const ring = await newRing();
    const deps = { redis, now };
    await Promise.allSettled([
      ...Array.from({ length: 20 }, (_, at) => updateKey(deps, admin, record.id, { name: `n${at}` })),
      revokeKey(deps, admin, record.id),
      ...Array.from({ length: 20 }, (_, at) => updateKey(deps, admin, record.id, { name: `m${at}` })),
    ]);
    expect(await ring.find(key)).toBeUndefined();
    const [first, second] = [await revokeKey(deps, admin, record.id), await revokeKey(deps, admin, record.id)];
    expect(second.revokedMs).toBe(first.revokedMs);
  });
});

describe('while Redis does not answer', () => {
  test('a key seen in the last 3 s works, another one is unavailable within 2 s', async () => {
    const [{ key }, { key: unseen }] = [await make(), await make()];
    const ring = await newRing({ throughProxy: true });
    expect(await ring.find(key)).toBeDefined();
    proxy.setMode('blackHole');
    expect(await ring.find(key)).toBeDefined();
    const started = Date.now();
    await expect(ring.find(unseen)).rejects.toMatchObject({ code: 'unavailable' });
    expect(Date.now() - started).toBeLessThan(2000);
    clock.nowMs = 3000;
    await expect(ring.find(key)).rejects.toMatchObject({ code: 'unavailable' });
    proxy.setMode('pass');
    proxy.reset();
    await expect.poll(() => ring.find(key).catch(() => undefined), { timeout: 5000 }).toBeDefined();
  });
});

const connectAway = (): Redis => {
  const away = connectProducer('redis://127.0.0.1:1');
  away.on('error', () => undefined);
  connections.push(away);
  return away;
};
const commandCount = async (): Promise<number> => Number(/total_commands_processed:(\d+)/.exec(await redis.info('stats'))?.[1]);
