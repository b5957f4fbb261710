import { LLMock } from '@copilotkit/aimock';
import { createAnthropic } from '@fana/core/providers/anthropic/create.ts';
import type { Limits } from '@fana/core/providers/call.ts';
import type { ChatRequest, ChoiceDelta, Provider } from '@fana/core/providers/provider.ts';
import { createUpstream } from '@fana/core/providers/upstream.ts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Behaviour, claudeEvent, endOfChunks, type FaultServer, reply, sseHead, startFaultServer } from './fault-server.ts';
import { chatRequest, failure, never, redPng } from './provider-requests.ts';

const API_KEY = 'sk-ant-test-0123456789abcdef';
const MODEL = 'claude-sonnet-5-5';
const short: Limits = { firstByteMs: 150, idleMs: 150, totalMs: 5000, maxBytes: 100_000 };
const asking = (overrides: Partial<ChatRequest> = {}) => chatRequest({ model: MODEL, ...overrides });

const start = (usage: object = { input_tokens: 11, output_tokens: 1 }) => ({
  type: 'message_start',
  message: { id: 'msg_1', model: `${MODEL}-served`, role: 'assistant', content: [], usage },
});
const begin = (index: number, content_block: object) => ({ type: 'content_block_start', index, content_block });
const add = (index: number, delta: object) => ({ type: 'content_block_delta', index, delta });
const close = (index: number) => ({ type: 'content_block_stop', index });
const text = (index: number, ...pieces: string[]) => [
  begin(index, { type: 'text', text: '' }),
  ...pieces.map((piece) => add(index, { type: 'text_delta', text: piece })),
  close(index),
];
const stop = (stop_reason: string, more: object = {}, usage: object = { output_tokens: 3 }) => ({
  type: 'message_delta',
  delta: { stop_reason, stop_sequence: null, ...more },
  usage,
});
const ended = { type: 'message_stop' };

let server: FaultServer;
beforeEach(async () => {
  server = await startFaultServer();
});
afterEach(() => server.stop());

const anthropic = (limits: Limits = short): Provider => createAnthropic({ apiKey: API_KEY, baseUrl: server.url }, createUpstream(), limits);
const streamOf =
  (...events: { type: string }[]): Behaviour =>
  (socket) =>
    socket.write(sseHead + events.map(claudeEvent).join('') + endOfChunks);
const ask = (request: Partial<ChatRequest> = {}, onDelta?: (piece: ChoiceDelta) => void) =>
  anthropic().chat?.(asking(request), { signal: never, ...(onDelta && { onDelta }) });
const failed = (request: Partial<ChatRequest> = {}) => failure(Promise.resolve(ask(request)));
const sent = (): Record<string, unknown> => JSON.parse(server.requests.at(-1)?.body.toString() ?? '');

describe('what is sent to Claude', () => {
  beforeEach(() => server.behave(streamOf(start(), ...text(0, 'Lima.'), stop('end_turn'), ended)));

  it('is one POST /v1/messages with the key and a limit for the answer', async () => {
    await ask({ messages: [{ role: 'system', content: 'Be brief.' }, ...chatRequest().messages] });
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]?.line).toBe('POST /v1/messages HTTP/1.1');
    expect(server.requests[0]?.headers).toMatchObject({ 'anthropic-version': '2026-10-21', authorization: `Bearer ${API_KEY}`, 'x-api-key': API_KEY });
    expect(sent()).toEqual({
      model: MODEL,
      max_tokens: 16_384,
      system: 'Be brief.',
      messages: [{ role: 'user', content: [{ type: 'text', text: 'what is the capital of Peru?' }] }],
      stream: true,
    });
  });

  it.each([
    ['claude-3-5-sonnet-20241022', 8192],
    ['claude-of-tomorrow', 4096],
    ['claude-haiku-4-5-20251001', 16_384],
  ])('lets %s answer with %i tokens unless it is told otherwise', async (model, most) => {
    await ask({ model });
    expect(sent()['max_tokens']).toBe(most);
    await ask({ model, parameters: { max_tokens: 7 } });
    expect(sent()['max_tokens']).toBe(7);
  });

  it('has effort and schema in one place, and a choice only beside tools', async () => {
    const schema = { type: 'object', properties: {}, additionalProperties: false };
    await ask({ parameters: { reasoning_effort: 'low', response_format: { type: 'json_schema', json_schema: { name: 's', schema } }, tool_choice: 'auto' } });
    expect(sent()['output_config']).toEqual({ effort: 'low', format: { type: 'json_schema', schema } });
    expect(sent()).not.toHaveProperty('tool_choice');
    const tools = [{ type: 'function', function: { name: 'f' } }];
    await ask({ parameters: { tools, parallel_tool_calls: false } });
    expect(sent()['tool_choice']).toEqual({ type: 'auto', disable_parallel_tool_use: true });
    await ask({ parameters: { tools, parallel_tool_calls: false, tool_choice: 'none' } });
    expect(sent()['tool_choice']).toEqual({ type: 'none' });
    await ask({ parameters: { tools } });
    expect(sent()).not.toHaveProperty('tool_choice');
  });

  it('says how to sample by the version of the interface that has a word for it', async () => {
    await ask({ model: 'claude-sonnet-4-6', parameters: { temperature: 0.5 } });
    expect(server.requests[0]?.headers['anthropic-version']).toBe('2023-06-01');
    expect(sent()).toMatchObject({ model: 'claude-sonnet-4-6', temperature: 0.5 });
    await ask({ parameters: { temperature: 1 } });
    expect(server.requests[1]?.headers['anthropic-version']).toBe('2026-10-21');
    expect(sent()).not.toHaveProperty('temperature');
  });

  it('shows pictures as base64 blocks', async () => {
    const bytes = await redPng();
    await ask({ messages: [{ role: 'user', content: [{ type: 'image', picture: { bytes, mediaType: 'image/png' } }] }] });
    expect(sent()['messages']).toEqual([
      { role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: bytes.toString('base64') } }] },
    ]);
  });

  it('understands a base URL that ends in /v1', async () => {
    const provider = createAnthropic({ apiKey: API_KEY, baseUrl: `${server.url}/v1` }, createUpstream(), short);
    await provider.chat?.(asking(), { signal: never });
    expect(server.requests[0]?.line).toBe('POST /v1/messages HTTP/1.1');
  });

  it('is nothing when there is no word for a parameter or a part', async () => {
    expect(await failed({ parameters: { temperature: 0.5 } })).toMatchObject({ code: 'unsupported_parameter', param: 'parameters.temperature' });
    expect(await failed({ messages: [{ role: 'user', content: [{ type: 'other', part: { type: 'input_audio' } }] }] })).toMatchObject({
      code: 'unsupported_parameter',
      param: 'messages.0.content.0',
      provider: undefined,
    });
    expect(server.requests).toHaveLength(0);
  });
});

describe('an answer of Claude', () => {
  it('comes in pieces with its usage, cached tokens among it, the model that answered and the finish reason', async () => {
    const usage = { input_tokens: 10, cache_read_input_tokens: 4, cache_creation_input_tokens: 2, output_tokens: 1 };
    server.behave(
      streamOf(
        start(usage),
        { type: 'ping' },
        ...text(0, 'Li', 'ma'),
        stop('end_turn', {}, { output_tokens: 9, output_tokens_details: { thinking_tokens: 5 } }),
        ended,
      ),
    );
    const pieces: unknown[] = [];
    const result = await ask({}, ({ delta }) => pieces.push(delta.content));
    expect(pieces).toEqual(['Li', 'ma']);
    expect(result).toEqual({
      text: 'Lima',
      finishReason: 'stop',
      model: `${MODEL}-served`,
      usage: { inputTokens: 16, outputTokens: 9, cachedInputTokens: 4, cacheWriteInputTokens: 2, reasoningTokens: 5 },
    });
  });

  it.each([
    ['end_turn', 'stop'],
    ['stop_sequence', 'stop'],
    ['max_tokens', 'length'],
    ['model_context_window_exceeded', 'length'],
    ['pause_turn', 'length'],
    ['refusal', 'content_filter'],
    ['something_new', 'stop'],
  ])('that ended by %s finishes with %s', async (reason, finishReason) => {
    server.behave(streamOf(start(), ...text(0, 'Some'), stop(reason), ended));
    expect(await ask({ keepRefusals: true })).toMatchObject({ text: 'Some', finishReason });
  });

  it('with calls of tools has them in OpenAI words, with what was thought before them', async () => {
    server.behave(
      streamOf(
        start(),
        begin(0, { type: 'thinking', thinking: '', signature: '' }),
        add(0, { type: 'thinking_delta', thinking: 'Let me ' }),
        add(0, { type: 'thinking_delta', thinking: 'look.' }),
        add(0, { type: 'signature_delta', signature: 'sig' }),
        close(0),
        begin(1, { type: 'tool_use', id: 'toolu_a', name: 'f', input: {} }),
        add(1, { type: 'input_json_delta', partial_json: '' }),
        add(1, { type: 'input_json_delta', partial_json: '{"x":' }),
        add(1, { type: 'input_json_delta', partial_json: '1}' }),
        close(1),
        begin(2, { type: 'tool_use', id: 'toolu_b', name: 'g', input: {} }),
        close(2),
        stop('tool_use'),
        ended,
      ),
    );
    const pieces: ChoiceDelta[] = [];
    const result = await ask({ keepRefusals: true }, (piece) => pieces.push(piece));
    expect(result).toMatchObject({
      text: '',
      finishReason: 'tool_calls',
      choices: [
        {
          finishReason: 'tool_calls',
          message: {
            reasoning: 'Let me look.',
            thinking_blocks: [{ type: 'thinking', thinking: 'Let me look.', signature: 'sig' }],
            tool_calls: [
              { id: 'toolu_a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
              { id: 'toolu_b', type: 'function', function: { name: 'g', arguments: '{}' } },
            ],
          },
        },
      ],
    });
    expect(pieces.map(({ delta }) => delta.tool_calls?.[0]?.index)).toEqual([undefined, undefined, 0, 0, 0, 1, 1, undefined]);
  });

  it('that is a refusal alone is kept for who keeps it, and fails for everybody else', async () => {
    server.behave(streamOf(start(), stop('refusal', { stop_details: { type: 'refusal', category: 'bio', explanation: 'It could do harm.' } }), ended));
    expect((await ask({ keepRefusals: true }))?.choices).toEqual([{ message: { refusal: 'It could do harm.' }, finishReason: 'content_filter' }]);
    expect(await failed()).toMatchObject({
      code: 'provider_refused',
      retryable: false,
      message: 'Anthropic refused this request: It could do harm.',
      provider: { outcome: 'known' },
    });
  });

  it.each([
    ['destroyed', (socket: Parameters<Behaviour>[0]) => socket.destroy()],
    ['closed in good order', (socket: Parameters<Behaviour>[0]) => socket.end(endOfChunks)],
    ['silent', () => undefined],
  ])('whose stream is %s after two pieces is a cut body', async (_name, cut) => {
    server.behave((socket) => {
      socket.write(sseHead + [start(), ...text(0, 'Li', 'ma').slice(0, 3)].map(claudeEvent).join(''));
      setTimeout(() => cut(socket), 20);
    });
    const pieces: unknown[] = [];
    const error = await failure(Promise.resolve(ask({}, ({ delta }) => pieces.push(delta.content))));
    expect(error).toMatchObject({ code: 'outcome_unknown', provider: { outcome: 'unknown', status: 200 } });
    expect(pieces).toEqual(['Li', 'ma']);
  });

  it.each([
    ['overloaded_error', 'provider_overloaded'],
    ['rate_limit_error', 'provider_rate_limited'],
    ['api_error', 'provider_unavailable'],
  ])('whose stream says %s has failed so', async (type, code) => {
    server.behave(streamOf(start(), ...text(0, 'Li'), { type: 'error', error: { type, message: 'Overloaded' } } as { type: string }));
    expect(await failed()).toMatchObject({ code, message: 'Anthropic: Overloaded', provider: { outcome: 'known' } });
  });

  it('is read ten times over the same few connections', async () => {
    server.behave(streamOf(start(), ...text(0, 'Lima.'), stop('end_turn'), ended));
    const provider = anthropic();
    for (let round = 0; round < 10; round++) await provider.chat?.(asking(), { signal: never });
    expect(server.connections()).toBeLessThanOrEqual(2);
  });
});

describe('an error of Anthropic', () => {
  it('529 is a pause that says nothing of the limit of the key', async () => {
    server.behave(reply(529, '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'));
    expect(await failed()).toMatchObject({ code: 'provider_overloaded', provider: { outcome: 'known', status: 529, code: 'overloaded_error' } });
  });

  it('429 with the moment of its reset says how long to wait', async () => {
    const headers = { 'anthropic-ratelimit-requests-remaining': '0', 'anthropic-ratelimit-requests-reset': new Date(Date.now() + 20_000).toISOString() };
    server.behave(reply(429, '{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}', headers));
    const { code, retryAfterMs } = await failed();
    expect(code).toBe('provider_rate_limited');
    expect(retryAfterMs).toBeGreaterThan(10_000);
    expect(retryAfterMs).toBeLessThanOrEqual(20_000);
  });

  it('429 of a spent limit is not retried, whatever else it says', async () => {
    const error = { type: 'rate_limit_error', message: 'Spend limit', details: { error_code: 'enforced_spend_limit_reached' } };
    server.behave(reply(429, JSON.stringify({ type: 'error', error })));
    expect(await failed()).toMatchObject({ code: 'provider_quota_exhausted', retryable: false, provider: { code: 'enforced_spend_limit_reached' } });
  });

  it('404 of a model is one the account lacks', async () => {
    server.behave(reply(404, '{"type":"error","error":{"type":"not_found_error","message":"model: claude-3-5-sonnet-20241022"}}'));
    expect(await failed({ model: 'claude-3-5-sonnet-20241022' })).toMatchObject({ code: 'provider_model_missing' });
  });

  it('never shows the key', async () => {
    server.behave(reply(401, JSON.stringify({ type: 'error', error: { type: 'authentication_error', message: `invalid x-api-key ${API_KEY}` } })));
    const error = await failed();
    expect(error.message).toBe('Anthropic does not accept the key in ANTHROPIC_API_KEY.');
    expect(JSON.stringify([error.message, error.detail, error.provider])).not.toContain('sk-ant');
  });
});

describe('against an upstream that real SDKs are tested with', () => {
  let mock: LLMock;
  beforeAll(async () => {
    mock = new LLMock({ port: 0, host: '127.0.0.1' });
    mock.onMessage(/photo/, { content: 'A red rectangle.' });
    mock.onMessage(/weather/, { toolCalls: [{ name: 'weather', arguments: '{"city":"Lima"}' }] });
    mock.onMessage(/Peru/, { content: 'The capital of Peru is Lima, on the coast.' });
    await mock.start();
  });
  beforeEach(() => mock.clearRequests());
  afterAll(() => mock.stop());
  const provider = () => createAnthropic({ apiKey: API_KEY, baseUrl: mock.url }, createUpstream());

  it('streams text', async () => {
    const pieces: unknown[] = [];
    const result = await provider().chat?.(asking(), { signal: never, onDelta: ({ delta }) => pieces.push(delta.content) });
    expect(result).toMatchObject({ text: 'The capital of Peru is Lima, on the coast.', finishReason: 'stop' });
    expect(pieces.join('')).toBe(result?.text);
    expect(mock.getRequests().map(({ path }) => path)).toEqual(['/v1/messages']);
  });

  it('is shown pictures', async () => {
    const bytes = await redPng();
    const content = [
      { type: 'text' as const, text: 'what is on this photo?' },
      { type: 'image' as const, picture: { bytes, mediaType: 'image/png' } },
    ];
    const result = await provider().chat?.(asking({ messages: [{ role: 'user', content }] }), { signal: never });
    expect(result?.text).toBe('A red rectangle.');
  });

  it('asks for tools', async () => {
    const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }];
    const messages = [{ role: 'user' as const, content: 'weather?' }];
    const result = await provider().chat?.(asking({ messages, parameters: { tools } }), { signal: never });
    expect(result).toMatchObject({
      finishReason: 'tool_calls',
      choices: [{ message: { tool_calls: [{ function: { name: 'weather', arguments: '{"city":"Lima"}' } }] } }],
    });
  });
});
