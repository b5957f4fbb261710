import { embeddings } from '@fana/core/endpoints/embeddings.ts';
import { AppError } from '@fana/core/errors.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { readOutput } from '@fana/core/jobs/long-texts.ts';
import { jobKey, readJob } from '@fana/core/jobs/store.ts';
import { submitCall } from '@fana/core/jobs/submit.ts';
import type { EmbeddingResult, Provider } from '@fana/core/providers/provider.ts';
import { connectSubscriber } from '@fana/core/redis.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import type { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createLeaseKeeper, type LeaseKeeper } from '../src/leases.ts';
import { runJob } from '../src/run-job.ts';

let redis: TestRedis;
let deps: TestDeps;
let subscriber: Redis;
let keeper: LeaseKeeper;
beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
  subscriber = connectSubscriber(redis.url);
  keeper = await createLeaseKeeper({ redis: deps.redis, logger: pino({ enabled: false }) }, subscriber);
});
afterAll(async () => {
  keeper.close();
  subscriber.disconnect();
  await deps.close();
  await redis.stop();
});

const submit = async (input: string[]): Promise<string> => {
  const call = await embeddings.parse(deps, 't', { model: 'embedding-default', input });
  const submitter = { tenant: 't', keyId: 'k', requestsPerMinute: 0 };
  return (await submitCall(deps, createAcceptor(deps), submitter, call, { endpoint: 'embeddings', rawBody: '' })).job.id;
};
const run = (id: string, embed: NonNullable<Provider['embed']>) => {
  const providers = {
    ...deps.providers,
    targets: () => [{ provider: { name: 'openai' as const, embed }, model: 'm', warnings: [] }],
    costUsd: () => undefined,
  };
  return runJob({ ...deps, providers }, keeper, { id, run: 1 });
};
const reread = async (id: string): Promise<JobRecord> => (await readJob(deps.redis, id)) ?? Promise.reject(new Error('the job is gone'));
const vectors = (count: number, dimensions: number): EmbeddingResult => ({
  vectors: Array.from({ length: count }, (_, at) => new Float32Array(dimensions).fill(at)),
  usage: { inputTokens: 3, outputTokens: 0 },
  model: 'm',
});

it('asks for all texts of a job in one call, in their order', async () => {
  const id = await submit(['a', 'b']);
  const asked: unknown[] = [];
  await run(id, async ({ inputs }) => {
    asked.push(inputs);
    return vectors(2, 4);
  });
  const job = await reread(id);
  expect(asked).toEqual([['a', 'b']]);
  expect(job).toMatchObject({ status: 'completed', usage: { inputTokens: 3 }, output: { kind: 'embeddings', count: 2, dimensions: 4 } });
  expect(job.outputBlobId).toBeUndefined();
});

it('keeps vectors over 32 kB in a blob, and in the record how many there are', async () => {
  const id = await submit(Array.from({ length: 100 }, (_, at) => `text ${at}`));
  await run(id, async () => vectors(100, 256));
  const job = await reread(id);
  expect(job.output).toEqual({ kind: 'embeddings', count: 100, dimensions: 256, vectors: [] });
  expect(await readOutput(deps, job)).toMatchObject({ kind: 'embeddings', count: 100, vectors: expect.objectContaining({ length: 100 }) });
  const held = Object.values(await deps.redis.hgetall(jobKey(id))).reduce((sum, value) => sum + value.length, 0);
  expect(held).toBeLessThan(10_000);
});

it('a call of unknown outcome is made again, as that of a chat', async () => {
  const id = await submit(['a']);
  const fate = await run(id, async () => {
    throw new AppError('outcome_unknown', 'gone', { provider: { outcome: 'unknown' } });
  });
  expect(fate.againInMs).toBeGreaterThan(0);
  expect(await reread(id)).toMatchObject({ status: 'queued', attempts: [{ outcome: 'unknown' }] });
  await run(id, async () => vectors(1, 4));
  expect(await reread(id)).toMatchObject({ status: 'completed', attempts: [{ outcome: 'unknown' }, { outcome: 'completed' }] });
});
