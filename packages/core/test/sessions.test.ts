import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { cancelJob } from '@fana/core/jobs/cancel.ts';
import { endJob } from '@fana/core/jobs/end.ts';
import { eraseJob } from '@fana/core/jobs/erase.ts';
import type { JobRecord, TerminalStatus } from '@fana/core/jobs/job.ts';
import { listJobs } from '@fana/core/jobs/list.ts';
import { retryJob } from '@fana/core/jobs/retry.ts';
import { claimJob, DUE, jobKey, readJob, restWaiting } from '@fana/core/jobs/store.ts';
import { type Submitter, submitJob } from '@fana/core/jobs/submit.ts';
import type { Enqueue } from '@fana/core/queues.ts';
import { eraseSession, sweepSession } from '@fana/core/sessions/erase-session.ts';
import { listTurns } from '@fana/core/sessions/list-turns.ts';
import { createSession, endSession, findSession } from '@fana/core/sessions/manage-sessions.ts';
import { SESSIONS, sessionKey } from '@fana/core/sessions/store.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const alice: Submitter = { tenant: 'alice', keyId: 'key_a', requestsPerMinute: 0 };

let redis: TestRedis;
let deps: TestDeps;
/** Ids of the jobs whose message was sent, in order. */
let sent: string[] = [];
let submit: (sessionId: string, input?: string, more?: Record<string, unknown>, submitter?: Submitter) => Promise<JobRecord>;

beforeAll(async () => {
  redis = await startRedis();
  const real = testDeps(redis.url);
  const enqueue = async (messages: Enqueue[]): Promise<void> => {
    sent.push(...messages.map(({ message }) => message.id));
  };
  deps = { ...real, queues: { ...real.queues, enqueue } };
  const acceptor = createAcceptor(deps);
  submit = async (sessionId, input = 'hello', more = {}, submitter = alice) => {
    const body = { type: 'chat', input, session_id: sessionId, ...more };
    return (await submitJob(deps, acceptor, submitter, body, { rawBody: JSON.stringify(body) })).job;
  };
});
afterAll(async () => {
  await deps.close();
  await redis.stop();
});
beforeEach(() => {
  sent = [];
});

const newSession = async (): Promise<string> => (await createSession(deps, { tenant: 'alice' })).id;
const reread = async ({ id }: { id: string }): Promise<JobRecord> => (await readJob(deps.redis, id)) ?? Promise.reject(new Error('the job is gone'));
const claim = async (job: JobRecord, run = 1): Promise<JobRecord> => {
  const reply = await claimJob(deps.redis, job.id, run, 'lease_1');
  return reply.kind === 'claimed' ? reply.job : Promise.reject(new Error(reply.kind));
};
const end = async (job: JobRecord, status: TerminalStatus = 'completed', run = 1): Promise<void> => {
  const output = { kind: 'text', text: `re: ${job.spec.inputPreview}`, finishReason: 'stop' } as const;
  await endJob(deps, await claim(job, run), { status, lease: 'lease_1', ...(status === 'completed' && { turn: { output } }) });
};
const texts = async (sessionId: string): Promise<(string | undefined)[]> =>
  (await listTurns(deps, 'alice', sessionId, { limit: 100 })).turns.map(({ text }) => text);

describe('the order of a session', () => {
  it('is that of acceptance, however many come at once: each waits for the one before, and only one has a message', async () => {
    const session = await newSession();
    const jobs = await Promise.all(Array.from({ length: 50 }, (_, at) => submit(session, `message ${at}`)));
    const turns = await Promise.all(jobs.map(async (job) => (await reread(job)).session?.turn));
    expect(turns.toSorted((a, b) => Number(a) - Number(b))).toEqual(jobs.map((_, at) => at + 1));
    const inOrder = jobs.toSorted((a, b) => Number(turns[jobs.indexOf(a)]) - Number(turns[jobs.indexOf(b)]));
    for (const [at, job] of inOrder.entries()) {
      expect(sent).toEqual(inOrder.slice(0, at + 1).map(({ id }) => id));
      for (const later of inOrder.slice(at + 1, at + 3)) expect(await claimJob(deps.redis, later.id, 1, 'lease_2')).toEqual({ kind: 'stale' });
      await end(job);
    }
    expect(await texts(session)).toEqual(inOrder.map(({ spec }) => spec.inputPreview));
    expect((await findSession(deps, 'alice', session)).turnCount).toBe(50);
  });

  it.each(['failed', 'cancelled', 'unknown_outcome'] as const)('goes on after a turn that ended %s', async (status) => {
    const session = await newSession();
    const [first, second] = [await submit(session), await submit(session)];
    await end(first, status);
    expect(sent).toEqual([first.id, second.id]);
    await end(second);
  });

  it('goes on when a waiting turn is cancelled, or a turn is erased', async () => {
    const session = await newSession();
    const jobs = [await submit(session), await submit(session), await submit(session), await submit(session)];
    const [first, second, third, fourth] = jobs as [JobRecord, JobRecord, JobRecord, JobRecord];
    await cancelJob(deps, await reread(second));
    expect(sent).toEqual([first.id]);
    await eraseJob(deps, await reread(first));
    expect(sent).toEqual([first.id, third.id]);
    await eraseJob(deps, await reread(fourth));
    await end(third);
    expect(sent).toEqual([first.id, third.id]);
    expect(await deps.redis.hexists(sessionKey(session), 'current')).toBe(0);
  });

  it('keeps the place of a turn that is tried again: before those that have not begun, after the one that runs', async () => {
    const session = await newSession();
    const [first, second, third] = [await submit(session, '1'), await submit(session, '2'), await submit(session, '3')];
    await end(first, 'failed');
    const running = await claim(second);
    await retryJob(deps, await reread(first));
    expect(sent).toEqual([first.id, second.id]);
    await endJob(deps, running, { status: 'completed', lease: 'lease_1' });
    expect(sent).toEqual([first.id, second.id, first.id]);
    expect(await claimJob(deps.redis, third.id, 1, 'lease_3')).toEqual({ kind: 'stale' });
    await end(first, 'completed', 2);
    await end(third);
    expect(await texts(session)).toEqual(['1', '2', '3']);
  });

  it('costs the sweep nothing for jobs that wait, and is mended by it when the message of the next one was lost', async () => {
    const session = await newSession();
    const [first, second] = [await submit(session), await submit(session), await submit(session)];
    expect(await deps.redis.zscore(DUE, second.id)).toBeNull();
    await end(first);
    expect(Number(await deps.redis.zscore(DUE, second.id))).toBeLessThan(Date.now() + 6000);
    await restWaiting(deps.redis, second.id, undefined);
    expect(await deps.redis.zscore(DUE, second.id)).not.toBeNull();
  });
});

describe('a session', () => {
  it('takes jobs of its tenant alone, until it is ended; repetitions are answered all the same', async () => {
    const session = await newSession();
    const body = { type: 'chat', input: 'once', session_id: session };
    const acceptor = createAcceptor(deps);
    const send = () => submitJob(deps, acceptor, alice, body, { rawBody: JSON.stringify(body), idempotencyKey: session });
    const { job } = await send();
    await expect(submit(session, 'x', {}, { ...alice, tenant: 'bob' })).rejects.toMatchObject({ code: 'not_found', param: 'session_id' });
    await endSession(deps, 'alice', session);
    await expect(submit(session)).rejects.toMatchObject({ code: 'session_ended', param: 'session_id' });
    expect(await send()).toMatchObject({ replayed: true, job: { id: job.id } });
    await end(job);
    expect(await texts(session)).toEqual(['once']);
  });

  it('lists its jobs newest first, by pages and filters', async () => {
    const session = await newSession();
    const jobs = [await submit(session), await submit(session), await submit(session)];
    await submit(await newSession());
    await end(jobs[0] as JobRecord);
    const list = async (filter: object, page: object) =>
      (await listJobs(deps, 'alice', { sessionId: session, ...filter }, { limit: 2, ...page })).jobs.map(({ id }) => id);
    expect(await list({}, {})).toEqual([jobs[2]?.id, jobs[1]?.id]);
    expect(await list({}, { after: jobs[1]?.id })).toEqual([jobs[0]?.id]);
    expect(await list({ status: 'completed' }, {})).toEqual([jobs[0]?.id]);
    expect((await listJobs(deps, 'bob', { sessionId: session }, { limit: 2 })).jobs).toEqual([]);
  });

  it('remembers a turn when its job has expired, and forgets it when the job is erased on request', async () => {
    const session = await newSession();
    const [first, second] = [await submit(session, 'one'), await submit(session, 'two')];
    await end(first);
    await end(second);
    await eraseJob(deps, await reread(first), { expired: true });
    expect(await texts(session)).toEqual(['one', 'two']);
    await eraseJob(deps, await reread(second));
    expect(await texts(session)).toEqual(['one']);
  });

  it('expires after its last use, never while one of its jobs is open, and its jobs live on until their own time', async () => {
    const session = await newSession();
    const job = await submit(session);
    const later = { ...deps, now: () => Date.now() + 8 * 24 * 3600 * 1000 };
    await sweepSession(later, session);
    expect(Number(await deps.redis.zscore(SESSIONS, session))).toBeGreaterThan(later.now());
    await end(job);
    await sweepSession(deps, session);
    await findSession(deps, 'alice', session);
    await sweepSession(later, session);
    await expect(findSession(deps, 'alice', session)).rejects.toMatchObject({ code: 'not_found' });
    await expect(submit(session)).rejects.toMatchObject({ code: 'not_found' });
    expect(await deps.redis.keys(`*${session}*`)).toEqual([]);
    expect((await reread(job)).status).toBe('completed');
  });
});

describe('erasing a session', () => {
  const leftovers = async (marker: string): Promise<string[]> => {
    const found: string[] = [];
    for (const key of await deps.redis.keys('*')) {
      const dump = (await deps.redis.dumpBuffer(key))?.toString('latin1') ?? '';
      if (key.includes(marker) || dump.includes(marker)) found.push(key);
    }
    return found;
  };

  it('leaves nothing: turns, jobs that ended, one that runs and those that wait; a late result is refused', async () => {
    await deps.redis.config('SET', 'rdbcompression', 'no');
    const session = (await createSession(deps, { tenant: 'alice', system: 'marker-system', metadata: { a: 'marker-meta' } })).id;
    const jobs = await Promise.all(Array.from({ length: 4 }, (_, at) => submit(session, `marker-text ${at} ${'long '.repeat(at * 2000)}`)));
    const inOrder = await Promise.all(jobs.map(reread));
    inOrder.sort((a, b) => (a.session?.turn ?? 0) - (b.session?.turn ?? 0));
    await end(inOrder[0] as JobRecord);
    const running = await claim(inOrder[1] as JobRecord);
    expect((await leftovers('marker-')).length).toBeGreaterThan(3);
    await eraseSession(deps, 'alice', session);
    const late = await endJob(deps, running, {
      status: 'completed',
      lease: 'lease_1',
      turn: { output: { kind: 'text', text: 'marker-late', finishReason: 'stop' } },
    });
    expect(late.kind).toBe('lost');
    expect(await leftovers('marker-')).toEqual([]);
    expect(await leftovers(session)).toEqual([]);
    for (const job of jobs) expect(await leftovers(job.id)).toEqual([]);
    expect(await Promise.all(jobs.map(({ id }) => deps.redis.exists(jobKey(id))))).toEqual([0, 0, 0, 0]);
  });

  it('is finished by the sweep when its process died', async () => {
    const session = await newSession();
    const job = await submit(session, 'marker-dead');
    const broken = { ...deps, blobs: { ...deps.blobs } };
    const dying = {
      ...broken,
      redis: new Proxy(deps.redis, { get: (target, name) => (name === 'hscan' ? () => Promise.reject(new Error('died')) : Reflect.get(target, name, target)) }),
    };
    await expect(eraseSession(dying, 'alice', session)).rejects.toThrow('died');
    expect(await deps.redis.exists(jobKey(job.id))).toBe(1);
    await sweepSession(deps, session);
    expect(await deps.redis.exists(jobKey(job.id))).toBe(0);
    expect(await leftovers('marker-dead')).toEqual([]);
    expect(await deps.redis.zscore(SESSIONS, session)).toBeNull();
  });
});
