import { setTimeout as sleep } from 'node:timers/promises';
import { startReceiver } from '@fana/testkit/webhook-receiver.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answerChat, answerError, answerImage, type FaultUpstream, startFaultUpstream } from './support/fault-upstream.ts';
import { type Installation, type Job, startInstallation } from './support/installation.ts';
import { readServerSentEvents } from './support/server-sent-events.ts';

/** Provider calls as they came: the user's words, when, and when they were closed. */
const calls: { text: string; at: number; closedAt?: number }[] = [];
const callsOf = (text: string) => calls.filter((call) => call.text.includes(text));

let upstream: FaultUpstream;
beforeAll(async () => {
  upstream = await startFaultUpstream(async ({ path, body, closed }, response) => {
    const { messages, prompt } = JSON.parse(body.startsWith('{') ? body : '{}');
    const call: (typeof calls)[number] = { text: JSON.stringify(messages?.at(-1)?.content ?? prompt ?? ''), at: Date.now() };
    calls.push(call);
    void closed.then(() => {
      call.closedAt = Date.now();
    });
    if (body.includes('HANG')) return;
    if (body.includes('PAUSE') && callsOf(call.text).length === 1) return answerError(response, 429, { 'retry-after': '3' });
    if (body.includes('SLOW')) await sleep(1500);
    if (path.includes('/images/')) answerImage(response);
    else answerChat(response, `re: ${call.text}`);
  });
});
afterAll(() => upstream.stop());

describe('an installation with one chat slot', () => {
  let fana: Installation;
  beforeAll(async () => {
    fana = await startInstallation({ env: { ...upstream.env, FANA_CONCURRENCY_CHAT: '1' } });
  });
  afterAll(() => fana.stop());

  it('runs a job of priority 1 before the priority 9 jobs that came first', async () => {
    const first = await fana.submit({ type: 'chat', input: 'SLOW head', priority: 9 });
    await expect.poll(() => callsOf('SLOW head').length, { timeout: 10_000 }).toBe(1);
    const queued: Job[] = [];
    for (let n = 0; n < 4; n++) queued.push(await fana.submit({ type: 'chat', input: `in line ${n}`, priority: 9 }));
    queued.push(await fana.submit({ type: 'chat', input: 'in line, in a hurry', priority: 1 }));
    for (const { id } of [first, ...queued]) expect((await fana.ended(id)).status).toBe('completed');
    expect(callsOf('in line').map(({ text }) => text)).toEqual(['"in line, in a hurry"', ...[0, 1, 2, 3].map((n) => `"in line ${n}"`)]);
  });
});

describe('an installation', () => {
  let fana: Installation;
  let other: { url: string };
  beforeAll(async () => {
    fana = await startInstallation({ env: upstream.env });
    other = await fana.startApi();
  });
  afterAll(() => fana.stop());

  const cancel = async (id: string, at = fana.url): Promise<{ status: number; job: Job }> => {
    const response = await fana.request(`/v1/jobs/${id}/cancel`, { method: 'POST', at });
    return { status: response.status, job: (await response.json()) as Job };
  };

  it.concurrent('starts a job of run_at then, not before and soon after', async ({ expect }) => {
    const runAt = Math.ceil(Date.now() / 1000) + 2;
    const { id } = await fana.submit({ type: 'chat', input: 'later please', run_at: runAt });
    await sleep(runAt * 1000 - Date.now() - 300);
    expect(await fana.job(id)).toMatchObject({ status: 'queued', run_at: runAt, started_at: null, attempts: [] });
    expect((await fana.ended(id)).status).toBe('completed');
    const [call] = callsOf('later please');
    expect(call?.at).toBeGreaterThanOrEqual(runAt * 1000);
    expect(call?.at).toBeLessThan(runAt * 1000 + 3000);
    expect(callsOf('later please')).toHaveLength(1);
  });

  it.concurrent('cancels at once a job that waits for its run_at', async ({ expect }) => {
    const { id } = await fana.submit({ type: 'chat', input: 'never then', run_at: Math.floor(Date.now() / 1000) + 2 });
    expect(await cancel(id)).toMatchObject({ status: 200, job: { status: 'cancelled', attempts: [] } });
    expect((await cancel(id)).job.status).toBe('cancelled');
    await sleep(3500);
    expect((await fana.job(id)).status).toBe('cancelled');
    expect(callsOf('never then')).toHaveLength(0);
  });

  it.concurrent('aborts the provider call of a running job within 2 s, told by another API process', async ({ expect }) => {
    const { id } = await fana.submit({ type: 'chat', input: 'HANG until cancelled' });
    await expect.poll(() => callsOf('HANG until cancelled').length, { timeout: 10_000 }).toBe(1);
    const from = Date.now();
    const { status, job } = await cancel(id, other.url);
    expect([status, ['cancelling', 'cancelled'].includes(job.status)]).toEqual([200, true]);
    await expect.poll(() => callsOf('HANG until cancelled')[0]?.closedAt, { timeout: 5000, interval: 10 }).toBeDefined();
    expect((callsOf('HANG until cancelled')[0]?.closedAt ?? Number.POSITIVE_INFINITY) - from).toBeLessThan(2000);
    expect(await fana.ended(id, 5000)).toMatchObject({ status: 'cancelled', error: null, attempts: [{ outcome: 'cancelled' }] });
    expect(callsOf('HANG until cancelled')).toHaveLength(1);
  });

  it.concurrent('waits as long as a provider asked, and not longer', async ({ expect }) => {
    // A pause holds for every call of its model, so these tests have one of their own.
    const { id } = await fana.submit({ type: 'chat', model: 'gpt-5.5', input: 'PAUSE once' });
    expect(await fana.ended(id)).toMatchObject({ status: 'completed', attempts: [{ outcome: 'paused' }, { outcome: 'completed' }] });
    const [first, second] = callsOf('PAUSE once').map(({ at }) => at);
    expect(Number(second) - Number(first)).toBeGreaterThanOrEqual(2900);
    expect(Number(second) - Number(first)).toBeLessThan(6000);
  });

  it.concurrent('a pause does not outlast the deadline, and no call follows', async ({ expect }) => {
    const from = Date.now();
    const { id } = await fana.submit({ type: 'chat', model: 'gpt-5.4', input: 'PAUSE too long', deadline_seconds: 1 });
    expect(await fana.ended(id)).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' }, attempts: [{ outcome: 'paused' }] });
    expect(Date.now() - from).toBeLessThan(3000);
    expect(callsOf('PAUSE too long')).toHaveLength(1);
  });

  it.concurrent('refuses to cancel what has ended, and to retry what was completed', async ({ expect }) => {
    const { id } = await fana.submit({ type: 'chat', input: 'short' }, { prefer: 'wait=30' });
    expect((await cancel(id)).status).toBe(409);
    expect((await fana.request(`/v1/jobs/${id}/retry`, { method: 'POST' })).status).toBe(409);
  });

  it.concurrent('erases an ended job everywhere, and no running one', async ({ expect }) => {
    const running = await fana.submit({ type: 'chat', input: 'HANG while deleted' });
    await expect.poll(() => callsOf('HANG while deleted').length, { timeout: 10_000 }).toBe(1);
    const refused = await fana.request(`/v1/jobs/${running.id}`, { method: 'DELETE' });
    expect([refused.status, await refused.json()]).toMatchObject([409, { error: { code: 'job_running' } }]);
    await cancel(running.id);

    const drawn = await fana.submit({ type: 'image', input: 'a fox' }, { prefer: 'wait=30' });
    const { blob_id: blobId = '', url = '' } = drawn.output?.images?.[0] ?? {};
    expect((await fetch(url)).status).toBe(200);
    expect((await fana.request(`/v1/jobs/${drawn.id}`, { method: 'DELETE', at: other.url })).status).toBe(200);
    for (const path of [`/v1/jobs/${drawn.id}`, `/v1/jobs/${drawn.id}/events`, `/v1/blobs/${blobId}`]) {
      expect((await fana.request(path)).status, path).toBe(404);
    }
    expect((await fetch(url)).status).toBe(404);
    const list = (await (await fana.request('/v1/jobs?limit=100')).json()) as { data: Job[] };
    expect(list.data.map(({ id }) => id)).not.toContain(drawn.id);
  });

  it.concurrent('counts times and attempts of a job sensibly', async ({ expect }) => {
    const from = Math.floor(Date.now() / 1000);
    const job = await fana.submit({ type: 'chat', input: 'SLOW for the clock' }, { prefer: 'wait=30' });
    const to = Math.ceil(Date.now() / 1000);
    const times = [from, job.created_at, job.started_at, job.finished_at, to].map(Number);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(job.expires_at).toBe(Number(job.finished_at) + 604_800);
    const [attempt] = job.attempts;
    expect(job.attempts).toHaveLength(1);
    expect(attempt).toMatchObject({ number: 1, provider: 'groq', outcome: 'completed', error: null });
    expect([attempt?.started_at, attempt?.finished_at].every(Number.isInteger)).toBe(true);
    expect(Number(attempt?.finished_at) - Number(attempt?.started_at)).toBeGreaterThanOrEqual(1);
    expect(Number(attempt?.finished_at) - Number(attempt?.started_at)).toBeLessThan(10);
    expect(attempt?.started_at).toBeGreaterThanOrEqual(job.created_at);
    expect(attempt?.finished_at).toBeLessThanOrEqual(Number(job.finished_at));
  });

  it.concurrent('tells at one API process what was submitted at another, by stream and by waiting', async ({ expect }) => {
    const { id } = await fana.submit({ type: 'chat', input: 'SLOW across' });
    const [events, waited] = await Promise.all([
      fana.request(`/v1/jobs/${id}/events`, { at: other.url }).then((response) => readServerSentEvents(response)),
      fana.request(`/v1/jobs/${id}?wait=30`, { at: other.url }).then(async (response) => (await response.json()) as Job),
    ]);
    expect(waited.status).toBe('completed');
    expect(events.map(({ type }) => type)).toEqual(['job.queued', 'job.started', 'output.delta', 'job.completed']);
    const text = events.map(({ data }) => data.delta ?? '').join('');
    expect([text, events.at(-1)?.data.job?.output?.text]).toEqual([waited.output?.text, waited.output?.text]);

    const again = await fana.request('/v1/jobs', { at: other.url, body: { type: 'chat', input: 'SLOW back' }, headers: { prefer: 'wait=30' } });
    expect(again.status).toBe(200);
    const { id: second } = (await again.json()) as Job;
    expect((await fana.job(second)).status).toBe('completed');
  });
});

it('a worker that serves only pictures leaves chat jobs in the queue for one that serves them', async () => {
  const fana = await startInstallation({ env: upstream.env, workers: 0 });
  try {
    await fana.startWorker({ FANA_WORKER_QUEUES: 'image' });
    const chat = await fana.submit({ type: 'chat', input: 'who answers?' });
    const image = await fana.submit({ type: 'image', input: 'a bear' });
    expect((await fana.ended(image.id)).status).toBe('completed');
    await sleep(1000);
    expect((await fana.job(chat.id)).status).toBe('queued');
    expect(callsOf('who answers?')).toHaveLength(0);
    // Cancelled at once, with nobody there to serve its queue.
    const second = await fana.submit({ type: 'chat', input: 'forget it' });
    const cancelled = await fana.request(`/v1/jobs/${second.id}/cancel`, { method: 'POST' });
    expect(await cancelled.json()).toMatchObject({ status: 'cancelled', started_at: null, attempts: [] });
    const late = await fana.submit({ type: 'chat', input: 'too late', deadline_seconds: 1 });
    expect(await fana.ended(late.id, 8000)).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' }, attempts: [] });
    await fana.startWorker({ FANA_WORKER_QUEUES: 'chat,webhook' });
    expect((await fana.ended(chat.id)).status).toBe('completed');
    expect([...callsOf('forget it'), ...callsOf('too late')]).toHaveLength(0);
  } finally {
    await fana.stop();
  }
});

it('a job is gone some seconds after FANA_RESULT_TTL_SECONDS, and not before its webhook was taken', async () => {
  const receiver = await startReceiver({ respond: (_, number) => (number === 0 ? 500 : 200) });
  const fana = await startInstallation({ env: { ...upstream.env, FANA_RESULT_TTL_SECONDS: '2', FANA_ALLOW_PRIVATE_NETWORK: 'true' } });
  try {
    const plain = await fana.submit({ type: 'image', input: 'a short life' }, { prefer: 'wait=30' });
    const told = await fana.submit({ type: 'chat', input: 'told first', webhook: { url: receiver.url } }, { prefer: 'wait=30' });
    expect(plain.expires_at).toBe(Number(plain.finished_at) + 2);
    const status = async ({ id }: Job): Promise<number> => (await fana.request(`/v1/jobs/${id}`)).status;
    expect(await status(plain)).toBe(200);
    await expect.poll(() => status(plain), { timeout: 10_000, interval: 100 }).toBe(404);
    expect(Date.now() / 1000).toBeGreaterThanOrEqual(Number(plain.expires_at));
    // Pictures have a time of their own.
    expect((await fana.request(`/v1/blobs/${plain.output?.images?.[0]?.blob_id}`)).status).toBe(200);
    // The webhook was refused once, and is taken about 5 s after that.
    expect(receiver.requests).toHaveLength(1);
    expect(await status(told)).toBe(200);
    await receiver.waitFor(2, 15_000);
    await expect.poll(() => status(told), { timeout: 10_000, interval: 100 }).toBe(404);
  } finally {
    await fana.stop();
    await receiver.stop();
  }
});
