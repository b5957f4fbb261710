import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAsideFolder, keepAside, moveAllAside, stillAside, withAside } from '@fana/core/blobs/aside.ts';
import { ASIDE, findBlob, newBlobRecord, removeBlobs } from '@fana/core/blobs/store.ts';
import type { Deps } from '@fana/core/deps.ts';
import { AppError } from '@fana/core/errors.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { cancelJob } from '@fana/core/jobs/cancel.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { retryJob } from '@fana/core/jobs/retry.ts';
import { readJob } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import type { Provider } from '@fana/core/providers/provider.ts';
import { connectSubscriber } from '@fana/core/redis.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import type { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createLeaseKeeper, type LeaseKeeper } from '../src/leases.ts';
import type { MessageFate } from '../src/run-end.ts';
import { runJob } from '../src/run-job.ts';

const ONE_PIXEL = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
const away = (): Promise<never> => Promise.reject(new AppError('storage_error', 'The blob store is away.'));

let redis: TestRedis;
let deps: TestDeps;
let subscriber: Redis;
let keeper: LeaseKeeper;
let isAway = false;
let calls = 0;

beforeAll(async () => {
  redis = await startRedis();
  const plain = testDeps(redis.url);
  const { blobs } = plain;
  // A store that takes nothing while the test says so.
  deps = {
    ...plain,
    blobs: { ...blobs, put: (...blob) => (isAway ? away() : blobs.put(...blob)), check: () => (isAway ? away() : blobs.check()) },
  };
  subscriber = connectSubscriber(redis.url);
  keeper = await createLeaseKeeper({ redis: deps.redis, logger: pino({ enabled: false }) }, subscriber);
});
afterAll(async () => {
  keeper.close();
  subscriber.disconnect();
  await deps.close();
  await redis.stop();
});
beforeEach(async () => {
  isAway = false;
  await moveAllAside(deps);
  calls = 0;
});

const submit = async (more: object = {}): Promise<string> =>
  (
    await submitJob(
      deps,
      createAcceptor(deps),
      { tenant: 't', keyId: 'k', requestsPerMinute: 0 },
      { type: 'image', input: 'draw a red fox in the deep snow', ...more },
      { rawBody: '' },
    )
  ).job.id;
const reread = async (id: string): Promise<JobRecord> => (await readJob(deps.redis, id)) ?? Promise.reject(new Error('the job is gone'));

const run = (id: string, overrides: Partial<Deps> = {}, number = 1): Promise<MessageFate> => {
  const provider: Provider = {
    name: 'openai',
    async image() {
      calls++;
      return { images: [{ bytes: ONE_PIXEL }, { bytes: ONE_PIXEL }], usage: { images: 2 }, model: 'm' };
    },
  };
  const providers = { ...deps.providers, targets: () => [{ provider, model: 'm', warnings: [] }], costUsd: () => 0.04 };
  return runJob({ ...deps, providers, ...overrides }, keeper, { id, run: number });
};

/** A job whose two pictures were made while the store was away. */
const runAway = async (more?: object): Promise<string> => {
  const id = await submit(more);
  isAway = true;
  expect((await run(id)).againInMs).toBeGreaterThan(0);
  return id;
};

describe('pictures that are made while the blob store is away', () => {
  it('are kept, the call is settled as completed, and the job is nobody’s until it completes without another call', async () => {
    const id = await runAway();
    const waiting = await reread(id);
    expect(waiting).toMatchObject({ status: 'queued', attempts: [{ outcome: 'completed' }] });
    expect(waiting.output).toBeUndefined();
    expect(await deps.aside.list()).toHaveLength(2);
    expect((await run(id)).againInMs).toBeGreaterThan(0);
    isAway = false;
    expect(await moveAllAside(deps)).toBe(2);
    expect(await run(id)).toEqual({});
    const job = await reread(id);
    expect(job).toMatchObject({ status: 'completed', language: expect.any(String), costUsd: 0.04, usage: { images: 2 }, attempts: [{ outcome: 'completed' }] });
    for (const { blobId } of job.output?.kind === 'images' ? job.output.images : []) expect(await deps.blobs.read(blobId)).toEqual(ONE_PIXEL);
    expect(job.output?.kind === 'images' && job.output.images.length).toBe(2);
    expect(calls).toBe(1);
    expect(await deps.aside.list()).toEqual([]);
  });

  it('are waited for by a worker of another machine, too', async () => {
    const id = await runAway();
    const folder = await mkdtemp(join(tmpdir(), 'fana-other-'));
    const aside = createAsideFolder({ dataDir: folder });
    isAway = false;
    expect(await moveAllAside({ ...deps, aside })).toBe(0);
    expect((await run(id, { aside })).againInMs).toBeGreaterThan(0);
    await moveAllAside(deps);
    expect(await run(id, { aside })).toEqual({});
    expect(await reread(id)).toMatchObject({ status: 'completed' });
    expect(calls).toBe(1);
    await rm(folder, { recursive: true });
  });

  it('keep this machine from paying for others until the store answers; that costs no attempt', async () => {
    await runAway();
    const next = await submit();
    expect((await run(next)).againInMs).toBeGreaterThan(0);
    expect((await reread(next)).attempts).toEqual([]);
    expect(calls).toBe(1);
    isAway = false;
    expect(await run(next)).toEqual({});
    expect(calls).toBe(2);
  });

  it('do not keep their job from being cancelled', async () => {
    const id = await runAway();
    await cancelJob(deps, await reread(id));
    expect(await reread(id)).toMatchObject({ status: 'cancelled', attempts: [{ outcome: 'completed' }] });
    expect(await run(id)).toEqual({});
    expect(calls).toBe(1);
  });

  it('are given up after a day; a retry makes new ones', async () => {
    const id = await runAway();
    expect(await run(id, { now: () => Date.now() + 25 * 3_600_000 })).toEqual({});
    expect(await reread(id)).toMatchObject({ status: 'failed', error: { code: 'result_not_stored' } });
    isAway = false;
    await retryJob(deps, await reread(id));
    expect(await run(id, {}, 2)).toEqual({});
    expect(await reread(id)).toMatchObject({ status: 'completed', run: 2 });
    expect(calls).toBe(2);
  });

  it('that this machine cannot keep either fail their job, which says so', async () => {
    const id = await submit();
    isAway = true;
    expect(await run(id, { aside: { ...deps.aside, put: away } })).toEqual({});
    expect(await reread(id)).toMatchObject({ status: 'failed', error: { code: 'result_not_stored' } });
    expect(calls).toBe(1);
    expect(await deps.redis.hlen(ASIDE)).toBe(0);
  });
});

describe('a blob that is kept aside', () => {
  const keep = async () => {
    const record = newBlobRecord(deps, { tenant: 't', bytes: ONE_PIXEL, mediaType: 'image/png' });
    await keepAside(deps, record, ONE_PIXEL);
    return record;
  };

  it('is not stored yet to a reader, which is not gone', async () => {
    const { id } = await keep();
    const blobs = withAside(deps.blobs, deps.redis);
    for (const read of [blobs.read(id), blobs.stream(id)]) await expect(read).rejects.toMatchObject({ code: 'storage_error' });
    await expect(blobs.read('blob_0123456789ABCDEFGHIJKL')).rejects.toMatchObject({ code: 'not_found' });
    await moveAllAside(deps);
    expect(await blobs.read(id)).toEqual(ONE_PIXEL);
  });

  it('that was erased meanwhile is forgotten, not stored', async () => {
    const { id } = await keep();
    await removeBlobs(deps, [id]);
    expect(await stillAside(deps, [id])).toEqual([]);
    await moveAllAside(deps);
    expect(await deps.aside.list()).toEqual([]);
    expect(await findBlob(deps, id)).toBeUndefined();
    await expect(deps.blobs.read(id)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('may be moved by two processes at once', async () => {
    const { id } = await keep();
    await Promise.all([moveAllAside(deps), moveAllAside(deps)]);
    expect(await deps.blobs.read(id)).toEqual(ONE_PIXEL);
    expect(await stillAside(deps, [id])).toEqual([]);
  });
});
