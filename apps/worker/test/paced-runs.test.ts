import { AppError } from '@fana/core/errors.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import type { JobRecord, JobType } from '@fana/core/jobs/job.ts';
import { readJob } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import type { PaceRequest } from '@fana/core/providers/pacing/pacer.ts';
import type { CallOptions, Provider } from '@fana/core/providers/provider.ts';
import { connectSubscriber } from '@fana/core/redis.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createLeaseKeeper, type Hold, type LeaseKeeper } from '../src/leases.ts';
import type { MessageFate } from '../src/run-end.ts';
import { runJob } from '../src/run-job.ts';

let redis: TestRedis;
let deps: TestDeps;
let subscriber: Redis;
let keeper: LeaseKeeper;
let held: Hold | undefined;

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());
beforeEach(async () => {
  deps = testDeps(redis.url);
  subscriber = connectSubscriber(redis.url);
  const made = await createLeaseKeeper(deps, subscriber);
  keeper = {
    ...made,
    hold(id, lease) {
      held = made.hold(id, lease);
      return held;
    },
  };
});
afterEach(async () => {
  keeper.close();
  subscriber.disconnect();
  await deps.redis.flushall();
  await deps.close();
});

const submit = async (body: object = {}): Promise<string> => {
  const type: JobType = 'chat';
  const submitter = { tenant: 't', keyId: 'k', requestsPerMinute: 0 };
  return (await submitJob(deps, createAcceptor(deps), submitter, { type, input: 'a fox', ...body }, { rawBody: '' })).job.id;
};
const reread = async (id: string): Promise<JobRecord> => (await readJob(deps.redis, id)) ?? Promise.reject(new Error('the job is gone'));

/** As `submit`, with pauses waited out for so long in all, as a compatible route asks. */
const submitWithBudget = async (pauseBudgetMs: number): Promise<string> => {
  const id = await submit();
  const spec = JSON.parse((await deps.redis.hget(`fana:job:${id}`, 'spec')) ?? '{}');
  await deps.redis.hset(`fana:job:${id}`, 'spec', JSON.stringify({ ...spec, pauseBudgetMs }));
  return id;
};

const ANSWER = { text: 'an answer', finishReason: 'stop', usage: {}, model: 'm' };
type Chat = NonNullable<Provider['chat']>;

/** Runs a job with a provider of the test's own, whose models are `models`. */
const run = (id: string, chat: Chat, models = ['m']): Promise<MessageFate> => {
  const provider: Provider = { name: 'openai', chat };
  const providers = { ...deps.providers, targets: () => models.map((model) => ({ provider, model, warnings: [] })), costUsd: () => undefined };
  return runJob({ ...deps, providers }, keeper, { id, run: 1 });
};
const answer: Chat = async () => ANSWER;

/** Lets a call end with a pause of that length for everybody. */
const pause = async (kind: 'limited' | 'overloaded', retryAfterMs: number, model = 'm'): Promise<void> => {
  const request: PaceRequest = { provider: 'openai', model, class: 'interactive', images: 0, maxWaitMs: 0, signal: new AbortController().signal };
  (await deps.pacer.acquire(request)).done({ kind, retryAfterMs });
  await expect.poll(() => deps.redis.hexists(`fana:pace:openai:${model}`, kind === 'limited' ? 'pause' : 'overload')).toBe(1);
};

describe('a run whose provider asked for a pause', () => {
  it('gives its slot back until then without a line in the ledger, however often, and runs then', async () => {
    const id = await submit();
    await pause('limited', 20_000);
    const fate = await run(id, answer);
    expect(fate).toEqual({ againInMs: expect.any(Number), place: 'sooner' });
    // Exactly when the pause ends (with its jitter), not a backoff later.
    expect(fate.againInMs).toBeGreaterThan(19_000);
    expect(fate.againInMs).toBeLessThan(24_100);
    for (let n = 0; n < 5; n++) await run(id, answer);
    expect(await reread(id)).toMatchObject({ status: 'queued', attempts: [] });
    await deps.redis.del('fana:pace:openai:m');
    // The pacer of this process believes what it heard for 2 s.
    await expect.poll(async () => (await run(id, answer)).againInMs, { timeout: 10_000, interval: 200 }).toBeUndefined();
    expect(await reread(id)).toMatchObject({ status: 'completed', attempts: [{ number: 1, outcome: 'completed' }] });
  });

  it('waits in its slot for one that ends soon', async () => {
    const id = await submit();
    await pause('overloaded', 800);
    const from = performance.now();
    expect(await run(id, answer)).toEqual({});
    expect(performance.now() - from).toBeGreaterThan(500);
    const job = await reread(id);
    expect(job).toMatchObject({ status: 'completed', attempts: [{ outcome: 'completed' }] });
  });

  it.each(['cancel', 'deadline', 'shutdown'] as const)('is ended at once by %s', async (reason) => {
    const id = await submit();
    await pause('limited', 3000);
    const running = run(id, answer);
    await expect.poll(() => held !== undefined).toBe(true);
    setTimeout(() => held?.stop(reason), 200);
    const from = performance.now();
    const fate = await running;
    expect(performance.now() - from).toBeLessThan(1500);
    expect(fate).toEqual(reason === 'shutdown' ? { againInMs: 0 } : {});
    const status = { cancel: 'cancelled', deadline: 'failed', shutdown: 'queued' }[reason];
    expect(await reread(id)).toMatchObject({ status, attempts: [] });
  });

  it('asks each model it tries for its own turn', async () => {
    const id = await submit();
    const called: string[] = [];
    const chat: Chat = async ({ model }) => {
      called.push(model);
      if (model === 'first') throw new AppError('provider_model_missing', 'no such model', { provider: { outcome: 'known', status: 404 } });
      return ANSWER;
    };
    await pause('limited', 20_000, 'second');
    expect(await run(id, chat, ['first', 'second'])).toMatchObject({ place: 'sooner' });
    expect(called).toEqual(['first']);
    expect(await reread(id)).toMatchObject({ status: 'queued', attempts: [{ model: 'first', outcome: 'failed' }] });
  });
});

describe('what a call came to', () => {
  const failing =
    (code: 'provider_rate_limited' | 'provider_overloaded' | 'provider_unavailable', status: number, retryAfterMs?: number): Chat =>
    async () => {
      throw new AppError(code, 'no', { provider: { outcome: 'known', status }, ...(retryAfterMs !== undefined && { retryAfterMs }) });
    };

  it('pauses every other call of that model after a 429', async () => {
    const [first, second] = [await submit(), await submit()];
    expect((await run(first, failing('provider_rate_limited', 429, 9000))).againInMs).toBeGreaterThanOrEqual(9000);
    expect(await reread(first)).toMatchObject({ status: 'queued', attempts: [{ outcome: 'paused' }] });
    await expect.poll(() => deps.redis.hexists('fana:pace:openai:m', 'pause')).toBe(1);
    expect((await run(second, answer)).againInMs).toBeGreaterThan(8000);
    expect(await reread(second)).toMatchObject({ status: 'queued', attempts: [] });
  });

  it('is learned from the head of a good reply', async () => {
    const id = await submit();
    const chat: Chat = async (_request, { onReply }: CallOptions) => {
      onReply?.(200, new Headers({ 'x-ratelimit-limit-requests': '500', 'x-ratelimit-remaining-requests': '499', 'x-ratelimit-reset-requests': '120ms' }));
      return ANSWER;
    };
    await run(id, chat);
    await expect.poll(() => deps.redis.hget('fana:pace:openai:m', 'rpm')).toBe('500.000');
  });

  it('of a 5xx pauses nobody', async () => {
    await run(await submit(), failing('provider_unavailable', 500));
    const next = await submit();
    expect(await run(next, answer)).toEqual({});
  });
});

describe('a job that may not wait for long', () => {
  it.each([
    ['limited', 'provider_rate_limited'],
    ['overloaded', 'provider_overloaded'],
  ] as const)('fails with the reason when its provider is %s for longer than that, and keeps when to come back', async (kind, code) => {
    const id = await submitWithBudget(60_000);
    await pause(kind, 90_000);
    expect(await run(id, answer)).toEqual({});
    const job = await reread(id);
    expect(job).toMatchObject({ status: 'failed', attempts: [], error: { code } });
    expect(job.error?.retryAfterMs).toBeGreaterThan(89_000);
    expect(job.error?.message).not.toContain('undefined');
  });

  it('counts every wait of the run: those of answered pauses too', async () => {
    const id = await submitWithBudget(60_000);
    const chat: Chat = async () => {
      throw new AppError('provider_rate_limited', 'slow down', { provider: { outcome: 'known', status: 429 }, retryAfterMs: 25_000 });
    };
    const again = async (): Promise<MessageFate> => {
      await deps.redis.del('fana:pace:openai:m');
      return run(id, chat);
    };
    expect((await again()).againInMs).toBe(25_000);
    await expect.poll(async () => (await reread(id)).waitedMs).toBeGreaterThanOrEqual(25_000);
    // The pacer of this process has heard of the pause as well; what it says counts the same.
    await deps.redis.del('fana:pace:openai:m');
    await run(id, chat);
    expect((await reread(id)).status).toBe('queued');
    await again();
    const job = await reread(id);
    expect(job).toMatchObject({ status: 'failed', error: { code: 'provider_rate_limited' } });
    expect(job.error?.retryAfterMs).toBeGreaterThan(0);
  });
});
