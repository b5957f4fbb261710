import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import { connectProducer } from '@fana/core/redis.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';

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

it('refuses everybody within 2 s while Redis hangs, also those who wait behind a flush, and accepts again afterwards', async () => {
  const producer = connectProducer(redis.url);
  producer.on('error', () => undefined);
  const world = { ...deps, redis: producer };
  const acceptor = createAcceptor(world);
  const submit = (): Promise<unknown> =>
    submitJob(world, acceptor, { tenant: 't', keyId: 'key_t', requestsPerMinute: 0 }, { type: 'chat', input: 'hi' }, { rawBody: '' });
  await new Promise((resolve) => producer.once('ready', resolve));
  await submit();
  redis.pause();
  const from = performance.now();
  // More than fit into the flushes on their way, coming one after another.
  const refused: Promise<unknown>[] = [];
  for (let n = 0; n < 300; n++) {
    refused.push(submit());
    if (n % 30 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const results = await Promise.allSettled(refused);
  expect(performance.now() - from).toBeLessThan(2000);
  for (const result of results) expect(result).toMatchObject({ status: 'rejected', reason: { code: 'unavailable' } });
  redis.resume();
  await expect
    .poll(
      () =>
        submit().then(
          () => true,
          () => false,
        ),
      { timeout: 10_000 },
    )
    .toBe(true);
  producer.disconnect();
});
