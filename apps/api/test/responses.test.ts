import { endJob } from '@fana/core/jobs/end.ts';
import type { JobError, TextOutput } from '@fana/core/jobs/job.ts';
import { appendDelta, beginAttempt, claimJob, eventsKey, releaseJob } from '@fana/core/jobs/store.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ApiReply, startTestApp, type TestApp } from './test-app.ts';
import { testRoute } from './test-route.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp();
});
afterAll(() => app.stop());

const PATH = '/v1/responses';
const nobody = `${PATH}/resp_0000000000000000000000`;
const body = { model: 'gpt-4o', input: 'Hello' };
testRoute(() => app, { method: 'POST', path: PATH, scope: 'jobs', body: { ...body, background: true } });
testRoute(() => app, { method: 'GET', path: nobody, scope: 'jobs' });
testRoute(() => app, { method: 'GET', path: `${nobody}/input_items`, scope: 'jobs' });
testRoute(() => app, { method: 'POST', path: `${nobody}/cancel`, scope: 'jobs', body: {} });
testRoute(() => app, { method: 'DELETE', path: nobody, scope: 'jobs' });

type Told = { type: string; sequence_number: number; [field: string]: unknown };
const eventsIn = (text: string): Told[] => [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data as string));
const typesOf = (text: string): string[] => eventsIn(text).map(({ type }) => type);

/** Stands in for a worker, step by step, on the records themselves. */
const worker = async (jobId: string) => {
  const claim = await claimJob(app.deps.redis, jobId, 1, 'lease_test');
  if (claim.kind !== 'claimed') throw new Error(claim.kind);
  const { job } = claim;
  let attempt = 0;
  let pieces = 0;
  return {
    async call(): Promise<void> {
      const begun = await beginAttempt(app.deps.redis, job.id, 'lease_test', 'openai', 'gpt-4o');
      if (begun.kind !== 'begun') throw new Error(begun.kind);
      attempt = begun.number;
      pieces = 0;
    },
    async say(text: string): Promise<void> {
      await appendDelta(app.deps.redis, { id: job.id, lease: 'lease_test', attempt, number: ++pieces, text, choices: '' });
    },
    async breakOff(): Promise<void> {
      await releaseJob(app.deps.redis, { id: job.id, lease: 'lease_test', attempt: { outcome: 'unknown' }, delayMs: 0 });
      await claimJob(app.deps.redis, job.id, 1, 'lease_test');
    },
    async complete(text: string): Promise<void> {
      const output: TextOutput = { kind: 'text', text, finishReason: 'stop' };
      const fields = { output: JSON.stringify(output), usage: JSON.stringify({ inputTokens: 2, outputTokens: 3, cachedInputTokens: 1 }) };
      await endJob(app.deps, job, { status: 'completed', lease: 'lease_test', attempt: { outcome: 'completed' }, fields });
    },
    async fail(error: JobError): Promise<void> {
      await endJob(app.deps, job, { status: 'failed', lease: 'lease_test', attempt: { outcome: 'failed', error }, error });
    },
  };
};

const jobIdOf = ({ json }: ApiReply): string => json.id.replace('resp_', 'job_');
const inBackground = async (more: object = {}): Promise<ApiReply> => app.call(PATH, { body: { ...body, background: true, ...more } });
/** The job of a request that is still waiting for its answer. */
const newestJobId = async (): Promise<string> => {
  let id = '';
  await expect
    .poll(async () => {
      const { json } = await app.call('/v1/jobs?status=queued&limit=1');
      id = json.data[0]?.id ?? '';
      return id;
    })
    .not.toBe('');
  return id;
};

describe('a stream', () => {
  test('has no status before the answer begins: a failure before that is an error like any other', async () => {
    const waiting = app.call(PATH, { body: { ...body, stream: true } });
    const hands = await worker(await newestJobId());
    await hands.call();
    await hands.fail({ code: 'context_too_long', message: 'Too long.', providerStatus: 400, providerCode: 'context_length_exceeded' });
    const { status, json, headers } = await waiting;
    expect(status).toBe(400);
    expect(json.error).toMatchObject({ code: 'context_length_exceeded' });
    expect(headers.get('x-fana-job-id')).toMatch(/^job_/);
  });

  test('that breaks off after its first word ends with an error that names the response', async () => {
    const waiting = app.call(PATH, { body: { ...body, stream: true } });
    const id = await newestJobId();
    const hands = await worker(id);
    await hands.call();
    await hands.say('Hel');
    await hands.breakOff();
    await hands.call();
    const { status, headers, text } = await waiting;
    expect(status).toBe(200);
    expect(headers.get('content-type')).toContain('text/event-stream');
    expect(headers.get('x-fana-job-id')).toBe(id);
    const events = eventsIn(text);
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'stream_interrupted', message: expect.stringContaining(id.replace('job_', 'resp_')) });
    await hands.say('Hello');
    await hands.complete('Hello');
    expect((await app.call(`${PATH}/${id.replace('job_', 'resp_')}`)).json).toMatchObject({ status: 'completed', output: [{ content: [{ text: 'Hello' }] }] });
  });

  test('begun after an answer broke off tells the next one whole, over a gap in the numbers; who was told of the first one gets an error', async () => {
    const made = await inBackground();
    const path = `${PATH}/${made.json.id}?stream=true`;
    const hands = await worker(jobIdOf(made));
    await hands.call();
    await hands.say('Hel');
    await hands.breakOff();
    const between = app.call(path);
    await hands.call();
    await hands.say('Good day');
    await hands.complete('Good day');
    const whole = eventsIn((await app.call(path)).text);
    expect(whole.map(({ sequence_number }) => sequence_number)).toEqual([0, 1, 2, 6, 7, 8, 9, 10, 11, 12]);
    expect(whole.filter(({ type }) => type === 'response.output_text.delta').map(({ delta }) => delta)).toEqual(['Good day']);
    expect(eventsIn((await between).text)).toEqual(whole);
    expect(eventsIn((await app.call(`${path}&starting_after=2`)).text)).toEqual(whole.slice(3));
    expect(eventsIn((await app.call(`${path}&starting_after=8`)).text)).toEqual(whole.slice(6));
    expect(eventsIn((await app.call(`${path}&starting_after=5`)).text)).toMatchObject([{ type: 'error', code: 'stream_interrupted', sequence_number: 5 }]);
  });

  test('that fails after its first word ends with response.failed', async () => {
    const waiting = app.call(PATH, { body: { ...body, stream: true } });
    const hands = await worker(await newestJobId());
    await hands.call();
    await hands.say('Hel');
    await hands.fail({ code: 'provider_unavailable', message: 'It is down.' });
    const last = eventsIn((await waiting).text).at(-1);
    expect(last).toMatchObject({ type: 'response.failed', response: { status: 'failed', error: { code: 'server_error', message: 'It is down.' } } });
  });

  test('is the same whoever reads it and from wherever; ten minutes later its end alone is left', async () => {
    const made = await inBackground({ instructions: 'Be brief.' });
    const path = `${PATH}/${made.json.id}?stream=true`;
    const early = app.call(path);
    const hands = await worker(jobIdOf(made));
    await hands.call();
    await hands.say('Hel');
    const middle = app.call(`${path}&starting_after=3`);
    await hands.say('lo');
    await hands.complete('Hello');
    const whole = eventsIn((await early).text);
    expect(whole.map(({ type }) => type.replace('response.', ''))).toEqual([
      ...['created', 'queued', 'in_progress', 'output_item.added', 'content_part.added', 'output_text.delta', 'output_text.delta'],
      ...['output_text.done', 'content_part.done', 'output_item.done', 'completed'],
    ]);
    expect(whole[0]).toMatchObject({ response: { status: 'queued', output: [], instructions: 'Be brief.', background: true } });
    expect(whole[0]?.['response']).not.toHaveProperty('usage');
    expect(whole.at(-1)).toMatchObject({
      sequence_number: 10,
      response: { usage: { input_tokens: 2, input_tokens_details: { cached_tokens: 1, cache_write_tokens: 0 }, output_tokens: 3, total_tokens: 5 } },
    });
    expect(eventsIn((await middle).text)).toEqual(whole.slice(4));
    expect(eventsIn((await app.call(path)).text)).toEqual(whole);
    expect(eventsIn((await app.call(`${path}&starting_after=10`)).text)).toEqual([]);

    await app.deps.redis.del(eventsKey(jobIdOf(made)));
    expect(eventsIn((await app.call(`${path}&starting_after=5`)).text)).toEqual([{ ...whole.at(-1), sequence_number: 6 }]);
  });

  test('asked for again with its Idempotency-Key comes again while it is kept, then says that it is not', async () => {
    const again = () => app.call(PATH, { body: { ...body, background: true, stream: true }, headers: { 'idempotency-key': 'streamed' } });
    const first = again();
    const id = await newestJobId();
    const hands = await worker(id);
    await hands.call();
    await hands.say('Hello');
    await hands.complete('Hello');
    const { text } = await first;
    expect(typesOf(text).at(-1)).toBe('response.completed');
    const second = await again();
    expect(second.text).toBe(text);
    expect(second.headers.get('idempotent-replayed')).toBe('true');
    await app.deps.redis.del(eventsKey(id));
    const { status, json } = await again();
    expect(status).toBe(409);
    expect(json.error.code).toBe('replay_unavailable');
  });

  test('of a response that is cancelled while it waits ends with its status', async () => {
    const made = await inBackground();
    const stream = app.call(`${PATH}/${made.json.id}?stream=true`);
    expect((await app.call(`${PATH}/${made.json.id}/cancel`, { method: 'POST' })).json).toMatchObject({ status: 'cancelled', error: null });
    const { text } = await stream;
    expect(typesOf(text)).toEqual(['response.created', 'response.queued', 'response.failed']);
    expect(eventsIn(text).at(-1)).toMatchObject({ response: { status: 'cancelled' } });
  });
});

describe('a failed response', () => {
  test.each([
    ['context_too_long', 'invalid_prompt'],
    ['provider_rate_limited', 'rate_limit_exceeded'],
    ['image_unreadable', 'invalid_image'],
    ['attempts_exhausted', 'server_error'],
  ] as const)('tells %s in the words OpenAI has: %s', async (code, told) => {
    const made = await inBackground();
    const hands = await worker(jobIdOf(made));
    await hands.fail({ code, message: 'No.' });
    expect((await app.call(`${PATH}/${made.json.id}`)).json).toMatchObject({
      status: 'failed',
      error: { code: told, message: 'No.' },
      output: [],
    });
    const { status, json } = await app.call(PATH, { body: { ...body, previous_response_id: made.json.id } });
    expect(status).toBe(400);
    expect(json.error).toMatchObject({ code: 'invalid_request', param: 'previous_response_id' });
  });
});

test('an Idempotency-Key gives one response, and other words with it are refused', async () => {
  const headers = { 'idempotency-key': 'once' };
  const first = await app.call(PATH, { body: { ...body, background: true }, headers });
  const again = await app.call(PATH, { body: { ...body, background: true }, headers });
  expect(again.json.id).toBe(first.json.id);
  expect(again.headers.get('idempotent-replayed')).toBe('true');
  expect((await app.call(PATH, { body: { ...body, input: 'Other', background: true }, headers })).status).toBe(422);
});

test.each([
  ['?stream=maybe', 'stream'],
  ['?starting_after=1', 'starting_after'],
  ['?stream=true&starting_after=-1', 'starting_after'],
  ['?stream=true&include_obfuscation=true', 'include_obfuscation'],
  ['?include[]=code_interpreter_call.outputs', 'include.0'],
  ['?flavour=mint', 'flavour'],
  ['/input_items?limit=0', 'limit'],
  ['/input_items?after=msg_1', 'after'],
  ['/input_items?order=up', 'order'],
])('a bad query is refused by name: %s', async (query, param) => {
  const { json: made } = await inBackground();
  const { status, json } = await app.call(`${PATH}/${made.id}${query}`);
  expect(status).toBe(400);
  expect(json.error.param).toBe(param);
});

test('a long conversation is kept out of Redis and told whole', async () => {
  const instructions = 'Be brief. '.repeat(2000);
  const { json: made } = await inBackground({ instructions, input: [{ role: 'user', content: 'x'.repeat(20_000) }] });
  expect(made.instructions).toBe(instructions);
  const { json } = await app.call(`${PATH}/${made.id}/input_items`);
  expect(json).toMatchObject({ object: 'list', has_more: false, data: [{ type: 'message', role: 'user', content: [{ type: 'input_text' }] }] });
  expect(json.data[0].content[0].text).toHaveLength(20_000);
  expect(await app.deps.redis.memory('USAGE', `fana:job:${made.id.replace('resp_', 'job_')}`)).toBeLessThan(8192);
});
