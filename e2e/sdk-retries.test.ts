import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { APIConnectionTimeoutError } from 'openai';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { answerChat, answerError, answerImage, type Behaviour, type FaultUpstream, startFaultUpstream } from './support/fault-upstream.ts';
import { ADMIN_KEY, endProcess, type Installation, startInstallation } from './support/installation.ts';

let upstream: FaultUpstream;
let fana: Installation;
let behave: Behaviour;

const slowly =
  (ms: number, text = 'At last.'): Behaviour =>
  async (_request, response) => {
    await sleep(ms);
    answerChat(response, text);
  };

beforeAll(async () => {
  upstream = await startFaultUpstream((request, response) => behave(request, response));
  fana = await startInstallation({ env: upstream.env });
});
beforeEach(() => {
  upstream.bodies.length = 0;
});
afterAll(async () => {
  await fana.stop();
  await upstream.stop();
});

const sdk = (settings: { timeout?: number; maxRetries?: number; url?: string; key?: string } = {}): OpenAI =>
  new OpenAI({
    apiKey: settings.key ?? ADMIN_KEY,
    baseURL: `${settings.url ?? fana.url}/v1`,
    timeout: settings.timeout ?? 60_000,
    maxRetries: settings.maxRetries ?? 0,
  });

let questions = 0;
/** A question nobody has asked before. */
const ask = () => ({ model: 'gpt-4o', messages: [{ role: 'user' as const, content: `Question ${++questions}` }] });

/** One try of an SDK, as it is on the wire. */
const tryOnce = (body: unknown, retry: number, options: { at?: string; key?: string; signal?: AbortSignal; path?: string } = {}): Promise<Response> =>
  fana.request(options.path ?? '/v1/chat/completions', { body, ...options, headers: { 'x-stainless-retry-count': String(retry) } });

/** Sends a try and cuts its connection once its job is called for. */
const tryAndGiveUp = async (body: unknown, options: { at?: string; path?: string } = {}): Promise<void> => {
  const before = upstream.bodies.length;
  const controller = new AbortController();
  const given = tryOnce(body, 0, { ...options, signal: controller.signal }).catch(() => undefined);
  await expect.poll(() => upstream.bodies.length, { timeout: 10_000 }).toBe(before + 1);
  controller.abort();
  await given;
};

const jobIdOf = (response: Response): string => response.headers.get('x-fana-job-id') ?? '';

it('a client that times out again and again makes one call, and gets its answer', async () => {
  behave = slowly(3500);
  const { data, response } = await sdk({ timeout: 1500, maxRetries: 8 }).chat.completions.create(ask()).withResponse();
  expect(data.choices[0]?.message.content).toBe('At last.');
  expect(upstream.bodies).toHaveLength(1);
  expect(await fana.job(jobIdOf(response))).toMatchObject({ status: 'completed', attempts: [{ outcome: 'completed' }] });
});

it('a stream too, before its first piece', async () => {
  behave = slowly(2500);
  const stream = await sdk({ timeout: 1200, maxRetries: 8 }).chat.completions.create({ ...ask(), stream: true });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  expect(text).toBe('At last.');
  expect(upstream.bodies).toHaveLength(1);
});

it('a picture is paid once', async () => {
  behave = async (_request, response) => {
    await sleep(3000);
    answerImage(response);
  };
  const made = await sdk({ timeout: 1200, maxRetries: 8 }).images.generate({ model: 'gpt-image-2', prompt: 'a fox' });
  expect(made.data).toHaveLength(1);
  expect(upstream.bodies).toHaveLength(1);
});

it('a retry finds its job through another API process, and when the first one was killed with its caller waiting', async () => {
  const [second, third] = [await fana.startApi(), await fana.startApi()];
  behave = slowly(1500);
  const moved = ask();
  await tryAndGiveUp(moved, { at: second.url });
  const joined = await tryOnce(moved, 1, { at: third.url });
  expect([joined.status, upstream.bodies.length]).toEqual([200, 1]);

  behave = slowly(5000);
  const orphan = ask();
  const waiting = tryOnce(orphan, 0, { at: second.url }).catch(() => undefined);
  await expect.poll(() => upstream.bodies.length).toBe(2);
  await endProcess(second, 'SIGKILL');
  await waiting;
  const found = await tryOnce(orphan, 1, { at: third.url });
  expect([found.status, upstream.bodies.length]).toEqual([200, 2]);
});

it('an API process that ends tells its callers to ask again, and another one answers', async () => {
  const second = await fana.startApi();
  behave = slowly(2000);
  const body = ask();
  const told = tryOnce(body, 0, { at: second.url });
  await expect.poll(() => upstream.bodies.length).toBe(1);
  const exit = endProcess(second, 'SIGTERM');
  const first = await told;
  expect([first.status, first.headers.get('retry-after'), ((await first.json()) as { error: { code: string } }).error.code]).toEqual([
    503,
    '1',
    'still_running',
  ]);
  expect(await exit).toBe(0);
  const again = await tryOnce(body, 1);
  expect([again.status, jobIdOf(again), upstream.bodies.length]).toEqual([200, jobIdOf(first), 1]);
});

it('a job whose answer was never delivered is joined after its end too, once', async () => {
  behave = slowly(300);
  const body = ask();
  await tryAndGiveUp(body);
  await sleep(1000);
  const late = await tryOnce(body, 1);
  expect([late.status, upstream.bodies.length]).toEqual([200, 1]);
  // Delivered now: a further retry is a new request.
  const next = await tryOnce(body, 1);
  expect([next.status, upstream.bodies.length]).toEqual([200, 2]);
  expect(jobIdOf(next)).not.toBe(jobIdOf(late));
});

it('only a retry joins, only its own request, only of its own key', async () => {
  behave = slowly(2500);
  const made = await fana.request('/v1/admin/keys', { body: { name: 'other', tenant: 'acme', scopes: ['jobs'] } });
  const { key } = (await made.json()) as { key: string };
  const body = ask();
  await tryAndGiveUp(body);
  const others = await Promise.all([tryOnce(body, 0), tryOnce(ask(), 1), tryOnce(body, 1, { key }), tryOnce(body, 1)]);
  expect(others.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  expect(new Set(others.map(jobIdOf)).size).toBe(4);
  // The last one joined; the others have calls of their own.
  expect(upstream.bodies).toHaveLength(4);
});

it('two equal requests at once stay two jobs, and each retry finds one of them', async () => {
  behave = slowly(2500);
  const body = ask();
  const controllers = [new AbortController(), new AbortController()];
  const given = controllers.map(({ signal }) => tryOnce(body, 0, { signal }).catch(() => undefined));
  await expect.poll(() => upstream.bodies.length).toBe(2);
  for (const controller of controllers) controller.abort();
  await Promise.all(given);
  const retries = await Promise.all([tryOnce(body, 1), tryOnce(body, 1)]);
  expect(retries.map(({ status }) => status)).toEqual([200, 200]);
  expect(new Set(retries.map(jobIdOf)).size).toBe(2);
  expect(upstream.bodies).toHaveLength(2);
});

it('a failed job is not joined: the retry is a new one', async () => {
  behave = async (_request, response) => {
    await sleep(300);
    answerError(response, 400);
  };
  const body = ask();
  await tryAndGiveUp(body);
  await sleep(1000);
  behave = slowly(0);
  expect((await tryOnce(body, 1)).status).toBe(200);
  expect(upstream.bodies).toHaveLength(2);
});

it('a picture of unknown outcome is joined, not made again, and no SDK tries further', async () => {
  behave = async (_request, response) => {
    await sleep(500);
    response.destroy();
  };
  const body = { model: 'gpt-image-2', prompt: 'a fox that nobody knows of' };
  await tryAndGiveUp(body, { path: '/v1/images/generations' });
  await sleep(1500);
  const retried = await tryOnce(body, 1, { path: '/v1/images/generations' });
  expect([retried.status, retried.headers.get('x-should-retry')]).toEqual([502, 'false']);
  expect(((await retried.json()) as { error: { code: string } }).error.code).toBe('unknown_outcome');
  expect(upstream.bodies).toHaveLength(1);
});

it('an Idempotency-Key waits for the first answer and gives it again, for its route alone', async () => {
  behave = slowly(800);
  const body = ask();
  const send = (path: string, sent: unknown) => fana.request(path, { body: sent, headers: { 'idempotency-key': 'order-42' } });
  const first = send('/v1/chat/completions', body);
  await expect.poll(() => upstream.bodies.length).toBe(1);
  const [one, two] = await Promise.all([first, send('/v1/chat/completions', body)]);
  expect([one.status, one.headers.get('idempotent-replayed'), two.status, two.headers.get('idempotent-replayed')]).toEqual([200, null, 200, 'true']);
  expect(await two.json()).toEqual(await one.json());
  expect((await send('/v1/chat/completions', ask())).status).toBe(422);
  const elsewhere = await send('/v1/responses', { model: 'gpt-4o', input: 'Hi' });
  expect([elsewhere.status, elsewhere.headers.get('idempotent-replayed')]).toEqual([200, null]);
  expect(upstream.bodies).toHaveLength(2);
});

it('a client that goes away does not cancel its job, and n answers come back in their order', async () => {
  behave = async (_request, response) => {
    await sleep(400);
    const chunk = (index: number, delta: object, finish_reason: string | null) =>
      `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index, delta, finish_reason }] })}\n\n`;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`${chunk(1, { content: 'Two' }, null)}${chunk(0, { content: 'One' }, null)}${chunk(0, {}, 'stop')}${chunk(1, {}, 'length')}data: [DONE]\n\n`);
  };
  const body = { ...ask(), n: 2 };
  await expect(sdk({ timeout: 200 }).chat.completions.create(body)).rejects.toThrow(APIConnectionTimeoutError);
  const listed = await fana.request('/v1/jobs?limit=1');
  const [job] = ((await listed.json()) as { data: { id: string }[] }).data;
  expect(await fana.ended(job?.id ?? '')).toMatchObject({ status: 'completed', output: { text: 'One' } });

  const plain = await sdk().chat.completions.create(body);
  expect(plain.choices.map(({ index, message, finish_reason: reason }) => [index, message.content, reason])).toEqual([
    [0, 'One', 'stop'],
    [1, 'Two', 'length'],
  ]);
  const texts = ['', ''];
  for await (const { choices } of await sdk().chat.completions.create({ ...body, stream: true })) {
    for (const { index, delta } of choices) texts[index] = (texts[index] ?? '') + (delta.content ?? '');
  }
  expect(texts).toEqual(['One', 'Two']);
});

it('an API process that ends tells a stream so; the job goes on', async () => {
  const second = await fana.startApi();
  behave = async (_request, response) => {
    const piece = {
      id: 'c',
      object: 'chat.completion.chunk',
      created: 1,
      model: 'm',
      choices: [{ index: 0, delta: { content: 'One ' }, finish_reason: null }],
    };
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`data: ${JSON.stringify(piece)}\n\n`);
    await sleep(2500);
    response.end(`data: ${JSON.stringify({ ...piece, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}\n\ndata: [DONE]\n\n`);
  };
  const response = await tryOnce({ ...ask(), stream: true }, 0, { at: second.url });
  const exit = endProcess(second, 'SIGTERM');
  const text = await response.text();
  expect(await exit).toBe(0);
  expect(text).not.toContain('[DONE]');
  expect(text).toContain('"code":"still_running"');
  expect(await fana.ended(jobIdOf(response))).toMatchObject({ status: 'completed', output: { text: 'One ' } });
});
