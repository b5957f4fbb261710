import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { findBlob, saveBlob, saveBlobStream } from '@fana/core/blobs/store.ts';
import { saveFile } from '@fana/core/files/store.ts';
import { newId } from '@fana/core/ids.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { endJob } from '@fana/core/jobs/end.ts';
import { eraseJob } from '@fana/core/jobs/erase.ts';
import { readEvents } from '@fana/core/jobs/events.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { retryJob } from '@fana/core/jobs/retry.ts';
import { acceptJobs, claimJob, DUE, ENDED, eventsKey, finishJob, jobKey, readJob, tenantJobsKey } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import { BULLMQ_PREFIX, type JobMessage } from '@fana/core/queues.ts';
import { jobOccasion } from '@fana/core/webhooks/occasion.ts';
import { prepareDeliveries } from '@fana/core/webhooks/publish.ts';
import { endpointDeliveriesKey, readDelivery, recordDelivery } from '@fana/core/webhooks/store.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { Queue } from 'bullmq';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sweep } from '../src/sweep.ts';

const TTL_SECONDS = 60;
const TENANT = 'default';
const caller = { tenant: TENANT, keyId: 'key_1', requestsPerMinute: 0 };
const WEBHOOK = { url: 'https://hooks.example.com/fana' };

let redis: TestRedis;
let deps: TestDeps;
let chatQueue: Queue<JobMessage>;
let webhookQueue: Queue<JobMessage>;

beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url, { FANA_RESULT_TTL_SECONDS: String(TTL_SECONDS), FANA_BLOB_TTL_SECONDS: '3600' });
  const options = { prefix: BULLMQ_PREFIX, connection: deps.connections.bull, skipVersionCheck: true };
  chatQueue = new Queue('chat', options);
  webhookQueue = new Queue('webhook', options);
});
afterAll(async () => {
  await Promise.all([chatQueue.close(), webhookQueue.close()]);
  await deps.close();
  await redis.stop();
});
beforeEach(() => deps.redis.flushall());

/** A sweep as it goes `seconds` from now. */
const sweepIn = (seconds: number, changed: Partial<TestDeps> = {}): Promise<void> => sweep({ ...deps, now: () => Date.now() + seconds * 1000, ...changed });

const submit = async (body: Record<string, unknown> = {}): Promise<JobRecord> => {
  const sent = { type: 'chat', input: 'hello', ...body };
  return (await submitJob(deps, createAcceptor(deps), caller, sent, { rawBody: JSON.stringify(sent) })).job;
};
/** A submission whose process died after the record was written and before its message was sent. */
const submitWithoutMessage = async (body: Record<string, unknown> = {}): Promise<JobRecord> => {
  const sent = { type: 'chat', input: 'hello', ...body };
  const dying = { accept: async ({ item }: Parameters<ReturnType<typeof createAcceptor>['accept']>[0]) => (await acceptJobs(deps.redis, [item]))[0] as never };
  return (await submitJob(deps, dying, caller, sent, { rawBody: JSON.stringify(sent) })).job;
};
const claim = async (job: JobRecord, lease = 'lease_1'): Promise<JobRecord> => {
  const reply = await claimJob(deps.redis, job.id, job.run, lease);
  if (reply.kind !== 'claimed') throw new Error(reply.kind);
  return reply.job;
};
const complete = async (job: JobRecord, fields: Record<string, string> = {}): Promise<JobRecord> => {
  await endJob(deps, await claim(job), { status: 'completed', lease: 'lease_1', fields });
  return reread(job.id);
};
const reread = async (id: string): Promise<JobRecord> => (await readJob(deps.redis, id)) ?? Promise.reject(new Error('the job is gone'));
const deliveryIdOf = async (id: string): Promise<string> => (await deps.redis.hget(jobKey(id), 'deliveries')) ?? '';
const isDue = async (id: string): Promise<boolean> => (await deps.redis.zscore(DUE, id)) !== null;

describe('a job without a message', () => {
  it('gets one when its process died between record and message, with its priority', async () => {
    const { id } = await submitWithoutMessage({ priority: 3 });
    expect(await chatQueue.getJob(`${id}-1`)).toBeUndefined();
    await sweepIn(5);
    expect(await chatQueue.getJob(`${id}-1`)).toBeUndefined();
    await sweepIn(11);
    expect(await chatQueue.getJob(`${id}-1`)).toMatchObject({ data: { id, run: 1 }, opts: { priority: 3 } });
  });

  it('gets one that waits for its run_at', async () => {
    const { id } = await submitWithoutMessage({ run_at: Math.floor(Date.now() / 1000) + 3600 });
    await sweepIn(11);
    expect(await chatQueue.getJob(`${id}-1`)).toBeUndefined();
    await deps.redis.zadd(DUE, Date.now() - 1, id);
    await sweepIn(0);
    expect(await chatQueue.getJobCounts('delayed', 'prioritized', 'waiting')).toMatchObject({ delayed: 1, prioritized: 0, waiting: 0 });
  });

  it('is looked at again, so that a second loss is mended too', async () => {
    const { id } = await submitWithoutMessage();
    await sweepIn(11);
    await (await chatQueue.getJob(`${id}-1`))?.remove();
    await sweepIn(11 + 300);
    expect(await chatQueue.getJob(`${id}-1`)).toBeDefined();
  });

  it('is brought again in its new run after a retry', async () => {
    const job = await submitWithoutMessage();
    await endJob(deps, job, { status: 'cancelled', lease: '' });
    await retryJob(deps, await reread(job.id));
    await (await chatQueue.getJob(`${job.id}-2`))?.remove();
    await sweepIn(11);
    expect(await chatQueue.getJob(`${job.id}-2`)).toMatchObject({ data: { id: job.id, run: 2 } });
    expect(await chatQueue.getJob(`${job.id}-1`)).toBeUndefined();
  });
});

it('a message that is there is not doubled', async () => {
  const { id } = await submit();
  for (const seconds of [11, 320, 1000]) await sweepIn(seconds);
  expect(await chatQueue.getJobCountByTypes('waiting', 'prioritized', 'delayed', 'active')).toBe(1);
  expect(await chatQueue.getJob(`${id}-1`)).toBeDefined();
});

describe('a lease', () => {
  it('that ran out is brought to a worker again', async () => {
    const job = await submitWithoutMessage();
    await claim(job);
    await deps.redis.hset(jobKey(job.id), 'lease_ms', Date.now() - 1);
    await sweepIn(15);
    const message = await chatQueue.getJob(`${job.id}-1`);
    expect(message).toMatchObject({ data: { id: job.id, run: 1 } });
    // Without a priority it is served before everything that waits.
    expect(message?.priority).toBe(0);
    expect((await claim(job, 'lease_2')).status).toBe('in_progress');
  });

  it('that ran out is mended before everything that waits, however many were due earlier', async () => {
    const backlog = await Promise.all(Array.from({ length: 250 }, () => submitWithoutMessage()));
    const running = await submitWithoutMessage();
    await claim(running);
    const order: string[] = [];
    const enqueue: TestDeps['queues']['enqueue'] = async (messages) => void order.push(...messages.map(({ message }) => message.id));
    await sweepIn(15, { queues: { ...deps.queues, enqueue } });
    expect(order[0]).toBe(running.id);
    expect(order).toHaveLength(backlog.length + 1);
    order.length = 0;
    await sweepIn(21, { queues: { ...deps.queues, enqueue } });
    expect(order[0]).toBe(running.id);
  });

  it('that holds is left alone', async () => {
    const job = await submitWithoutMessage();
    await claim(job);
    await sweepIn(9);
    expect(await chatQueue.getJob(`${job.id}-1`)).toBeUndefined();
    expect((await reread(job.id)).status).toBe('in_progress');
  });
});

describe('a deadline', () => {
  it('that passes in the queue ends the job with its event and its webhook', async () => {
    const { id } = await submit({ deadline_seconds: 2, webhook: WEBHOOK });
    await sweepIn(1);
    expect((await reread(id)).status).toBe('queued');
    await sweepIn(3);
    const job = await reread(id);
    expect(job).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' }, attempts: [] });
    expect((await readEvents(deps.redis, id, '')).map(({ type }) => type)).toEqual(['job.queued', 'job.failed']);
    const deliveryId = await deliveryIdOf(id);
    expect(await readDelivery(deps.redis, deliveryId)).toMatchObject({ status: 'pending', spec: { type: 'job.failed', subject: id } });
    expect(await webhookQueue.getJob(`${deliveryId}-1`)).toBeDefined();
    expect(await isDue(id)).toBe(false);
  });

  it('of a running job is left to its worker', async () => {
    const job = await submit({ deadline_seconds: 2 });
    await claim(job);
    await sweepIn(5);
    expect((await reread(job.id)).status).toBe('in_progress');
  });
});

describe('a webhook', () => {
  const finishedWithoutMessage = async (): Promise<{ job: JobRecord; deliveryId: string }> => {
    const job = await claim(await submit({ webhook: WEBHOOK }));
    const deliveries = await prepareDeliveries(deps, jobOccasion(job, 'completed'));
    await finishJob(deps.redis, { id: job.id, tenant: TENANT, run: 1, lease: 'lease_1', status: 'completed', resultTtlMs: 60_000, deliveries, fields: {} });
    return { job, deliveryId: deliveries[0]?.id ?? '' };
  };
  const url = WEBHOOK.url;
  const attempt = (number: number, status: number) => ({ number, at: Date.now() / 1000, status, error: null, durationMs: 1 });

  it('whose message was lost with the worker that ended the job gets one', async () => {
    const { deliveryId } = await finishedWithoutMessage();
    expect(await webhookQueue.getJob(`${deliveryId}-1`)).toBeUndefined();
    await sweepIn(6);
    expect(await webhookQueue.getJob(`${deliveryId}-1`)).toMatchObject({ data: { id: deliveryId, run: 1 } });
  });

  it('whose message of a later attempt was lost gets that one, at its time', async () => {
    const { deliveryId } = await finishedWithoutMessage();
    const delivery = await readDelivery(deps.redis, deliveryId);
    if (!delivery) throw new Error('no delivery');
    await recordDelivery(deps.redis, delivery, attempt(1, 500), {
      answer: 'failed',
      url,
      status: 'pending',
      nextAttemptMs: Date.now() + 300_000,
      nowMs: Date.now(),
    });
    await sweepIn(300);
    expect(await webhookQueue.getJob(`${deliveryId}-2`)).toBeUndefined();
    await sweepIn(311);
    expect(await webhookQueue.getJob(`${deliveryId}-2`)).toMatchObject({ data: { id: deliveryId, run: 2 } });
    expect(await webhookQueue.getJob(`${deliveryId}-1`)).toBeUndefined();
  });

  it('that waits long for its turn is looked at ever more rarely', async () => {
    const { deliveryId } = await finishedWithoutMessage();
    await sweepIn(100);
    const next = Number(await deps.redis.zscore(DUE, deliveryId));
    expect(next).toBeGreaterThan(Date.now() + 140_000);
    expect(next).toBeLessThan(Date.now() + 160_000);
  });

  it.each([
    ['delivered', 200],
    ['failed', 410],
  ] as const)('keeps its job from expiring until it is %s', async (status, answer) => {
    const { job, deliveryId } = await finishedWithoutMessage();
    await sweepIn(TTL_SECONDS + 1000);
    expect((await reread(job.id)).status).toBe('completed');
    const delivery = await readDelivery(deps.redis, deliveryId);
    if (!delivery) throw new Error('no delivery');
    await recordDelivery(deps.redis, delivery, attempt(1, answer), { answer: answer === 410 ? 'gone' : 'taken', url, status, nowMs: Date.now() });
    await sweepIn(TTL_SECONDS - 5);
    expect((await reread(job.id)).status).toBe('completed');
    await sweepIn(TTL_SECONDS + 1);
    expect(await readJob(deps.redis, job.id)).toBeUndefined();
    expect(await readDelivery(deps.redis, deliveryId)).toBeUndefined();
    expect(await deps.redis.zcard(endpointDeliveriesKey(TENANT, 'default'))).toBe(0);
  });
});

describe('expiry', () => {
  const png = { tenant: TENANT, bytes: Buffer.from('not really a picture'), mediaType: 'image/png' };

  it('removes the job, its events, its index entries and its own blobs, and leaves the pictures it made', async () => {
    const picture = await saveBlob(deps, png);
    const image = { blobId: picture.id, mediaType: 'image/png', width: 1, height: 1, bytes: 1, sha256: 'x', expiresMs: picture.expiresMs };
    const job = await complete(await submit({ input: 'x'.repeat(20_000) }), { output: JSON.stringify({ kind: 'images', images: [image] }) });
    const input = job.spec.ownedBlobIds[0] ?? '';
    expect(await findBlob(deps, input)).toBeDefined();

    await sweepIn(TTL_SECONDS - 5);
    expect((await reread(job.id)).status).toBe('completed');
    await sweepIn(TTL_SECONDS + 1);
    expect(await readJob(deps.redis, job.id)).toBeUndefined();
    expect(await deps.redis.exists(jobKey(job.id), eventsKey(job.id))).toBe(0);
    expect(await deps.redis.zscore(tenantJobsKey(TENANT), job.id)).toBeNull();
    expect(await deps.redis.zscore(ENDED, job.id)).toBeNull();
    expect(await isDue(job.id)).toBe(false);
    expect(await findBlob(deps, input)).toBeUndefined();
    await expect(deps.blobs.read(input)).rejects.toMatchObject({ code: 'not_found' });
    expect((await deps.blobs.read(picture.id)).toString()).toBe('not really a picture');
  });

  it('of blobs removes record and bytes, and not before', async () => {
    const blob = await saveBlob(deps, png);
    await sweepIn(3590);
    expect(await findBlob(deps, blob.id)).toBeDefined();
    await sweepIn(3601);
    expect(await findBlob(deps, blob.id)).toBeUndefined();
    await expect(deps.blobs.read(blob.id)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('of files removes record, index entry and bytes, and not before', async () => {
    const source = (async function* () {
      yield Buffer.from('{}');
    })();
    const file = await saveFile(deps, { tenant: TENANT, filename: 'x.jsonl', purpose: 'batch', source, expiresMs: Date.now() + 60_000 });
    await sweepIn(50);
    expect(await deps.redis.exists(`fana:file:${file.id}`)).toBe(1);
    await sweepIn(61);
    expect(await deps.redis.keys('fana:*file*')).toEqual([]);
    expect(await findBlob(deps, file.blobId)).toBeUndefined();
    await expect(deps.blobs.read(file.blobId)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('removes what an upload left whose process died, after some hours', async () => {
    // The process does not die in a test: its writer goes on at the end, and finds that its time is over.
    let goOn = (): void => undefined;
    const paused = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const source = (async function* () {
      yield Buffer.from('half');
      await paused;
    })();
    const id = newId('blob');
    const late = saveBlobStream(deps, { tenant: TENANT, source, mediaType: 'text/plain', id });
    const drafts = async () => (await readdir(join(deps.config.dataDir, 'blobs'), { recursive: true })).filter((path) => path.includes(id));
    await expect.poll(drafts).toHaveLength(1);
    await sweepIn(6 * 3600 - 60);
    expect(await drafts()).toHaveLength(1);
    await sweepIn(6 * 3600 + 1);
    expect(await drafts()).toEqual([]);
    expect(await deps.redis.zscore('fana:blobs', id)).toBeNull();
    goOn();
    await expect(late).rejects.toMatchObject({ code: 'storage_error' });
  });

  it('of one blob that cannot be removed does not keep the others, and is tried again', async () => {
    const stuck = await saveBlob(deps, png);
    const others = await Promise.all([1, 2, 3].map(() => saveBlob(deps, png)));
    const blobs = { ...deps.blobs, remove: (id: string) => (id === stuck.id ? Promise.reject(new Error('permission denied')) : deps.blobs.remove(id)) };
    await sweepIn(3601, { blobs });
    for (const { id } of others) expect(await deps.redis.exists(`fana:blob:${id}`)).toBe(0);
    expect(await deps.redis.exists(`fana:blob:${stuck.id}`)).toBe(1);
    await sweepIn(3601 + 301);
    expect(await deps.redis.exists(`fana:blob:${stuck.id}`)).toBe(0);
  });

  it('does not erase a job that was retried after the sweep had read it as ended', async () => {
    const job = await submit();
    await endJob(deps, job, { status: 'cancelled', lease: '' });
    const read = await reread(job.id);
    await retryJob(deps, read);
    await expect(eraseJob(deps, read, { expired: true })).rejects.toMatchObject({ code: 'job_running' });
    expect(await reread(job.id)).toMatchObject({ status: 'queued', run: 2 });
  });
});

describe('a broken record', () => {
  it('does not keep the sweep from the others', async () => {
    const broken = newId('job');
    await deps.redis.hset(jobKey(broken), { spec: '{', status: 'queued', run: 1, created_ms: 1 });
    await deps.redis.zadd(DUE, 1, broken);
    await deps.redis.set(jobKey('job_wrongtype'), 'no hash');
    await deps.redis.zadd(DUE, 2, 'job_wrongtype');
    const { id } = await submitWithoutMessage();
    await sweepIn(11);
    expect(await chatQueue.getJob(`${id}-1`)).toBeDefined();
    expect(Number(await deps.redis.zscore(DUE, broken))).toBeGreaterThan(Date.now() + 60_000);
  });

  it('among the expired ones is neither forgotten nor in the way', async () => {
    const job = await complete(await submit());
    const broken = newId('job');
    await deps.redis.hset(jobKey(broken), { spec: '{', status: 'completed', run: 1, created_ms: 1 });
    await deps.redis.zadd(ENDED, 1, broken);
    await sweepIn(TTL_SECONDS + 1);
    expect(await readJob(deps.redis, job.id)).toBeUndefined();
    expect(Number(await deps.redis.zscore(ENDED, broken))).toBeGreaterThan(Date.now() + 60_000);
  });

  it('that is no record at all leaves the index', async () => {
    await deps.redis.zadd(DUE, 1, newId('job'), 1, newId('whd'));
    await deps.redis.zadd(ENDED, 1, newId('job'));
    await sweepIn(0);
    expect(await deps.redis.zcard(DUE)).toBe(0);
    expect(await deps.redis.zcard(ENDED)).toBe(0);
  });
});

it('goes through more records than one round takes', async () => {
  const ids = await Promise.all(Array.from({ length: 450 }, async () => (await submitWithoutMessage()).id));
  await sweepIn(11);
  expect(await chatQueue.getJobCountByTypes('prioritized', 'waiting')).toBe(ids.length);
});
