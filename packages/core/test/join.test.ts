import { setTimeout as sleep } from 'node:timers/promises';
import { chatCompletions } from '@fana/core/endpoints/chat-completions.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { endJob } from '@fana/core/jobs/end.ts';
import type { JobRecord, TerminalStatus } from '@fana/core/jobs/job.ts';
import { joinEarlierTry, requestDigest } from '@fana/core/jobs/join.ts';
import { claimJob, jobKey, joinJob, leaveJob, type Place, renewWaiters } from '@fana/core/jobs/store.ts';
import { submitCall } from '@fana/core/jobs/submit.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { never } from './provider-requests.ts';

let redis: TestRedis;
let deps: TestDeps;
let bodies = 0;

beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
});
afterAll(async () => {
  await deps.close();
  await redis.stop();
});

const placeOf = (body: string, waiter: string): Place => ({ digest: requestDigest('k', 'chat.completions', body), waiter });

/** Accepts a call with a body of its own; its caller waits under the token `first`. */
const accepted = async (body = `body ${++bodies}`): Promise<{ job: JobRecord; body: string; first: Place }> => {
  const call = await chatCompletions.parse(deps, 't', { model: 'chat-default', messages: [{ role: 'user', content: 'Hi' }] });
  const first = placeOf(body, `first${++bodies}`);
  const submitter = { tenant: 't', keyId: 'k', requestsPerMinute: 0 };
  const { job } = await submitCall(deps, createAcceptor(deps), submitter, call, { endpoint: 'chat.completions', rawBody: body, place: first });
  return { job, body, first };
};

const ended = async (job: JobRecord, status: TerminalStatus): Promise<void> => {
  await claimJob(deps.redis, job.id, 1, 'lease_1');
  await endJob(deps, job, { status, lease: 'lease_1' });
};

const fresh = async () => {
  const made = await accepted();
  await leaveJob(deps.redis, made.job.id, made.first, false);
  return made;
};

it('a job is joined once its caller has gone, by one caller at a time', async () => {
  const { job, body, first } = await accepted();
  expect(await joinJob(deps.redis, placeOf(body, 'second'))).toEqual({ kind: 'busy' });
  await leaveJob(deps.redis, job.id, first, false);
  expect(await joinJob(deps.redis, placeOf(body, 'second'))).toEqual({ kind: 'joined', id: job.id });
  expect(await joinJob(deps.redis, placeOf(body, 'third'))).toEqual({ kind: 'busy' });
  await leaveJob(deps.redis, job.id, placeOf(body, 'second'), false);
  expect(await joinJob(deps.redis, placeOf(body, 'third'))).toEqual({ kind: 'joined', id: job.id });
});

it('of many repetitions at once exactly one joins', async () => {
  const { body } = await fresh();
  const replies = await Promise.all(Array.from({ length: 20 }, (_, at) => joinJob(deps.redis, placeOf(body, `w${at}`))));
  expect(replies.filter(({ kind }) => kind === 'joined')).toHaveLength(1);
});

it('another key, route or body joins nothing', async () => {
  const { body } = await fresh();
  for (const digest of [
    requestDigest('other', 'chat.completions', body),
    requestDigest('k', 'responses', body),
    requestDigest('k', 'chat.completions', `${body} `),
  ])
    expect(await joinJob(deps.redis, { digest, waiter: 'w' })).toEqual({ kind: 'none' });
});

it('a job whose final reply was delivered is not joined, and its request leaves nothing behind', async () => {
  const { job, body, first } = await accepted();
  await ended(job, 'completed');
  await leaveJob(deps.redis, job.id, first, true);
  expect(await joinJob(deps.redis, placeOf(body, 'second'))).toEqual({ kind: 'none' });
  expect(await deps.redis.exists(`fana:join:${first.digest}`)).toBe(0);
});

it.each([
  ['completed', 'joined'],
  ['cancelled', 'joined'],
  ['unknown_outcome', 'joined'],
  ['failed', 'none'],
] as const)('a job that ended %s undelivered: %s', async (status, kind) => {
  const { job, body } = await fresh();
  await ended(job, status);
  expect(await joinJob(deps.redis, placeOf(body, 'second'))).toMatchObject({ kind });
});

it('ten minutes after its end nobody joins it', async () => {
  const { job, body } = await fresh();
  await ended(job, 'completed');
  await deps.redis.hset(jobKey(job.id), 'finished_ms', Date.now() - 599_000);
  expect((await joinJob(deps.redis, placeOf(body, 'second'))).kind).toBe('joined');
  await leaveJob(deps.redis, job.id, placeOf(body, 'second'), false);
  await deps.redis.hset(jobKey(job.id), 'finished_ms', Date.now() - 601_000);
  expect((await joinJob(deps.redis, placeOf(body, 'third'))).kind).toBe('none');
});

it('a place is kept while it is renewed, and is free soon after its process has died', async () => {
  const { job, body, first } = await accepted();
  const joined = joinEarlierTry(deps, placeOf(body, 'second'), never);
  await renewWaiters(deps.redis, [
    { id: job.id, waiter: first.waiter },
    { id: job.id, waiter: 'of_another' },
  ]);
  // Nobody renews it from here on.
  expect(await joined).toBe(job.id);
});

it('who looks for an earlier try gives up when its own caller has gone, or when every one keeps its caller', async () => {
  const { job, body, first } = await accepted();
  const timer = setInterval(() => void renewWaiters(deps.redis, [{ id: job.id, waiter: first.waiter }]), 500);
  try {
    expect(await joinEarlierTry(deps, placeOf(body, 'second'), AbortSignal.abort())).toBeUndefined();
    expect(await joinEarlierTry(deps, placeOf(body, 'second'), never)).toBeUndefined();
  } finally {
    clearInterval(timer);
    await sleep(50);
  }
});

it('a job that was erased is no job to join', async () => {
  const { job, body } = await fresh();
  await deps.redis.del(jobKey(job.id));
  expect(await joinJob(deps.redis, placeOf(body, 'second'))).toEqual({ kind: 'none' });
});
