import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ChatCompletionRequest, LLMock } from '@copilotkit/aimock';
import Groq from 'groq-sdk';
import OpenAI, { APIError, BadRequestError, NotFoundError, RateLimitError } from 'openai';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ADMIN_KEY, type Installation, startInstallation } from './support/installation.ts';

const MANY_WORDS = 'The capital of Peru is Lima, a city of ten million people on the coast of the Pacific Ocean.';
const weather = {
  type: 'function' as const,
  function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
};

let mock: LLMock;
let fana: Installation;
let client: OpenAI;
let picture: Buffer;
let pictures: { url: string; stop: () => Promise<void> };

/** A website with one picture on it. */
const servePicture = async (bytes: Buffer): Promise<typeof pictures> => {
  const server = createServer((request, response) => {
    const isThere = request.url === '/fox.png';
    response.writeHead(isThere ? 200 : 404, { 'content-type': isThere ? 'image/png' : 'text/plain' }).end(isThere ? bytes : 'none');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/fox.png`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

const says = (words: string) => ({ userMessage: words });
const lastBody = (): Record<string, unknown> => mock.getRequests().at(-1)?.body as Record<string, unknown>;
const asks = (content: string) => ({ model: 'gpt-4o', messages: [{ role: 'user' as const, content }] });

beforeAll(async () => {
  picture = await sharp({ create: { width: 32, height: 32, channels: 3, background: '#8844aa' } })
    .png()
    .toBuffer();
  pictures = await servePicture(picture);
  mock = new LLMock({ port: 0, host: '127.0.0.1' });
  mock.on({ predicate: ({ messages }: ChatCompletionRequest) => messages.at(-1)?.role === 'tool' }, { content: 'It is sunny in Lima.' });
  mock.on(says('weather'), { toolCalls: [{ name: 'weather', arguments: '{"city":"Lima"}', id: 'call_1' }] });
  mock.on(says('JSON'), { content: '{"city":"Lima"}' });
  mock.on(says('long'), { content: MANY_WORDS }, { latency: 20, chunkSize: 6 });
  mock.on(says('cut'), { content: MANY_WORDS }, { latency: 60, chunkSize: 6, truncateAfterChunks: 5 });
  mock.on(says('too much'), {
    error: { message: "This model's maximum context length is 10 tokens.", code: 'context_length_exceeded', type: 'invalid_request_error' },
    status: 400,
  });
  mock.on(says('bad parameter'), { error: { message: 'Unknown thing', code: 'unknown_parameter', type: 'invalid_request_error' }, status: 400 });
  mock.on(says('no credit'), { error: { message: 'You exceeded your current quota.', code: 'insufficient_quota', type: 'insufficient_quota' }, status: 429 });
  mock.on({}, { content: 'Lima.' });
  await mock.start();
  const env = { GROQ_API_KEY: 'test-groq', GROQ_BASE_URL: mock.url, OPENAI_API_KEY: 'test-openai', OPENAI_BASE_URL: `${mock.url}/v1` };
  fana = await startInstallation({ env: { ...env, FANA_ALLOW_PRIVATE_NETWORK: 'true' } });
  client = new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${fana.url}/v1`, maxRetries: 0 });
});
beforeEach(() => mock.clearRequests());
afterAll(async () => {
  await fana.stop();
  await mock.stop();
  await pictures.stop();
});

describe('streams', () => {
  it('come as OpenAI sends them: role, text in pieces, finish reason, usage when it is asked for', async () => {
    const stream = await client.chat.completions.create({ ...asks('long'), stream: true, stream_options: { include_usage: true } });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '', refusal: null });
    const pieces = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta.content ?? '')).filter((text) => text !== '');
    expect(pieces.join('')).toBe(MANY_WORDS);
    expect(pieces.length).toBeGreaterThan(1);
    expect(chunks.flatMap(({ choices }) => choices.flatMap(({ finish_reason: reason }) => reason ?? []))).toEqual(['stop']);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: expect.any(Number), total_tokens: expect.any(Number) } });
    expect(new Set(chunks.map(({ id, object, model }) => `${id} ${object} ${model}`)).size).toBe(1);
    expect(mock.getRequests()).toHaveLength(1);
  });

  it('end with [DONE], have no usage unasked, and are jobs', async () => {
    const response = await fana.request('/v1/chat/completions', { body: { ...asks('Peru?'), stream: true } });
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
    const text = await response.text();
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    expect(text).not.toContain('"usage"');
    const job = await fana.job(response.headers.get('x-fana-job-id') ?? '');
    expect(job).toMatchObject({ status: 'completed', output: { text: 'Lima.' } });
  });

  it('of a cut upstream end with one error that names the job, without [DONE], and the job goes on', async () => {
    const response = await fana.request('/v1/chat/completions', { body: { ...asks('cut'), stream: true } });
    const text = await response.text();
    const jobId = response.headers.get('x-fana-job-id') ?? '';
    const events = text.split('\n\n').filter((event) => event.startsWith('data: '));
    expect(events.length).toBeGreaterThan(1);
    expect(JSON.parse(events.at(-1)?.slice('data: '.length) ?? '')).toEqual({
      error: { message: expect.stringContaining(jobId), type: 'server_error', code: 'outcome_unknown', param: null },
    });
    expect(text).not.toContain('[DONE]');
    expect(await fana.ended(jobId)).toMatchObject({ status: 'failed', attempts: [{ outcome: 'unknown' }, { outcome: 'unknown' }, { outcome: 'unknown' }] });

    const { data: stream, response: streamed } = await client.chat.completions.create({ ...asks('cut'), stream: true }).withResponse();
    const read = async () => {
      for await (const _chunk of stream);
    };
    await expect(read()).rejects.toThrow(APIError);
    await fana.ended(streamed.headers.get('x-fana-job-id') ?? '');
  });

  it('that fail before their first piece are replies of their own', async () => {
    const failed = await client.chat.completions.create({ ...asks('too much'), stream: true }).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(BadRequestError);
    expect(failed).toMatchObject({ status: 400, code: 'context_length_exceeded' });
  });

  it('are told again for the same Idempotency-Key, without another call', async () => {
    const ask = (content: string) =>
      fana.request('/v1/chat/completions', { body: { ...asks(content), stream: true }, headers: { 'idempotency-key': 'stream-1' } });
    const textOf = (body: string) =>
      body
        .split('\n\n')
        .flatMap((event) => (event.startsWith('data: {') ? [JSON.parse(event.slice(6)).choices[0]?.delta.content ?? ''] : []))
        .join('');
    const first = await (await ask('long')).text();
    const again = await ask('long');
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    const replay = await again.text();
    expect(textOf(replay)).toBe(textOf(first));
    expect(replay).toMatch(/data: \[DONE\]\n\n$/);
    expect((await ask('other')).status).toBe(422);
    expect(mock.getRequests()).toHaveLength(1);
  });
});

describe('tools', () => {
  it('make the round trip, plain', async () => {
    const first = await client.chat.completions.create({ ...asks('weather'), tools: [weather], tool_choice: 'auto' });
    const message = first.choices[0]?.message;
    expect(first.choices[0]?.finish_reason).toBe('tool_calls');
    expect(message).toMatchObject({
      content: null,
      tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Lima"}' } }],
    });
    expect(lastBody()).toMatchObject({ tools: [weather], tool_choice: 'auto' });
    if (!message) throw new Error('no message');
    const messages = [...asks('weather').messages, message, { role: 'tool' as const, tool_call_id: 'call_1', content: 'sunny' }];
    const second = await client.chat.completions.create({ model: 'gpt-4o', messages, tools: [weather] });
    expect(second.choices[0]?.message.content).toBe('It is sunny in Lima.');
    expect(lastBody()).toMatchObject({
      messages: [{ role: 'user' }, { role: 'assistant', tool_calls: [{ id: 'call_1' }] }, { role: 'tool', tool_call_id: 'call_1' }],
    });
  });

  it('are streamed and put together by the SDK', async () => {
    const runner = client.chat.completions.stream({ ...asks('weather'), tools: [weather] });
    const completion = await runner.finalChatCompletion();
    expect(completion.choices[0]?.message.tool_calls).toMatchObject([{ id: 'call_1', function: { name: 'weather', arguments: '{"city":"Lima"}' } }]);
    expect(completion.choices[0]?.finish_reason).toBe('tool_calls');
  });
});

describe('what a request brings', () => {
  it('JSON schemas and every parameter reach the provider', async () => {
    const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
    const response_format = { type: 'json_schema' as const, json_schema: { name: 'city', schema, strict: true } };
    const told = {
      temperature: 0.5,
      top_p: 0.9,
      seed: 7,
      stop: ['x'],
      frequency_penalty: 0.1,
      presence_penalty: 0.2,
      logit_bias: { '5': 1 },
      logprobs: true,
      top_logprobs: 2,
    };
    const more = { n: 1, user: 'ann', parallel_tool_calls: false, service_tier: 'default' as const, prompt_cache_key: 'k', store: false };
    const reply = await client.chat.completions.create({ ...asks('JSON'), response_format, max_tokens: 50, ...told, ...more });
    expect(reply.choices[0]?.message.content).toBe('{"city":"Lima"}');
    expect(lastBody()).toMatchObject({ response_format, ...told, ...more, max_completion_tokens: 50 });
  });

  it('pictures as data URLs and by URL, read here and shown as data URLs', async () => {
    const dataUrl = `data:image/png;base64,${picture.toString('base64')}`;
    for (const url of [dataUrl, pictures.url]) {
      const content = [
        { type: 'text' as const, text: 'What is on it?' },
        { type: 'image_url' as const, image_url: { url, detail: 'low' as const } },
      ];
      const { response } = await client.chat.completions.create({ model: 'gpt-4o', messages: [{ role: 'user', content }] }).withResponse();
      expect(JSON.stringify(lastBody())).toContain(`{"type":"image_url","image_url":{"url":"${dataUrl}","detail":"low"}}`);
      expect(await fana.job(response.headers.get('x-fana-job-id') ?? '')).toMatchObject({ type: 'vision', status: 'completed' });
    }
    const content = [{ type: 'image_url' as const, image_url: { url: `${pictures.url}/none` } }];
    const refused = client.chat.completions.create({ model: 'gpt-4o', messages: [{ role: 'user', content }] });
    await expect(refused).rejects.toMatchObject({ status: 400, code: 'image_unreadable' });
    expect(mock.getRequests()).toHaveLength(2);
  });

  it.each([
    [{ flavour: 'mint' }, 'gpt-4o', 'flavour'],
    [{ n: 2 }, 'openai/gpt-oss-120b', 'n'],
    [{ logprobs: true }, 'openai/gpt-oss-120b', 'logprobs'],
    [{ temperature: 0.2 }, 'o3', 'temperature'],
  ])('%o is refused for %s by its name, before any call', async (parameters, model, param) => {
    const refused = client.chat.completions.create({ ...asks('Hi'), model, ...(parameters as object) });
    await expect(refused).rejects.toMatchObject({ status: 400, code: 'unsupported_parameter', param });
    expect(mock.getRequests()).toHaveLength(0);
  });

  it('a server of the operator gets what nobody here knows', async () => {
    await client.chat.completions.create({ ...asks('Hi'), model: 'openai/my-own', ...({ flavour: 'mint', developer_mode: { a: 1 } } as object) });
    expect(lastBody()).toMatchObject({ model: 'my-own', flavour: 'mint', developer_mode: { a: 1 } });
  });
});

describe('errors are of the class an SDK expects', () => {
  it('a refusal of the provider keeps its status, code and message', async () => {
    const error = await client.chat.completions.create(asks('bad parameter')).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ code: 'unknown_parameter', message: expect.stringContaining('Unknown thing') });
  });

  it('a spent account is a RateLimitError that no SDK tries again', async () => {
    const patient = new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${fana.url}/v1`, maxRetries: 2 });
    const error = await patient.chat.completions.create(asks('no credit')).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({ code: 'insufficient_quota' });
    expect((error as APIError).headers?.get('x-should-retry')).toBe('false');
    expect(mock.getRequests()).toHaveLength(1);
  });

  it('an unknown model is a NotFoundError', async () => {
    const error = await client.chat.completions.create({ ...asks('Hi'), model: 'gpt-99' }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NotFoundError);
    expect(error).toMatchObject({ code: 'model_not_found', param: 'model' });
  });

  it('a key over its limit is a RateLimitError with the headers of the limit', async () => {
    const made = await fana.request('/v1/admin/keys', { body: { name: 'slow', tenant: 'acme', scopes: ['jobs'], limits: { requests_per_minute: 1 } } });
    const { key } = (await made.json()) as { key: string };
    const limited = new OpenAI({ apiKey: key, baseURL: `${fana.url}/v1`, maxRetries: 0 });
    const { response } = await limited.chat.completions.create(asks('Hi')).withResponse();
    expect(response.headers.get('x-ratelimit-remaining-requests')).toBe('0');
    expect(response.headers.get('ratelimit-policy')).toBe('"default";q=1;w=60');
    const error = await limited.chat.completions.create(asks('Hi')).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RateLimitError);
    expect(Number((error as APIError).headers?.get('retry-after'))).toBeGreaterThan(0);
  });
});

it('groq-sdk speaks to the installation itself, plain and streamed', async () => {
  const groq = new Groq({ apiKey: ADMIN_KEY, baseURL: fana.url, maxRetries: 0 });
  const messages = [{ role: 'user' as const, content: 'Peru?' }];
  const plain = await groq.chat.completions.create({ model: 'openai/gpt-oss-120b', messages });
  expect(plain.choices[0]?.message.content).toBe('Lima.');
  let text = '';
  for await (const chunk of await groq.chat.completions.create({ model: 'openai/gpt-oss-120b', messages, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? '';
  }
  expect(text).toBe('Lima.');
  expect(mock.getRequests().map(({ path }) => path)).toEqual(['/openai/v1/chat/completions', '/openai/v1/chat/completions']);
});

it('a body that is too large, nested too deep or no JSON is refused', async () => {
  const post = (rawBody: string) => fana.request('/v1/chat/completions', { rawBody });
  expect((await post('{')).status).toBe(400);
  const deep = await post(`{"model":"gpt-4o","messages":[],"tools":${'['.repeat(65)}${']'.repeat(65)}}`);
  expect([deep.status, ((await deep.json()) as { error: { param: string } }).error.param]).toEqual([400, 'tools']);
  const big = JSON.stringify(asks('x'.repeat(51 * 1024 * 1024)));
  expect((await post(big)).status).toBe(413);
});
