import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { endJob } from '@fana/core/jobs/end.ts';
import { jobKey } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import { connectSubscriber } from '@fana/core/redis.ts';
import { readDelivery } from '@fana/core/webhooks/store.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { startReceiver } from '@fana/testkit/webhook-receiver.ts';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createLeaseKeeper, type LeaseKeeper } from '../src/leases.ts';
import { createWorkers } from '../src/workers.ts';

let redis: TestRedis;
let deps: TestDeps;
let subscriber: Redis;
let keeper: LeaseKeeper;

beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url, { FANA_WORKER_QUEUES: 'webhook', FANA_CONCURRENCY_WEBHOOK: '4', FANA_ALLOW_PRIVATE_NETWORK: 'true' });
  subscriber = connectSubscriber(redis.url);
  keeper = await createLeaseKeeper(deps, subscriber);
});
afterAll(async () => {
  keeper.close();
  subscriber.disconnect();
  await deps.close();
  await redis.stop();
});

/** Ends a job that wants a webhook; returns the id of the delivery. */
const owe = async (url: string): Promise<string> => {
  const body = { type: 'chat', input: 'hi', webhook: { url } };
  const { job } = await submitJob(deps, createAcceptor(deps), { tenant: 't', keyId: 'k', requestsPerMinute: 0 }, body, { rawBody: '' });
  await endJob(deps, job, { status: 'cancelled', lease: '' });
  return (await deps.redis.hget(jobKey(job.id), 'deliveries')) ?? '';
};

it('a receiver that hangs takes half of the slots at most; what waits for it counts no attempt, and others are served at once', async () => {
  const hanging = await startReceiver({ respond: () => ({ status: 200, delayMs: 60_000 }) });
  const quick = await startReceiver();
  const stuck = await Promise.all(Array.from({ length: 8 }, () => owe(hanging.url)));
  await owe(quick.url);
  const workers = createWorkers(deps, { jobs: keeper, batches: keeper }, deps.connections.bull);
  try {
    await quick.waitFor(1, 5000);
    expect(hanging.requests).toHaveLength(2);
    for (const id of stuck) expect(await readDelivery(deps.redis, id)).toMatchObject({ status: 'pending', attempts: [] });
  } finally {
    // Hanging up ends what is under way; what has not begun yet fails at once.
    await hanging.stop();
    await workers.drain();
    await quick.stop();
  }
});
