import { findBlob } from '@fana/core/blobs/store.ts';
import { AppError } from '@fana/core/errors.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { readOutput } from '@fana/core/jobs/long-texts.ts';
import { jobKey, readJob } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import type { CallOptions, ImageResult, Provider } from '@fana/core/providers/provider.ts';
import { connectSubscriber } from '@fana/core/redis.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import type { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createLeaseKeeper, type Hold, type LeaseKeeper } from '../src/leases.ts';
import type { MessageFate } from '../src/run-end.ts';
import { runJob } from '../src/run-job.ts';

const ONE_PIXEL = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
const PICTURE: ImageResult = { images: [{ bytes: ONE_PIXEL }], usage: { images: 1 }, model: 'm' };

let redis: TestRedis;
let deps: TestDeps;
let subscriber: Redis;
let keeper: LeaseKeeper;
let errors: string[] = [];

beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
  subscriber = connectSubscriber(redis.url);
  const logger = pino({ level: 'error' }, { write: (line: string) => errors.push(line) });
  deps = { ...deps, logger };
  keeper = await createLeaseKeeper({ redis: deps.redis, logger: pino({ enabled: false }) }, subscriber);
});
afterAll(async () => {
  keeper.close();
  subscriber.disconnect();
  await deps.close();
  await redis.stop();
});
beforeEach(() => {
  errors = [];
});
afterEach(() => acceptWrites());

/** Redis answers every write with an error from now on, as it does when its memory is full or when it has become a replica. */
const REFUSALS = {
  'its memory is full': () => deps.redis.config('SET', 'maxmemory', '1'),
  'it is a replica': () => deps.redis.call('REPLICAOF', '127.0.0.1', '1'),
} as const;
const acceptWrites = async (): Promise<void> => {
  await deps.redis.config('SET', 'maxmemory', '0');
  await deps.redis.call('REPLICAOF', 'NO', 'ONE');
};

const submit = async (type: 'chat' | 'image'): Promise<string> => {
  const body = { type, input: 'a fox' };
  return (await submitJob(deps, createAcceptor(deps), { tenant: 't', keyId: 'k', requestsPerMinute: 0 }, body, { rawBody: '' })).job.id;
};
const reread = async (id: string): Promise<JobRecord> => (await readJob(deps.redis, id)) ?? Promise.reject(new Error('the job is gone'));

/** Lets this process run a job with a provider of the test's own. */
const run = (id: string, provider: Omit<Provider, 'name'>, { as = keeper, name = () => 'openai' as const, blobs = deps.blobs } = {}): Promise<MessageFate> => {
  const named: Provider = {
    ...provider,
    get name() {
      return name();
    },
  };
  const providers = { ...deps.providers, targets: () => [{ provider: named, model: 'm', warnings: [] }], costUsd: () => undefined };
  return runJob({ ...deps, blobs, providers }, as, { id, run: 1 });
};

/** A keeper whose hold the test stops by hand. */
const byHand = (): { as: LeaseKeeper; hold: () => Hold } => {
  let held: Hold | undefined;
  const as: LeaseKeeper = {
    ...keeper,
    hold(id, lease) {
      held = keeper.hold(id, lease);
      return held;
    },
  };
  const hold = (): Hold => {
    if (!held) throw new Error('nothing is held yet');
    return held;
  };
  return { as, hold };
};

describe.each(Object.entries(REFUSALS))('an answer that came while Redis takes no writes because %s', (_, refuse) => {
  it('is kept until it does: a picture is made once', async () => {
    const id = await submit('image');
    let calls = 0;
    const running = run(id, {
      async image() {
        calls++;
        await refuse();
        setTimeout(() => void acceptWrites(), 1500);
        return PICTURE;
      },
    });
    await running;
    const job = await reread(id);
    expect(job).toMatchObject({ status: 'completed', attempts: [{ outcome: 'completed' }] });
    expect(job.output?.kind === 'images' && (await findBlob(deps, job.output.images[0]?.blobId ?? ''))).toBeTruthy();
    expect(calls).toBe(1);
  });

  it('is kept until it does: a text too long for Redis is asked for once', async () => {
    const id = await submit('chat');
    const text = 'long '.repeat(10_000);
    let calls = 0;
    await run(id, {
      async chat() {
        calls++;
        await refuse();
        setTimeout(() => void acceptWrites(), 1500);
        return { text, finishReason: 'stop', usage: {}, model: 'm' };
      },
    });
    const job = await reread(id);
    expect(job).toMatchObject({ status: 'completed', attempts: [{ outcome: 'completed' }] });
    expect(await readOutput(deps, job)).toMatchObject({ text });
    expect(calls).toBe(1);
  });
});

it('a picture that is stored when Redis stops taking writes is made once, and its job completes', async () => {
  const id = await submit('image');
  let calls = 0;
  const image = async (): Promise<ImageResult> => {
    calls++;
    return PICTURE;
  };
  const put: TestDeps['blobs']['put'] = async (...blob) => {
    await deps.blobs.put(...blob);
    await REFUSALS['its memory is full']();
    setTimeout(() => void acceptWrites(), 1500);
  };
  expect(await run(id, { image }, { blobs: { ...deps.blobs, put } })).toEqual({});
  expect(await reread(id)).toMatchObject({ status: 'completed', attempts: [{ outcome: 'completed' }] });
  expect(calls).toBe(1);
});

it('a refusal that came while Redis takes no writes is written down when it does', async () => {
  const id = await submit('image');
  await run(id, {
    async image() {
      await REFUSALS['its memory is full']();
      setTimeout(() => void acceptWrites(), 1000);
      throw new AppError('provider_refused', 'no', { provider: { outcome: 'known', status: 400 } });
    },
  });
  expect(await reread(id)).toMatchObject({ status: 'failed', attempts: [{ outcome: 'refused' }] });
});

it('a run whose lease was lost is aborted at the next renewal, and the picture it made all the same is not the job’s', async () => {
  const id = await submit('image');
  let aborted = false;
  await run(id, {
    async image(_request, { signal }: CallOptions) {
      // What a worker finds that was frozen for longer than its lease.
      await deps.redis.hset(jobKey(id), 'lease', 'lease_of_another', 'lease_ms', String(Date.now() + 60_000));
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      aborted = true;
      return PICTURE;
    },
  });
  expect(aborted).toBe(true);
  const job = await reread(id);
  expect(job).toMatchObject({ status: 'in_progress', attempts: [{ outcome: null }] });
  expect(job.output).toBeUndefined();
  const blobs = await deps.redis.zrange('fana:blobs', '0', '-1');
  for (const blob of blobs) expect(await findBlob(deps, blob)).toMatchObject({ expiresMs: expect.any(Number) });
});

describe('a run that is stopped between its ledger line and its call', () => {
  const stopBeforeCall = async (reason: 'cancel' | 'deadline' | 'shutdown'): Promise<{ fate: MessageFate; calls: number; job: JobRecord }> => {
    const id = await submit('image');
    const { as, hold } = byHand();
    let calls = 0;
    const image = async (): Promise<ImageResult> => {
      calls++;
      return PICTURE;
    };
    // Read first to wait for its turn, then for the line in the ledger.
    let reads = 0;
    const name = () => {
      reads++;
      if (reads === 2) hold().stop(reason);
      return 'openai' as const;
    };
    const fate = await run(id, { image }, { as, name });
    return { fate, calls, job: await reread(id) };
  };

  it.each([
    ['shutdown', { status: 'queued' }, { againInMs: 0 }],
    ['cancel', { status: 'cancelled' }, {}],
    ['deadline', { status: 'failed', error: { code: 'deadline_exceeded' } }, {}],
  ] as const)('by %s was never sent: its attempt is cancelled, not unknown, and nothing is logged as a fault of ours', async (reason, ending, fate) => {
    const stopped = await stopBeforeCall(reason);
    expect(stopped.calls).toBe(0);
    expect(stopped.fate).toEqual(fate);
    expect(stopped.job).toMatchObject({ ...ending, attempts: [{ outcome: 'cancelled' }] });
    expect(errors).toEqual([]);
  });
});

describe('a shutdown after the answer of a picture call', () => {
  it('does not make it be asked for again when what came is no picture', async () => {
    const id = await submit('image');
    const { as, hold } = byHand();
    await run(
      id,
      {
        async image() {
          hold().stop('shutdown');
          return { ...PICTURE, images: [{ bytes: Buffer.from('no picture') }] };
        },
      },
      { as },
    );
    expect(await reread(id)).toMatchObject({ status: 'failed', error: { code: 'provider_bad_response' } });
  });

  it('holds it as of unknown outcome when the picture was still to be fetched', async () => {
    const id = await submit('image');
    const { as, hold } = byHand();
    await run(
      id,
      {
        async image() {
          hold().stop('shutdown');
          throw new AppError('cancelled', 'The call was stopped while its picture was fetched.', { provider: { outcome: 'known' } });
        },
      },
      { as },
    );
    expect(await reread(id)).toMatchObject({ status: 'unknown_outcome', attempts: [{ outcome: 'unknown' }] });
  });
});
