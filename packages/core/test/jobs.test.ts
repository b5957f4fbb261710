import { newId } from '@fana/core/ids.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { cancelJob } from '@fana/core/jobs/cancel.ts';
import { endJob } from '@fana/core/jobs/end.ts';
import { eraseJob } from '@fana/core/jobs/erase.ts';
import { readEvents } from '@fana/core/jobs/events.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { listJobs } from '@fana/core/jobs/list.ts';
import { presentJob } from '@fana/core/jobs/present.ts';
import { retryJob } from '@fana/core/jobs/retry.ts';
import { appendDelta, beginAttempt, claimJob, readJob, releaseJob, renewLeases, settleAttempt, tenantJobsKey } from '@fana/core/jobs/store.ts';
import { type Submitter, submitJob } from '@fana/core/jobs/submit.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let redis: TestRedis;
let deps: TestDeps;
let submit: (body: unknown, idempotencyKey?: string, submitter?: Submitter) => ReturnType<typeof submitJob>;
const alice: Submitter = { tenant: 'alice', keyId: 'key_a', requestsPerMinute: 0 };

beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
  const acceptor = createAcceptor(deps);
  submit = (body, idempotencyKey, submitter = alice) => submitJob(deps, acceptor, submitter, body, { rawBody: JSON.stringify(body), idempotencyKey });
});
afterAll(async () => {
  await deps.close();
  await redis.stop();
});

const submitted = async (body: unknown = { type: 'chat', input: 'hello' }): Promise<JobRecord> => (await submit(body)).job;
const claimed = async (body?: unknown): Promise<JobRecord> => {
  const { id } = await submitted(body);
  const claim = await claimJob(deps.redis, id, 1, 'lease_1');
  if (claim.kind !== 'claimed') throw new Error(claim.kind);
  return claim.job;
};
const reread = async (id: string): Promise<JobRecord> => {
  const job = await readJob(deps.redis, id);
  if (!job) throw new Error('gone');
  return job;
};

describe('submit', () => {
  it('answers a job that can be read back as it was accepted', async () => {
    const { job } = await submit({ type: 'image', input: 'draw a fox', parameters: { n: 2 }, metadata: { order: '42' }, priority: 1 });
    expect(await reread(job.id)).toEqual(job);
    expect(await presentJob(deps, job)).toMatchObject({
      object: 'job',
      status: 'queued',
      type: 'image',
      metadata: { order: '42' },
      attempts: [],
      output: null,
    });
  });

  it('takes the defaults of the contract when they are named', async () => {
    const { job } = await submit({ type: 'auto', language: 'auto', input: 'what is the capital of Peru?', priority: 5 });
    expect(job.spec.type).toBe('chat');
  });

  it('accepts many at once, each exactly once, in one order', async () => {
    const bodies = Array.from({ length: 500 }, (_, n) => ({ type: 'chat', input: `message ${n}` }));
    const bulk: Submitter = { ...alice, tenant: 'bulk' };
    const jobs = await Promise.all(bodies.map((body) => submit(body, undefined, bulk)));
    expect(new Set(jobs.map(({ job }) => job.id)).size).toBe(500);
    expect(await deps.redis.zcard(tenantJobsKey('bulk'))).toBe(500);
  });

  it('returns the first job when the idempotency key repeats, also in parallel', async () => {
    const results = await Promise.all(Array.from({ length: 50 }, () => submit({ type: 'chat', input: 'once' }, 'same')));
    expect(new Set(results.map(({ job }) => job.id)).size).toBe(1);
    expect(results.filter(({ replayed }) => !replayed)).toHaveLength(1);
    await expect(submit({ type: 'chat', input: 'twice' }, 'same')).rejects.toMatchObject({ code: 'idempotency_key_reused' });
    const foreign = await submit({ type: 'chat', input: 'once' }, 'same', { ...alice, tenant: 'bob' });
    expect(foreign.replayed).toBe(false);
  });

  it('admits exactly as many as the key allows in a minute', async () => {
    const limited: Submitter = { tenant: 'limited', keyId: 'key_limited', requestsPerMinute: 7 };
    const results = await Promise.allSettled(Array.from({ length: 40 }, () => submit({ type: 'chat', input: 'x' }, undefined, limited)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(7);
    const refused = results.find((result): result is PromiseRejectedResult => result.status === 'rejected');
    expect(refused?.reason).toMatchObject({ code: 'rate_limit_exceeded' });
    expect(refused?.reason.retryAfterMs).toBeGreaterThan(0);
  });

  it('keeps long input and attached bytes out of Redis', async () => {
    const png = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(3000, 7)]);
    const { job } = await submit({
      type: 'vision',
      input: { text: `look ${'x'.repeat(9000)}`, images: [{ data: png.toString('base64'), media_type: 'image/png' }] },
    });
    const stored = await deps.redis.hget(`fana:job:${job.id}`, 'spec');
    expect(stored?.length).toBeLessThan(3000);
    expect(job.spec.ownedBlobIds).toHaveLength(2);
  });

  it.each([
    [{ input: '' }, 'invalid_request', 'input'],
    [{ input: 5 }, 'invalid_request', 'input'],
    [{}, 'invalid_request', 'input'],
    [{ input: 'x', colour: 1 }, 'invalid_request', 'colour'],
    [{ input: 'x', session_id: 'ses_1' }, 'invalid_request', 'session_id'],
    [{ input: 'x', session_id: newId('ses') }, 'not_found', 'session_id'],
    [{ input: 'x', language: 'xx' }, 'invalid_request', 'language'],
    [{ input: 'x', retrieval: { collection_id: 'col_1' } }, 'not_found', 'retrieval.collection_id'],
    [{ input: 'x', retrieval: { collection_id: newId('col'), top_k: 0 } }, 'invalid_request', 'retrieval.top_k'],
    [{ input: 'x', priority: 11 }, 'invalid_request', 'priority'],
    [{ input: 'x', type: 'video' }, 'invalid_request', 'type'],
    [{ input: 'x', model: 'no-such-model' }, 'model_not_found', 'model'],
    [{ input: 'x', type: 'image', model: 'chat-default' }, 'model_type_mismatch', 'model'],
    [{ input: 'x', type: 'chat', parameters: { size: '1x1' } }, 'invalid_request', 'parameters.size'],
    [{ input: 'x', type: 'chat', parameters: { size: '64x64' } }, 'invalid_request', 'parameters.size'],
    [{ input: 'x', type: 'vision' }, 'invalid_request', 'input'],
    [{ input: 'x', webhook: { url: 'ftp://x' } }, 'invalid_request', 'webhook.url'],
    [{ input: 'x', metadata: { a: 1 } }, 'invalid_request', 'metadata.a'],
    [{ input: { text: 'x', images: [{ data: '%%%' }] } }, 'invalid_request', 'input.images.0.data'],
    [{ input: { text: 'x', images: [{ blob_id: 'blob_1' }] } }, 'not_found', 'input.images.0.blob_id'],
    [{ input: { messages: [{ role: 'tool', content: 'x' }] } }, 'invalid_request', 'input.messages.0.role'],
    [{ input: 'x', run_at: 99999999999 }, 'invalid_request', 'run_at'],
  ])('refuses %j naming the field', async (body, code, param) => {
    await expect(submit(body)).rejects.toMatchObject({ code, param });
  });
});

describe('a run', () => {
  it('is held by one worker at a time, and taken over when its lease has run out', async () => {
    const job = await claimed();
    expect((await claimJob(deps.redis, job.id, 1, 'lease_2')).kind).toBe('leased');
    await beginAttempt(deps.redis, job.id, 'lease_1', 'simulated', 'm');
    await deps.redis.hset(`fana:job:${job.id}`, 'lease_ms', 1);
    const second = await claimJob(deps.redis, job.id, 1, 'lease_2');
    expect(second).toMatchObject({ kind: 'claimed', job: { attempts: [{ number: 1, outcome: 'unknown' }] } });
    expect(await beginAttempt(deps.redis, job.id, 'lease_1', 'simulated', 'm')).toEqual({ kind: 'lost' });
    expect(await appendDelta(deps.redis, { id: job.id, lease: 'lease_1', attempt: 1, number: 1, text: 'late', choices: '' })).toBe(false);
    expect(await endJob(deps, job, { status: 'completed', lease: 'lease_1' })).toMatchObject({ kind: 'lost' });
    expect(await renewLeases(deps.redis, [{ id: job.id, lease: 'lease_1' }])).toEqual(['lost']);
    expect(await endJob(deps, job, { status: 'completed', lease: 'lease_2' })).toMatchObject({ kind: 'finished' });
  });

  it('ends once: the second end and a message that comes late change nothing', async () => {
    const job = await claimed();
    await endJob(deps, job, { status: 'completed', lease: 'lease_1', fields: { output: JSON.stringify({ kind: 'text', text: 'hi', finishReason: 'stop' }) } });
    expect(await endJob(deps, job, { status: 'failed', lease: 'lease_1' })).toMatchObject({ kind: 'lost' });
    expect(await claimJob(deps.redis, job.id, 1, 'lease_3')).toEqual({ kind: 'stale' });
    expect((await reread(job.id)).status).toBe('completed');
  });

  it('has one line for a call in its ledger, also when the line is sent again because its acknowledgement was lost', async () => {
    const job = await claimed();
    const lines = [1, 2].map(() => beginAttempt(deps.redis, job.id, 'lease_1', 'simulated', 'm'));
    expect(await Promise.all(lines)).toEqual([
      { kind: 'begun', number: 1 },
      { kind: 'begun', number: 1 },
    ]);
    await settleAttempt(deps.redis, job.id, 'lease_1', 'failed');
    expect(await beginAttempt(deps.redis, job.id, 'lease_1', 'simulated', 'm')).toEqual({ kind: 'begun', number: 2 });
    expect((await reread(job.id)).attempts.map(({ outcome }) => outcome)).toEqual(['failed', null]);
  });

  it('goes back to the queue with its attempt closed', async () => {
    const job = await claimed();
    await beginAttempt(deps.redis, job.id, 'lease_1', 'simulated', 'm');
    const released = await releaseJob(deps.redis, {
      id: job.id,
      lease: 'lease_1',
      attempt: { outcome: 'failed', error: { code: 'provider_unavailable', message: 'x' } },
      delayMs: 0,
    });
    expect(released).toBe('released');
    expect(await reread(job.id)).toMatchObject({ status: 'queued', attempts: [{ outcome: 'failed', error: { code: 'provider_unavailable' } }] });
  });

  it('tells its events in order, the first with the time of acceptance as id, a reset before a rerun', async () => {
    const job = await claimed();
    await beginAttempt(deps.redis, job.id, 'lease_1', 'simulated', 'm');
    const piece = { id: job.id, lease: 'lease_1', attempt: 1, number: 1, text: 'Hel', choices: '' };
    await appendDelta(deps.redis, piece);
    // Sent again, as a client does after a cut connection: it stands in the stream once.
    expect(await appendDelta(deps.redis, piece)).toBe(true);
    await releaseJob(deps.redis, { id: job.id, lease: 'lease_1', attempt: { outcome: 'failed' }, delayMs: 0 });
    await claimJob(deps.redis, job.id, 1, 'lease_2');
    await beginAttempt(deps.redis, job.id, 'lease_2', 'simulated', 'm');
    await endJob(deps, job, { status: 'completed', lease: 'lease_2', lastDelta: 'Hello', attempt: { outcome: 'completed' } });
    const events = await readEvents(deps.redis, job.id, '');
    expect(events.map(({ type }) => type)).toEqual([
      'job.queued',
      'job.started',
      'output.delta',
      'job.queued',
      'job.started',
      'output.reset',
      'output.delta',
      'job.completed',
    ]);
    expect(events[0]?.id).toBe(`${job.createdMs}-0`);
    expect(await readEvents(deps.redis, job.id, events[4]?.id ?? '')).toEqual(events.slice(5));
  });
});

describe('cancel', () => {
  it('ends a queued job at once, twice without harm', async () => {
    const job = await submitted();
    expect((await cancelJob(deps, job))?.status).toBe('cancelled');
    expect((await cancelJob(deps, job))?.status).toBe('cancelled');
    expect((await readEvents(deps.redis, job.id, '')).map(({ type }) => type)).toEqual(['job.queued', 'job.cancelled']);
  });

  it('marks a running job, which can then not begin another call nor go back to the queue', async () => {
    const job = await claimed();
    expect((await cancelJob(deps, job))?.status).toBe('cancelling');
    expect(await beginAttempt(deps.redis, job.id, 'lease_1', 'simulated', 'm')).toEqual({ kind: 'cancelling' });
    expect(await releaseJob(deps.redis, { id: job.id, lease: 'lease_1', delayMs: 0 })).toBe('cancelling');
    expect(await renewLeases(deps.redis, [{ id: job.id, lease: 'lease_1' }])).toEqual(['cancelling']);
  });

  it('refuses a job that has ended otherwise', async () => {
    const job = await claimed();
    await endJob(deps, job, { status: 'completed', lease: 'lease_1' });
    await expect(cancelJob(deps, job)).rejects.toMatchObject({ code: 'job_not_cancellable' });
  });
});

describe('retry', () => {
  it('starts a new run of the same id with fresh attempts and counts the calls of the run before', async () => {
    const job = await claimed();
    await beginAttempt(deps.redis, job.id, 'lease_1', 'simulated', 'm');
    await endJob(deps, job, { status: 'failed', lease: 'lease_1', attempt: { outcome: 'failed' }, error: { code: 'provider_refused', message: 'no' } });
    const retried = await retryJob(deps, await reread(job.id));
    expect(retried).toMatchObject({ id: job.id, status: 'queued', run: 2, attempts: [], earlierCalls: 1 });
    expect(retried?.error).toBeUndefined();
    expect(await claimJob(deps.redis, job.id, 1, 'lease_old')).toEqual({ kind: 'stale' });
    expect((await claimJob(deps.redis, job.id, 2, 'lease_new')).kind).toBe('claimed');
  });

  it('refuses a job that is queued, running or completed', async () => {
    const job = await claimed();
    await expect(retryJob(deps, job)).rejects.toMatchObject({ code: 'job_not_retryable' });
    await endJob(deps, job, { status: 'completed', lease: 'lease_1' });
    await expect(retryJob(deps, await reread(job.id))).rejects.toMatchObject({ code: 'job_not_retryable' });
  });
});

describe('erase', () => {
  it('leaves no key, no list entry and no bytes behind', async () => {
    const { job } = await submit({
      type: 'vision',
      input: { text: 'what?', images: [{ data: Buffer.from('marker-4711').toString('base64') }] },
      webhook: { url: 'https://example.com/hook' },
    });
    await cancelJob(deps, job);
    await eraseJob(deps, await reread(job.id));
    expect(await readJob(deps.redis, job.id)).toBeUndefined();
    const keys = await deps.redis.keys(`*${job.id}*`);
    expect(keys.filter((key) => !key.startsWith('fana:bull'))).toEqual([]);
    await expect(deps.blobs.read(job.spec.ownedBlobIds[0] ?? '')).rejects.toMatchObject({ code: 'not_found' });
    expect(await deps.redis.zscore(tenantJobsKey('alice'), job.id)).toBeNull();
  });

  it('refuses a running job', async () => {
    await expect(eraseJob(deps, await claimed())).rejects.toMatchObject({ code: 'job_running' });
  });
});

describe('list', () => {
  it('pages newest first, filters, and never shows another tenant', async () => {
    const carol: Submitter = { tenant: 'carol', keyId: 'key_c', requestsPerMinute: 0 };
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.unshift((await submit({ type: n % 2 ? 'image' : 'chat', input: `draw ${n}` }, undefined, carol)).job.id);
    const first = await listJobs(deps, 'carol', {}, { limit: 2 });
    expect(first.jobs.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect(first.hasMore).toBe(true);
    const rest = await listJobs(deps, 'carol', {}, { limit: 10, after: first.jobs[1]?.id });
    expect(rest.jobs.map(({ id }) => id)).toEqual(ids.slice(2));
    expect(rest.hasMore).toBe(false);
    expect((await listJobs(deps, 'carol', { type: 'image' }, { limit: 10 })).jobs).toHaveLength(2);
    expect((await listJobs(deps, 'carol', { status: 'failed' }, { limit: 10 })).jobs).toHaveLength(0);
    await expect(listJobs(deps, 'bob', {}, { limit: 10, after: ids[0] })).rejects.toMatchObject({ code: 'invalid_request', param: 'after' });
  });
});
