import { AppError } from '@fana/core/errors.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { endJob } from '@fana/core/jobs/end.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { claimJob, DUE, readJob } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import { BULLMQ_PREFIX, type JobMessage } from '@fana/core/queues.ts';
import { createSession, findSession } from '@fana/core/sessions/manage-sessions.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { Queue } from 'bullmq';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { sweep } from '../src/sweep.ts';

let redis: TestRedis;
let deps: TestDeps;
let chatQueue: Queue<JobMessage>;

beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url, { FANA_RESULT_TTL_SECONDS: '60' });
  chatQueue = new Queue('chat', { prefix: BULLMQ_PREFIX, connection: deps.connections.bull, skipVersionCheck: true });
});
afterAll(async () => {
  await chatQueue.close();
  await deps.close();
  await redis.stop();
});
beforeEach(() => deps.redis.flushall());

const sweepIn = (seconds: number): Promise<void> => sweep({ ...deps, now: () => Date.now() + seconds * 1000 });
const newSession = async (): Promise<string> => (await createSession(deps, { tenant: 't' })).id;
const submit = async (sessionId: string, more: object = {}): Promise<JobRecord> => {
  const body = { type: 'chat', input: 'hello', session_id: sessionId, ...more };
  return (await submitJob(deps, createAcceptor(deps), { tenant: 't', keyId: 'k', requestsPerMinute: 0 }, body, { rawBody: '' })).job;
};
const hasMessage = async ({ id }: JobRecord): Promise<boolean> => (await chatQueue.getJob(`${id}-1`)) !== undefined;
/** Ends a job as a process does that dies right after it was written. */
const endAndDie = async (job: JobRecord): Promise<void> => {
  const claim = await claimJob(deps.redis, job.id, 1, 'lease_1');
  if (claim.kind !== 'claimed') throw new Error(claim.kind);
  const enqueue = (): Promise<void> => Promise.reject(new AppError('unavailable', 'the process died'));
  await expect(endJob({ ...deps, queues: { ...deps.queues, enqueue } }, claim.job, { status: 'completed', lease: 'lease_1' })).rejects.toThrow('died');
};

it('a session whose baton was lost goes on within 20 s: 5 s, and the next sweep', async () => {
  const session = await newSession();
  const [first, second, third] = [await submit(session), await submit(session), await submit(session)];
  await endAndDie(first);
  expect(await hasMessage(second)).toBe(false);
  await sweepIn(7);
  expect([await hasMessage(second), await hasMessage(third)]).toEqual([true, false]);
});

it('a job that waits for another one of its session is sent by no sweep, however long it takes, and fails at its deadline', async () => {
  const session = await newSession();
  const [first, second, third] = [await submit(session), await submit(session), await submit(session, { deadline_seconds: 30 })];
  for (const seconds of [11, 20, 29]) await sweepIn(seconds);
  expect([await hasMessage(first), await hasMessage(second), await hasMessage(third)]).toEqual([true, false, false]);
  expect(await deps.redis.zscore(DUE, second.id)).toBeNull();
  await sweepIn(31);
  expect(await readJob(deps.redis, third.id)).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' } });
  await endAndDie(first);
  await sweepIn(7);
  expect(await hasMessage(second)).toBe(true);
});

it('the first job of a session whose process died before its message was sent gets one', async () => {
  const session = await newSession();
  const first = await submit(session);
  await (await chatQueue.getJob(`${first.id}-1`))?.remove();
  await sweepIn(11);
  expect(await hasMessage(first)).toBe(true);
});

it('a session is gone FANA_RESULT_TTL_SECONDS after its last use, with everything it remembers', async () => {
  const session = await newSession();
  const { id } = await submit(session);
  const claim = await claimJob(deps.redis, id, 1, 'lease_1');
  if (claim.kind === 'claimed') await endJob(deps, claim.job, { status: 'completed', lease: 'lease_1' });
  await sweepIn(59);
  await findSession(deps, 't', session);
  await sweepIn(62);
  await expect(findSession(deps, 't', session)).rejects.toMatchObject({ code: 'not_found' });
  expect((await deps.redis.keys('fana:*session*')).filter((key) => !key.includes('bull'))).toEqual([]);
});
