import { setTimeout as sleep } from 'node:timers/promises';
import { LLMock } from '@copilotkit/aimock';
import type { AppError } from '@fana/core/errors.ts';
import { createAnthropic } from '@fana/core/providers/anthropic/create.ts';
import type { Limits } from '@fana/core/providers/call.ts';
import { createGroq } from '@fana/core/providers/groq/create.ts';
import { createOpenai } from '@fana/core/providers/openai/create.ts';
import type { ImageRequest, Provider } from '@fana/core/providers/provider.ts';
import { createRegistry } from '@fana/core/providers/registry.ts';
import { createUpstream } from '@fana/core/providers/upstream.ts';
import { testConfig } from '@fana/testkit/test-config.ts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Behaviour, endOfChunks, event, type FaultServer, reply, sseHead, startFaultServer } from './fault-server.ts';
import { chatRequest, failure, imageRequest, never, redPng } from './provider-requests.ts';

const API_KEY = 'sk-test-0123456789abcdef';

describe('against an upstream that real SDKs are tested with', () => {
  let mock: LLMock;
  let picture: Buffer;
  beforeAll(async () => {
    picture = await redPng();
    mock = new LLMock({ port: 0 });
    mock.onImage(/.*/, { images: [{ b64Json: picture.toString('base64'), revisedPrompt: 'a red fox' }] });
    mock.onMessage(/Peru/, { content: 'The capital of Peru is Lima, on the coast.' });
    mock.onMessage(/photo/, { content: 'A red rectangle.' });
    await mock.start();
  });
  beforeEach(() => mock.clearRequests());
  afterAll(() => mock.stop());

  const registry = () =>
    createRegistry(testConfig({ GROQ_API_KEY: 'gsk_0123456789', GROQ_BASE_URL: mock.url, OPENAI_API_KEY: API_KEY, OPENAI_BASE_URL: `${mock.url}/v1` }));
  const target = (name: string, type: 'chat' | 'image' | 'vision') => {
    const [first] = registry().targets(name, type);
    if (!first) throw new Error('no target');
    return first;
  };

  it.each([
    ['chat-default', 'groq', '/openai/v1/chat/completions'],
    ['gpt-6-luna', 'openai', '/v1/chat/completions'],
  ])('streams the chat of %s from %s with one call of %s', async (name, provider, path) => {
    const to = target(name, 'chat');
    const deltas: string[] = [];
    const result = await to.provider.chat?.(chatRequest({ model: to.model }), { signal: never, onDelta: ({ delta }) => deltas.push(delta.content ?? '') });
    expect(to.provider.name).toBe(provider);
    expect(result).toMatchObject({ text: 'The capital of Peru is Lima, on the coast.', finishReason: 'stop', model: to.model });
    expect(result?.usage.outputTokens).toBeGreaterThan(0);
    expect(deltas.length).toBeGreaterThan(1);
    expect(deltas.join('')).toBe(result?.text);
    const requests = mock.getRequests();
    expect(requests.map((request) => request.path)).toEqual([path]);
    expect(requests[0]?.body).toMatchObject({ stream: true, model: to.model });
  });

  it('shows pictures to a vision model as data URLs', async () => {
    const to = target('vision-default', 'vision');
    const content = [
      { type: 'text' as const, text: 'what is on this photo?' },
      { type: 'image' as const, picture: { bytes: picture, mediaType: 'image/png' }, detail: 'low' as const },
    ];
    const result = await to.provider.chat?.({ model: to.model, messages: [{ role: 'user', content }], parameters: {} }, { signal: never });
    expect(result?.text).toBe('A red rectangle.');
    expect(JSON.stringify(mock.getRequests()[0]?.body)).toContain(`data:image/png;base64,${picture.toString('base64')}`);
  });

  it('makes a picture with one call of /v1/images/generations', async () => {
    const to = target('image-default', 'image');
    const result = await to.provider.image?.(imageRequest({ model: to.model }), { signal: never });
    expect(result?.images).toEqual([{ bytes: picture, revisedPrompt: 'a red fox' }]);
    expect(mock.getRequests().map((request) => request.path)).toEqual(['/v1/images/generations']);
  });

  it('edits pictures with one multipart call of /v1/images/edits', async () => {
    const to = target('image-default', 'image');
    const pictures = [{ bytes: picture, mediaType: 'image/png' }];
    const result = await to.provider.image?.(imageRequest({ model: to.model, pictures }), { signal: never });
    expect(result?.images[0]?.bytes).toEqual(picture);
    expect(mock.getRequests().map((request) => request.path)).toEqual(['/v1/images/edits']);
  });

  it.each([
    [429, { code: 'rate_limit_exceeded' }, 'provider_rate_limited'],
    [429, { code: 'insufficient_quota' }, 'provider_quota_exhausted'],
    [401, {}, 'provider_authentication'],
    [503, {}, 'provider_unavailable'],
    [529, {}, 'provider_overloaded'],
    [400, { code: 'moderation_blocked' }, 'provider_refused'],
    [400, { code: 'context_length_exceeded' }, 'context_too_long'],
    [404, { code: 'model_not_found' }, 'provider_model_missing'],
  ])('reads its %i %o as %s after one call', async (status, body, code) => {
    mock.nextRequestError(status, { message: 'no', ...body });
    const to = target('gpt-6-luna', 'chat');
    const error = await failure(Promise.resolve(to.provider.chat?.(chatRequest(), { signal: never })));
    expect(error).toMatchObject({ code, provider: { outcome: 'known', status } });
    expect(mock.getRequests()).toHaveLength(1);
  });
});

describe('against an upstream with faults', () => {
  const short: Limits = { firstByteMs: 150, idleMs: 150, totalMs: 5000, maxBytes: 100_000 };
  let server: FaultServer;
  beforeEach(async () => {
    server = await startFaultServer();
  });
  afterEach(() => server.stop());

  const openai = (limits: Limits = short, url = server.url): Provider =>
    createOpenai({ apiKey: API_KEY, baseUrl: `${url}/v1` }, createUpstream(), { chat: limits, image: () => limits, embedding: limits });
  const groq = (limits: Limits = short): Provider => createGroq({ apiKey: API_KEY, baseUrl: server.url }, createUpstream(), limits);
  const anthropic = (limits: Limits = short): Provider => createAnthropic({ apiKey: API_KEY, baseUrl: server.url }, createUpstream(), limits);
  const chat = (provider: Provider, signal = never) => failure(Promise.resolve(provider.chat?.(chatRequest(), { signal })));
  const image = (provider: Provider, signal = never) => failure(Promise.resolve(provider.image?.(imageRequest(), { signal })));
  const calls: [name: string, call: () => Promise<AppError>][] = [
    ['openai chat', () => chat(openai())],
    ['groq chat', () => chat(groq())],
    ['anthropic chat', () => chat(anthropic())],
    ['openai image', () => image(openai())],
  ];
  const delta = (content: string) => ({ model: 'm', choices: [{ index: 0, delta: { content }, finish_reason: null }] });
  const stop = { model: 'm', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] };

  it('knows that a refused connection sent nothing', async () => {
    const gone = await startFaultServer();
    await gone.stop();
    const error = await image(openai(short, gone.url));
    expect(error).toMatchObject({ code: 'provider_unavailable', retryable: true, provider: { outcome: 'not_sent' } });
  });

  const faults: [name: string, behaviour: Behaviour, code: string, outcome: string][] = [
    ['a reset before the reply', (socket) => socket.resetAndDestroy(), 'outcome_unknown', 'unknown'],
    ['a close before the reply', (socket) => socket.end(), 'outcome_unknown', 'unknown'],
    ['silence', () => undefined, 'outcome_unknown', 'unknown'],
    [
      'a cut body',
      (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"data"'),
      'outcome_unknown',
      'unknown',
    ],
    ['a cut error body', (socket) => socket.end('HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\n{"err'), 'outcome_unknown', 'unknown'],
    ['bytes that are not HTTP', (socket) => socket.end('hello\r\n\r\n'), 'outcome_unknown', 'unknown'],
    ['more bytes than a reply may hold', reply(200, ' '.repeat(200_000)), 'outcome_unknown', 'unknown'],
    ['500', reply(500, '{"error":{"message":"oops"}}'), 'provider_unavailable', 'known'],
    ['408', reply(408, ''), 'provider_unavailable', 'known'],
    ['409', reply(409, ''), 'provider_unavailable', 'known'],
    ['502 with a page', reply(502, '<html>bad gateway</html>', { 'content-type': 'text/html' }), 'provider_unavailable', 'known'],
    ['529', reply(529, '{"error":{"type":"overloaded_error","message":"busy"}}'), 'provider_overloaded', 'known'],
    ['garbage instead of JSON', reply(200, 'not json at all'), 'provider_bad_response', 'known'],
    ['JSON without the answer', reply(200, '{"hello":1}'), 'provider_bad_response', 'known'],
    ['null', reply(200, 'null'), 'provider_bad_response', 'known'],
    ['nothing', reply(200, ''), 'provider_bad_response', 'known'],
    ['a redirect', reply(307, '', { location: 'http://127.0.0.1:1/' }), 'provider_bad_request', 'known'],
  ];
  describe.each(calls)('%s', (_name, call) => {
    it.each(faults)('reads %s after exactly one request', async (_fault, behaviour, code, outcome) => {
      server.behave(behaviour);
      expect(await call()).toMatchObject({ code, provider: { outcome } });
      expect(server.requests).toHaveLength(1);
    });
  });

  it.each([
    ['retry-after', '7', 7000],
    ['retry-after-ms', '120', 120],
    ['x-ratelimit-reset-requests', '6m0s', 360_000],
  ])('passes on the wait of a 429 with %s: %s', async (header, value, retryAfterMs) => {
    server.behave(reply(429, '{"error":{"message":"slow down","code":"rate_limit_exceeded"}}', { [header]: value }));
    for (const provider of [openai(), groq()]) expect(await chat(provider)).toMatchObject({ code: 'provider_rate_limited', retryAfterMs });
  });

  it.each([200, 429, 500])('tells the head of a reply of status %i once, before its body is there', async (status) => {
    const heads: string[] = [];
    let told = false;
    server.behave((socket) => {
      socket.write(`HTTP/1.1 ${status} Status\r\nx-ratelimit-limit-requests: 500\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n`);
      setTimeout(() => {
        told = heads.length > 0;
        socket.write('{}');
      }, 50);
    });
    const onReply = (got: number, headers: Headers): void => void heads.push(`${got} ${headers.get('x-ratelimit-limit-requests')}`);
    await failure(Promise.resolve(openai().image?.(imageRequest(), { signal: never, onReply })));
    await failure(Promise.resolve(openai().chat?.(chatRequest(), { signal: never, onReply })));
    await failure(Promise.resolve(groq().chat?.(chatRequest(), { signal: never, onReply })));
    await failure(Promise.resolve(anthropic().chat?.(chatRequest(), { signal: never, onReply })));
    expect(told).toBe(true);
    expect(heads).toEqual(Array(4).fill(`${status} 500`));
  });

  it.each([
    ['destroyed', (socket: Parameters<Behaviour>[0]) => socket.destroy()],
    ['closed in good order', (socket: Parameters<Behaviour>[0]) => socket.end(endOfChunks)],
    ['silent', () => undefined],
  ])('takes a stream that is %s after two pieces for a cut body', async (_name, cut) => {
    server.behave((socket) => {
      socket.write(sseHead + event(delta('Li')) + event(delta('ma')));
      setTimeout(() => cut(socket), 20);
    });
    for (const provider of [openai(), groq()]) {
      const deltas: string[] = [];
      const error = await failure(Promise.resolve(provider.chat?.(chatRequest(), { signal: never, onDelta: ({ delta }) => deltas.push(delta.content ?? '') })));
      expect(error).toMatchObject({ code: 'outcome_unknown', provider: { outcome: 'unknown', status: 200 } });
      expect(deltas).toEqual(['Li', 'ma']);
    }
  });

  it('reads an error event in a stream as the failure it names', async () => {
    server.behave((socket) => socket.write(sseHead + event(delta('Li')) + event({ error: { message: 'too long', code: 'context_length_exceeded' } })));
    for (const provider of [openai(), groq()]) expect(await chat(provider)).toMatchObject({ code: 'context_too_long', provider: { outcome: 'known' } });
  });

  it("reads Groq's word that a stream was stopped early as a failure", async () => {
    server.behave((socket) => socket.write(sseHead + event(delta('Li')) + event({ choices: [], x_groq: { error: 'over capacity' } })));
    expect(await chat(groq())).toMatchObject({ code: 'provider_unavailable', message: 'Groq: over capacity', provider: { outcome: 'known' } });
  });

  it('reads an event that is not JSON as a failed call', async () => {
    server.behave((socket) => socket.write(sseHead + event(delta('Li')) + event('{"choices":') + endOfChunks));
    for (const provider of [openai(), groq()]) expect((await chat(provider)).provider?.outcome).not.toBe('not_sent');
  });

  it('gives the usage, the model that answered and the finish reason of a stream, and uses the connection again', async () => {
    const usage = { usage: { prompt_tokens: 11, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 4 } }, choices: [] };
    server.behave((socket) => socket.write(sseHead + event(delta('Lima')) + event(stop) + event(usage) + event('[DONE]') + endOfChunks));
    for (const provider of [openai(), groq()]) {
      for (let round = 0; round < 5; round++) {
        const result = await provider.chat?.(chatRequest(), { signal: never });
        expect(result).toEqual({ text: 'Lima', finishReason: 'stop', model: 'm', usage: { inputTokens: 11, outputTokens: 3, cachedInputTokens: 4 } });
      }
    }
    // The pool may open one more before it has seen the end of a reply.
    expect(server.open()).toBeLessThanOrEqual(4);
  });

  const piece = (index: number, said: object, more: object = {}) => ({ model: 'm', choices: [{ index, delta: said, finish_reason: null, ...more }] });
  const end = (index: number, finish_reason: string) => ({ model: 'm', system_fingerprint: 'fp_1', choices: [{ index, delta: {}, finish_reason }] });
  const streamOf =
    (...events: unknown[]): Behaviour =>
    (socket) =>
      socket.write(sseHead + events.map(event).join('') + event('[DONE]') + endOfChunks);
  const collected = (provider: Provider, keepRefusals = true) => provider.chat?.(chatRequest({ keepRefusals }), { signal: never });

  it('collects every answer of a stream with its tool calls, reasoning, log probabilities and finish reason', async () => {
    server.behave(
      streamOf(
        piece(0, { role: 'assistant', content: null, reasoning: 'Let me ' }),
        piece(1, { role: 'assistant', content: 'Two', refusal: null }, { logprobs: { content: [{ token: 'Two' }], refusal: null } }),
        piece(0, { reasoning: 'look.', tool_calls: [{ index: 0, id: 'call_a', type: 'function', function: { name: 'f', arguments: '' } }] }),
        piece(0, { tool_calls: [{ index: 1, id: 'call_b', type: 'function', function: { name: 'g', arguments: '{}' } }] }),
        piece(0, { tool_calls: [{ index: 0, function: { arguments: '{"x":' } }] }),
        piece(0, { tool_calls: [{ index: 0, function: { arguments: '1}' } }] }),
        piece(1, { content: ' words' }, { logprobs: { content: [{ token: ' words' }] } }),
        end(1, 'length'),
        end(0, 'tool_calls'),
        { choices: [], usage: { prompt_tokens: 1, completion_tokens: 9, completion_tokens_details: { reasoning_tokens: 4 } } },
      ),
    );
    for (const provider of [openai(), groq()]) {
      expect(await collected(provider)).toEqual({
        text: '',
        finishReason: 'tool_calls',
        model: 'm',
        envelope: { system_fingerprint: 'fp_1' },
        usage: { inputTokens: 1, outputTokens: 9, reasoningTokens: 4 },
        choices: [
          {
            finishReason: 'tool_calls',
            message: {
              reasoning: 'Let me look.',
              tool_calls: [
                { id: 'call_a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
                { id: 'call_b', type: 'function', function: { name: 'g', arguments: '{}' } },
              ],
            },
          },
          { finishReason: 'length', message: { content: 'Two words' }, logprobs: { content: [{ token: 'Two' }, { token: ' words' }] } },
        ],
      });
    }
  });

  it('gives tool calls a place that a server has left out, in the answer and in its pieces', async () => {
    const call = (id: string) => ({ tool_calls: [{ id, type: 'function', function: { name: id, arguments: '{}' } }] });
    server.behave(streamOf(piece(0, call('a')), piece(0, call('b')), end(0, 'tool_calls')));
    const places: unknown[] = [];
    const result = await openai().chat?.(chatRequest(), {
      signal: never,
      onDelta: ({ delta }) => places.push(...(delta.tool_calls ?? []).map(({ id, index }) => [id, index])),
    });
    expect(places).toEqual([
      ['a', 0],
      ['b', 1],
    ]);
    expect(result?.choices?.[0]?.message.tool_calls?.map(({ id }) => id)).toEqual(['a', 'b']);
  });

  it('takes a stream for cut when one of its answers has no end', async () => {
    server.behave(streamOf(piece(0, { content: 'One' }), piece(1, { content: 'Two' }), end(0, 'stop')));
    expect(await failure(Promise.resolve(collected(openai())))).toMatchObject({ code: 'outcome_unknown' });
  });

  it('gives a refusal as an answer to who keeps it, and fails for everybody else', async () => {
    server.behave(streamOf(piece(0, { refusal: 'I will ' }), piece(0, { refusal: 'not.' }), end(0, 'stop')));
    expect((await collected(openai()))?.choices).toEqual([{ message: { refusal: 'I will not.' }, finishReason: 'stop' }]);
    expect(await failure(Promise.resolve(collected(openai(), false)))).toMatchObject({ code: 'provider_refused', provider: { outcome: 'known' } });
  });

  it('says developer to OpenAI, system to Groq, and passes fields of messages on', async () => {
    server.behave(streamOf(end(0, 'stop')));
    const messages = [
      { role: 'developer' as const, content: 'Be brief.' },
      { role: 'assistant' as const, content: null, other: { tool_calls: [{ id: 'call_a' }] } },
      { role: 'tool' as const, content: '4', other: { tool_call_id: 'call_a' } },
    ];
    for (const [provider, role] of [
      [openai(), 'developer'],
      [groq(), 'system'],
    ] as const) {
      await provider.chat?.(chatRequest({ messages, model: 'm' }), { signal: never });
      expect(JSON.parse(server.requests.at(-1)?.body.toString() ?? '')).toMatchObject({
        messages: [
          { role, content: 'Be brief.' },
          { role: 'assistant', content: null, tool_calls: [{ id: 'call_a' }] },
          { role: 'tool', content: '4', tool_call_id: 'call_a' },
        ],
      });
    }
  });

  it('never sends a request twice when a kept connection turns out to be dead', async () => {
    const provider = openai();
    server.behave(reply(500, '{}'));
    await chat(provider);
    await sleep(20);
    server.behave((socket) => socket.destroy());
    expect(await chat(provider)).toMatchObject({ code: 'outcome_unknown', provider: { outcome: 'unknown' } });
    expect(server.requests).toHaveLength(2);
    expect(server.connections()).toBe(1);
  });

  it('asks for each picture over a connection of its own', async () => {
    const provider = createOpenai({ apiKey: API_KEY, baseUrl: `${server.url}/v1` }, createUpstream());
    for (let round = 1; round <= 3; round++) {
      await image(provider);
      expect(server.connections()).toBe(round);
      await expect.poll(() => server.open()).toBe(0);
    }
  });

  it.each([
    ['before the reply', () => undefined],
    ['in the middle of a stream', (socket: Parameters<Behaviour>[0]) => void socket.write(sseHead + event(delta('Li')))],
  ])('cuts the connection at once when it is aborted %s', async (_name, behaviour) => {
    const patient = { ...short, firstByteMs: 30_000, idleMs: 30_000 };
    for (const provider of [openai(patient), groq(patient), anthropic(patient)]) {
      server.behave(behaviour);
      const controller = new AbortController();
      const arrived = server.arrived();
      const failed = chat(provider, controller.signal);
      await arrived;
      await sleep(30);
      controller.abort();
      expect(await failed).toMatchObject({ code: 'cancelled', provider: { outcome: 'unknown' } });
      await expect.poll(() => server.open(), { timeout: 2000 }).toBe(0);
    }
  });

  it('sends nothing when it is aborted before the request is written', async () => {
    expect(await image(openai(), AbortSignal.abort())).toMatchObject({ code: 'cancelled', provider: { outcome: 'not_sent' } });
    const controller = new AbortController();
    const failed = image(openai(), controller.signal);
    controller.abort();
    expect(await failed).toMatchObject({ code: 'cancelled', provider: { outcome: 'not_sent' } });
    await sleep(50);
    expect(server.requests).toHaveLength(0);
  });

  it('ends a stream that trickles on for too long', async () => {
    server.behave((socket) => {
      socket.write(sseHead);
      const timer = setInterval(() => socket.write(event(delta('.'))), 20);
      socket.on('close', () => clearInterval(timer));
    });
    expect(await chat(openai({ ...short, totalMs: 200 }))).toMatchObject({ code: 'outcome_unknown', provider: { outcome: 'unknown' } });
  });

  it('refuses a parameter the model cannot do before any call', async () => {
    const error = await failure(Promise.resolve(openai().image?.(imageRequest({ model: 'dall-e-3', parameters: { n: 2 } }), { signal: never })));
    expect(error).toMatchObject({ code: 'unsupported_parameter', param: 'parameters.n', provider: undefined });
    expect(server.requests).toHaveLength(0);
  });

  it('says the parameters of a picture in the words of the model', async () => {
    const sent = async (request: ImageRequest): Promise<unknown> => {
      await failure(Promise.resolve(openai().image?.(request, { signal: never })));
      return JSON.parse(server.requests.at(-1)?.body.toString() ?? '');
    };
    const parameters = { size: '1024x1024', quality: 'hd', style: 'natural' };
    expect(await sent(imageRequest({ model: 'dall-e-3', parameters }))).toMatchObject({ quality: 'hd', style: 'natural', response_format: 'b64_json' });
    const modern = await sent(imageRequest({ parameters }));
    expect(modern).toEqual({
      model: 'gpt-image-2',
      prompt: 'a fox in the snow\n\nStyle: natural, not hyper-real.',
      size: '1024x1024',
      quality: 'high',
    });
  });

  it('fetches a picture that is answered as a link', async () => {
    const png = await redPng();
    server.behave((socket, request) => {
      if (request.line.startsWith('POST'))
        return reply(200, JSON.stringify({ data: [{ url: `${server.url}/made.png` }], usage: { input_tokens: 5, output_tokens: 9 } }))(socket, request);
      socket.write(`HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: ${png.length}\r\n\r\n`);
      socket.write(png);
    });
    const result = await openai().image?.(imageRequest(), { signal: never });
    expect(result).toEqual({ images: [{ bytes: png }], usage: { images: 1, inputTokens: 5, outputTokens: 9 }, model: 'gpt-image-2' });
    expect(server.requests.map(({ line }) => line.split(' ', 2).join(' '))).toEqual(['POST /v1/images/generations', 'GET /made.png']);
    expect(server.requests[1]?.headers['authorization']).toBeUndefined();
  });

  it('asks again for a picture link that fails, never for the picture', async () => {
    const png = await redPng();
    let asked = 0;
    server.behave((socket, request) => {
      if (request.line.startsWith('POST')) reply(200, JSON.stringify({ data: [{ url: `${server.url}/made.png` }] }))(socket, request);
      else if (asked++ === 0) socket.destroy();
      else reply(200, png.toString('latin1'), { 'content-type': 'image/png' })(socket, request);
    });
    await openai().image?.(imageRequest(), { signal: never });
    expect(server.requests.map(({ line }) => line.slice(0, 4))).toEqual(['POST', 'GET ', 'GET ']);
  });

  it.each([
    ['words', { data: [{ text: 'I cannot draw that.' }] }, 'provider_refused'],
    ['an empty list', { data: [] }, 'provider_refused'],
    ['an error', { error: { message: 'slow down', code: 'rate_limit_exceeded' } }, 'provider_rate_limited'],
    ['an error with a status', { error: { message: 'busy', code: 503 } }, 'provider_unavailable'],
    ['a picture without bytes', { data: [{ b64_json: null }] }, 'provider_bad_response'],
  ])('reads %s in place of a picture as what it is', async (_name, body, code) => {
    server.behave(reply(200, JSON.stringify(body)));
    expect(await image(openai())).toMatchObject({ code, provider: { outcome: 'known' } });
    expect(server.requests).toHaveLength(1);
  });

  it('sends a multipart form with each picture under its own type', async () => {
    const pictures = [
      { bytes: Buffer.from('one'), mediaType: 'image/png' },
      { bytes: Buffer.from('two'), mediaType: 'image/webp' },
    ];
    await failure(Promise.resolve(openai().image?.(imageRequest({ pictures, parameters: { size: '1024x1024' } }), { signal: never })));
    const [request] = server.requests;
    expect(request?.line).toBe('POST /v1/images/edits HTTP/1.1');
    expect(request?.headers['content-type']).toMatch(/^multipart\/form-data; ?boundary=/);
    expect(request?.headers).not.toHaveProperty('accept-encoding');
    const body = request?.body.toString() ?? '';
    for (const piece of ['name="image[]"', 'image/png', 'image/webp', 'one', 'two', 'name="prompt"', 'a fox in the snow', 'name="size"'])
      expect(body).toContain(piece);
  });

  it('never shows the key that a provider repeats', async () => {
    server.behave(reply(400, JSON.stringify({ error: { message: `bad key ${API_KEY} and sk-proj-abcdefgh1234`, code: API_KEY } })));
    const error = await chat(openai());
    expect(JSON.stringify([error.message, error.detail, error.provider])).not.toMatch(/sk-(test|proj)/);
  });
});
