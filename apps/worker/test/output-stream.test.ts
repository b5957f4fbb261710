import { toAppError } from '@fana/core/errors.ts';
import { readEvents } from '@fana/core/jobs/events.ts';
import { claimJob, jobKey } from '@fana/core/jobs/store.ts';
import type { ChoiceDelta } from '@fana/core/providers/provider.ts';
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
const text = (content: string): ChoiceDelta => ({ index: 0, delta: { content } });
const deltas = async (id: string): Promise<string[]> => (await readEvents(deps.redis, id, '')).flatMap(({ delta }) => (delta === undefined ? [] : [delta]));

it('publishes pieces together and in order, and returns what was not published yet', async () => {
  const id = await claimedId();
  const output = createOutputStream(deps.redis, id, LEASE, () => undefined);
  output.restart(1);
  for (const piece of ['one ', 'two ', 'three ']) output.write(text(piece));
  await expect.poll(() => deltas(id)).toEqual(['one two three ']);
  output.write(text('four '));
  output.write(text('five'));
  expect(await output.close()).toBe('four five');
  expect(await deltas(id)).toEqual(['one two three ']);
});

it('publishes what only some answers have beside the text, merged, and leaves none of it for the end', async () => {
  const id = await claimedId();
  const output = createOutputStream(deps.redis, id, LEASE, () => undefined);
  output.restart(1);
  output.write(text('Look: '));
  output.write({ index: 1, delta: { content: 'Two' } });
  output.write({ index: 0, delta: { tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"a"' } }] } });
  output.write({ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: ':1}' } }] } });
  output.write({ index: 0, delta: { content: 'here' }, logprobs: { content: [1] } });
  expect(await output.close()).toBe('');
  const [event] = (await readEvents(deps.redis, id, '')).filter(({ type }) => type === 'output.delta');
  expect(event).toMatchObject({
    delta: 'Look: here',
    choices: [
      { index: 1, delta: { content: 'Two' } },
      { index: 0, delta: { tool_calls: [{ index: 0, id: 'call_1', function: { name: 'f', arguments: '{"a":1}' } }] }, logprobs: { content: [1] } },
    ],
  });
});

it('drops what an earlier attempt had not published', async () => {
  const id = await claimedId();
  const output = createOutputStream(deps.redis, id, LEASE, () => undefined);
  output.restart(1);
  output.write(text('of the first'));
  output.restart(2);
  output.write(text('of the second'));
  await expect.poll(() => deltas(id)).toEqual(['of the second']);
  expect((await readEvents(deps.redis, id, '')).at(-1)).toMatchObject({ type: 'output.delta', attempt: 2 });
  expect(await output.close()).toBe('');
});

it('publishes nothing and says so when another worker holds the job', async () => {
  const id = await claimedId();
  let lost = 0;
  const output = createOutputStream(deps.redis, id, LEASE, () => lost++);
  await deps.redis.hset(jobKey(id), 'lease', 'lease_of_another');
  output.write(text('too late'));
  await expect.poll(() => lost).toBe(1);
  await output.close();
  expect(await deltas(id)).toEqual([]);
});

it('a piece that Redis refuses fails the run at its close, not the process', async () => {
  const id = await claimedId();
  const output = createOutputStream(deps.redis, id, LEASE, () => undefined);
  await deps.redis.config('SET', 'maxmemory', '1');
  try {
    output.write(text('no room for this'));
    await new Promise((resolve) => setTimeout(resolve, 150));
    const refused = await output.close().catch(toAppError);
    expect(refused).toMatchObject({ code: 'unavailable', retryable: true });
  } finally {
    await deps.redis.config('SET', 'maxmemory', '0');
  }
});
