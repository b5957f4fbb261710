import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AppError } from '../src/errors.ts';
import { assertUsable, connectProducer } from '../src/redis.ts';
import { makeOnce } from '../src/tenants/idempotency.ts';

let server: TestRedis;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = connectProducer(server.url);
  await assertUsable(redis);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const request = (idempotencyKey: string, rawBody = '{}') => ({ tenant: 'acme', route: 'things', idempotencyKey, rawBody });
/** A store of things in this process. */
const things = new Set<string>();
let count = 0;
const maker = (make?: (id: string) => Promise<string>) => ({
  id: `thing_${++count}`,
  make:
    make ??
    (async (id: string) => {
      things.add(id);
      return id;
    }),
  find: async (id: string) => (things.has(id) ? id : undefined),
});
const claimOf = async (): Promise<string> => (await redis.keys('fana:idem:acme:things:*')).toSorted().at(-1) ?? '';

test('a claim is kept for 24 hours, also after it is settled', async () => {
  await makeOnce({ redis }, request('day'), maker());
  expect(await redis.ttl(await claimOf())).toBeGreaterThan(86_390);
});

test('an answer that was lost is found again: the object was made, the claim never settled', async () => {
  await expect(
    makeOnce(
      { redis },
      request('lost'),
      maker(async (id) => {
        things.add(id);
        throw new AppError('unavailable', 'the answer is lost');
      }),
    ),
  ).rejects.toMatchObject({ code: 'unavailable' });
  const again = await makeOnce({ redis }, request('lost'), maker());
  expect(again.kind).toBe('replayed');
  expect(things.has(again.object)).toBe(true);
});

test('a maker that died is followed by another under the same id, after 10 s and not before', async () => {
  let diedWith = '';
  const dying = maker(async (id) => {
    diedWith = id;
    throw new AppError('unavailable', 'gone');
  });
  await expect(makeOnce({ redis }, request('died'), dying)).rejects.toMatchObject({ code: 'unavailable' });
  await expect(makeOnce({ redis }, request('died'), maker())).rejects.toMatchObject({ code: 'idempotency_in_progress' });
  const claims = await Promise.all((await redis.keys('fana:idem:acme:things:*')).map(async (key) => [key, await redis.get(key)] as const));
  const [claim, value] = claims.find(([, text]) => text?.includes(diedWith)) ?? ['', ''];
  // As if 10 s had passed.
  await redis.set(claim, value?.replace(/\d+$/, (ms) => String(Number(ms) - 10_000)) ?? '', 'KEEPTTL');
  const again = await makeOnce({ redis }, request('died'), maker());
  expect(again).toEqual({ kind: 'made', object: diedWith });
});

test('a refusal gives the key free, for another body too', async () => {
  const refusing = maker(async () => {
    throw new AppError('insufficient_scope', 'no');
  });
  await expect(makeOnce({ redis }, request('refused'), refusing)).rejects.toMatchObject({ code: 'insufficient_scope' });
  expect((await makeOnce({ redis }, request('refused', '{"other":1}'), maker())).kind).toBe('made');
});

test('what was made and deleted is not made again', async () => {
  const made = await makeOnce({ redis }, request('deleted'), maker());
  things.delete(made.object);
  await expect(makeOnce({ redis }, request('deleted'), maker())).rejects.toMatchObject({ code: 'not_found' });
});

test('50 at once make one', async () => {
  const before = things.size;
  const results = await Promise.allSettled(Array.from({ length: 50 }, () => makeOnce({ redis }, request('rush'), maker())));
  expect(things.size).toBe(before + 1);
  expect(results.filter((result) => result.status === 'fulfilled' && result.value.kind === 'made')).toHaveLength(1);
  for (const result of results) if (result.status === 'rejected') expect(result.reason.code).toBe('idempotency_in_progress');
});
