import { toAppError } from '@fana/core/errors.ts';
import { readEvents } from '@fana/core/jobs/events.ts';
import { claimJob, jobKey } from '@fana/core/jobs/store.ts';
import { acceptJob } from '@fana/testkit/accept-job.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createOutputStream } from '../src/output-stream.ts';

const LEASE = 'lease_1';
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

const claimedId = async (): Promise<string> => {
  const job = await acceptJob(deps);
  await claimJob(deps.redis, job.id, 1, LEASE);
  return job.id;
};
const deltas = async (id: string): Promise<string[]> => (await readEvents(deps.redis, id, '')).flatMap(({ delta }) => (delta === undefined ? [] : [delta]));

it('publishes pieces together and in order, and returns what was not published yet', async () => {
  const id = await claimedId();
  const output = createOutputStream(deps.redis, id, LEASE, () => undefined);
  output.restart(1);
  for (const piece of ['one ', 'two ', 'three ']) output.write(piece);
  await expect.poll(() => deltas(id)).toEqual(['one two three ']);
  output.write('four ');
  output.write('five');
  expect(await output.close()).toBe('four five');
  expect(await deltas(id)).toEqual(['one two three ']);
});

it('drops what an earlier attempt had not published', async () => {
  const id = await claimedId();
  const output = createOutputStream(deps.redis, id, LEASE, () => undefined);
  output.restart(1);
  output.write('of the first');
  output.restart(2);
  output.write('of the second');
  await expect.poll(() => deltas(id)).toEqual(['of the second']);
  expect((await readEvents(deps.redis, id, '')).at(-1)).toMatchObject({ type: 'output.delta', attempt: 2 });
  expect(await output.close()).toBe('');
});

it('publishes nothing and says so when another worker holds the job', async () => {
  const id = await claimedId();
  let lost = 0;
  const output = createOutputStream(deps.redis, id, LEASE, () => lost++);
  await deps.redis.hset(jobKey(id), 'lease', 'lease_of_another');
  output.write('too late');
  await expect.poll(() => lost).toBe(1);
  await output.close();
  expect(await deltas(id)).toEqual([]);
});

it('a piece that Redis refuses fails the run at its close, not the process', async () => {
  const id = await claimedId();
  const output = createOutputStream(deps.redis, id, LEASE, () => undefined);
  await deps.redis.config('SET', 'maxmemory', '1');
  try {
    output.write('no room for this');
    await new Promise((resolve) => setTimeout(resolve, 150));
    const refused = await output.close().catch(toAppError);
    expect(refused).toMatchObject({ code: 'unavailable', retryable: true });
  } finally {
    await deps.redis.config('SET', 'maxmemory', '0');
  }
});
