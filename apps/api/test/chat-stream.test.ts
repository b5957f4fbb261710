import { setTimeout as sleep } from 'node:timers/promises';
import { cancelJob } from '@fana/core/jobs/cancel.ts';
import { endJob } from '@fana/core/jobs/end.ts';
import { eraseJob } from '@fana/core/jobs/erase.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { appendDelta, beginAttempt, claimJob, jobKey, readJob, releaseJob } from '@fana/core/jobs/store.ts';
import { TEST_ADMIN_KEY } from '@fana/testkit/test-config.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestApp, type TestApp } from './test-app.ts';

let api: TestApp;
beforeAll(async () => {
  api = await startTestApp();
});
afterAll(() => api.stop());

const ask = (headers: Record<string, string> = {}, more: object = {}): Promise<Response> =>
  Promise.resolve(
    api.app.request('/v1/chat/completions', {
      method: 'POST',
      headers: { authorization: `Bearer ${TEST_ADMIN_KEY}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ model: 'simulated-chat', messages: [{ role: 'user', content: 'Hi' }], stream: true, ...more }),
    }),
  );

const seen = new Set<string>();
/** The job that was accepted last. No worker runs here: the test is the worker. */
const accepted = async (): Promise<JobRecord> => {
  for (const end = Date.now() + 5000; ; ) {
    if (Date.now() > end) throw new Error('no job was accepted');
    const { json } = await api.call('/v1/jobs?limit=1');
    const id: string | undefined = json.data[0]?.id;
    const job = id === undefined || seen.has(id) ? undefined : await readJob(api.deps.redis, id);
    if (job) {
      seen.add(job.id);
      return job;
    }
    await sleep(10);
  }
};

/** Begins an attempt of the job and publishes its pieces. */
const attempt = async ({ id }: JobRecord, lease: string, texts: string[]): Promise<void> => {
  await claimJob(api.deps.redis, id, 1, lease);
  const begun = await beginAttempt(api.deps.redis, id, lease, 'simulated', 'simulated-chat');
  const number = begun.kind === 'begun' ? begun.number : 0;
  for (const [at, text] of texts.entries()) await appendDelta(api.deps.redis, { id, lease, attempt: number, number: at + 1, text, choices: '' });
};
const complete = async (job: JobRecord, lease: string, text: string): Promise<void> => {
  const fields = { output: JSON.stringify({ kind: 'text', text, finishReason: 'stop' }) };
  await endJob(api.deps, job, { status: 'completed', lease, attempt: { outcome: 'completed' }, fields });
};
const textOf = (body: string): string =>
  body
    .split('\n\n')
    .flatMap((frame) => (frame.startsWith('data: {') ? [JSON.parse(frame.slice(6)).choices?.[0]?.delta.content ?? ''] : []))
    .join('');
const errorOf = (body: string): { code: string; message: string } => JSON.parse(body.split('\n\n').at(-2)?.slice(6) ?? '').error;

it('has no status before its first piece, and none of a failed attempt is told', async () => {
  let response: Response | undefined;
  const asked = ask().then((given) => {
    response = given;
    return given;
  });
  const job = await accepted();
  await attempt(job, 'lease_1', []);
  await sleep(100);
  expect(response).toBeUndefined();
  await releaseJob(api.deps.redis, { id: job.id, lease: 'lease_1', attempt: { outcome: 'failed' }, delayMs: 0, waitedMs: 0 });
  await attempt(job, 'lease_2', ['Li', 'ma.']);
  await complete(job, 'lease_2', 'Lima.');
  const body = await (await asked).text();
  expect(textOf(body)).toBe('Lima.');
  expect(body).toMatch(/"finish_reason":"stop".*\n\ndata: \[DONE\]\n\n$/);
});

it('a caller that comes while a rerun goes on hears the rerun alone', async () => {
  const first = ask({ 'idempotency-key': 'rerun' });
  const job = await accepted();
  await attempt(job, 'lease_1', ['Wrong ', 'words']);
  const told = await (await first).body?.getReader().read();
  expect(new TextDecoder().decode(told?.value)).toContain('Wrong');
  await releaseJob(api.deps.redis, { id: job.id, lease: 'lease_1', attempt: { outcome: 'failed' }, delayMs: 0, waitedMs: 0 });
  const second = ask({ 'idempotency-key': 'rerun' });
  await sleep(100);
  await attempt(job, 'lease_2', ['Lima.']);
  await complete(job, 'lease_2', 'Lima.');
  const replayed = await second;
  expect(replayed.headers.get('idempotent-replayed')).toBe('true');
  expect(textOf(await replayed.text())).toBe('Lima.');
});

it.each([
  [
    'given back to the queue',
    async (job: JobRecord) => {
      const error = { code: 'provider_unavailable', message: 'Groq: oops' } as const;
      await releaseJob(api.deps.redis, { id: job.id, lease: 'lease_1', attempt: { outcome: 'failed', error }, delayMs: 0, waitedMs: 0 });
    },
    'provider_unavailable',
  ],
  [
    'taken up by another worker',
    async (job: JobRecord) => {
      await api.deps.redis.hset(jobKey(job.id), 'lease_ms', 0);
      await claimJob(api.deps.redis, job.id, 1, 'lease_2');
    },
    'outcome_unknown',
  ],
  [
    'failed',
    async (job: JobRecord) => {
      const error = { code: 'deadline_exceeded', message: 'Too late.' } as const;
      await endJob(api.deps, job, { status: 'failed', lease: 'lease_1', attempt: { outcome: 'cancelled' }, error });
    },
    'deadline_exceeded',
  ],
  ['cancelled', (job: JobRecord) => endJob(api.deps, job, { status: 'cancelled', lease: 'lease_1', attempt: { outcome: 'cancelled' } }), 'cancelled'],
])('of a job that is %s after the first piece it ends with one error and no [DONE]', async (_what, happen, code) => {
  const asked = ask();
  const job = await accepted();
  await attempt(job, 'lease_1', ['Li']);
  const response = await asked;
  expect(response.status).toBe(200);
  await happen(job);
  const body = await response.text();
  expect(textOf(body)).toBe('Li');
  expect(errorOf(body).code).toBe(code);
  expect(body).not.toContain('[DONE]');
  expect(body.match(/"error":/g)).toHaveLength(1);
});

it('of a job that is cancelled before its first piece is a plain error, which no SDK sends again', async () => {
  const asked = ask();
  await cancelJob(api.deps, await accepted());
  const response = await asked;
  expect([response.status, response.headers.get('x-should-retry'), response.headers.get('content-type')]).toEqual([409, 'false', 'application/json']);
});

it('of a job that is deleted meanwhile is 404', async () => {
  const asked = ask();
  const job = await accepted();
  await cancelJob(api.deps, job);
  // Both happen before the stream looks again, or the cancellation is seen first.
  const ended = await readJob(api.deps.redis, job.id);
  if (ended) await eraseJob(api.deps, ended);
  expect([404, 409]).toContain((await asked).status);
});

it('a comment keeps an idle stream open', async () => {
  const asked = ask();
  const job = await accepted();
  await attempt(job, 'lease_1', ['Li']);
  setTimeout(() => void complete(job, 'lease_1', 'Li'), 6000);
  expect(await (await asked).text()).toMatch(/^data: .*\n\n: keep-alive\n\n.*data: \[DONE\]\n\n$/s);
}, 15_000);

it('a replay whose result is not kept any more is 409 replay_unavailable', async () => {
  const asked = ask({ 'idempotency-key': 'gone' });
  const job = await accepted();
  await attempt(job, 'lease_1', ['Lima.']);
  await complete(job, 'lease_1', 'Lima.');
  await (await asked).text();
  await api.deps.redis.hdel(jobKey(job.id), 'output');
  const replay = await ask({ 'idempotency-key': 'gone' });
  expect([replay.status, replay.headers.get('x-should-retry'), ((await replay.json()) as { error: { code: string } }).error.code]).toEqual([
    409,
    'false',
    'replay_unavailable',
  ]);
});

it('Prefer: respond-async answers with the native job', async () => {
  const response = await ask({ prefer: 'respond-async' });
  expect(response.status).toBe(202);
  expect(response.headers.get('location')).toBe(`/v1/jobs/${(await accepted()).id}`);
});

it('what cannot be simulated is refused by its name', async () => {
  const refused = await ask({}, { logprobs: true });
  expect([refused.status, ((await refused.json()) as { error: { param: string } }).error.param]).toEqual([400, 'logprobs']);
});

it('callers that wait are kept with one call a second, and are gone with their replies', async () => {
  const asked = [ask(), ask({}, { seed: 1 })];
  const jobs = [await accepted()];
  await sleep(1500);
  for (const job of jobs) expect(Number(await api.deps.redis.hget(jobKey(job.id), 'waiter_ms')) - Date.now()).toBeGreaterThan(1500);
  const { json } = await api.call('/v1/jobs?limit=2');
  for (const { id } of json.data) {
    const job = await readJob(api.deps.redis, id);
    if (job) await cancelJob(api.deps, job);
  }
  await Promise.all(asked);
  for (const { id } of json.data) expect(await api.deps.redis.hget(jobKey(id), 'waiter')).toBeNull();
  const joinable = await Promise.all((await api.deps.redis.keys('fana:join:*')).map((key) => api.deps.redis.zrange(key, '0', '-1')));
  for (const { id } of json.data) expect(joinable.flat()).not.toContain(id);
});

it('that loses Redis after its first piece ends with an error that names the job', async () => {
  const asked = ask();
  const job = await accepted();
  await attempt(job, 'lease_1', ['Li']);
  const response = await asked;
  await api.redis.kill();
  const body = await response.text();
  expect(textOf(body)).toBe('Li');
  expect(errorOf(body)).toMatchObject({ code: 'unavailable', message: expect.stringContaining(job.id) });
  expect(body).not.toContain('[DONE]');
  await api.redis.restart();
}, 20_000);
