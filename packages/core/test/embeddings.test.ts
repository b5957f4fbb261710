import { embeddings } from '@fana/core/endpoints/embeddings.ts';
import { checkCall, type EndpointCall, type Finished } from '@fana/core/endpoints/endpoint.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import type { EmbeddingOutput } from '@fana/core/jobs/job.ts';
import { presentJob } from '@fana/core/jobs/present.ts';
import { readJob } from '@fana/core/jobs/store.ts';
import { submitCall, submitJob } from '@fana/core/jobs/submit.ts';
import { createOpenai } from '@fana/core/providers/openai/create.ts';
import { createRegistry } from '@fana/core/providers/registry.ts';
import { createSimulated } from '@fana/core/providers/simulated/create.ts';
import { createUpstream } from '@fana/core/providers/upstream.ts';
import { encodeVector } from '@fana/core/providers/vector.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { testConfig } from '@fana/testkit/test-config.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type FaultServer, reply, startFaultServer } from './fault-server.ts';
import { failure, never } from './provider-requests.ts';

const SUBMITTER = { tenant: 't', keyId: 'k', requestsPerMinute: 0 };
let redis: TestRedis;
let deps: TestDeps;
beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
});
afterAll(async () => {
  await deps.close();
  await redis.stop();
});

const parse = (body: Record<string, unknown>): Promise<EndpointCall> => embeddings.parse(deps, 't', { model: 'text-embedding-3-small', ...body });

describe('the body of POST /v1/embeddings', () => {
  it.each([
    ['a fox', ['a fox']],
    [
      ['a', 'b'],
      ['a', 'b'],
    ],
    [[1, 2, 3], [[1, 2, 3]]],
    [
      [[1], [2, 3]],
      [[1], [2, 3]],
    ],
    [' ', [' ']],
  ])('takes %j as %j', async (input, texts) => {
    expect((await parse({ input })).input.texts).toEqual(texts);
  });

  it('keeps how the vectors are wanted for the reply, and everything else for the provider', async () => {
    const call = await parse({ input: 'a', encoding_format: 'base64', dimensions: 8, user: 'u', flavour: 'mint', extra: null });
    expect(call).toMatchObject({ type: 'embedding', model: 'text-embedding-3-small', echo: { encoding_format: 'base64' } });
    expect(call.parameters).toEqual({ dimensions: 8, user: 'u', flavour: 'mint' });
  });

  it.each([
    [{}, 'input'],
    [{ input: '' }, 'input'],
    [{ input: [] }, 'input'],
    [{ input: ['a', ''] }, 'input.1'],
    [{ input: ['a', 1] }, 'input.1'],
    [{ input: [1, 'a'] }, 'input.1'],
    [{ input: [[1], []] }, 'input.1'],
    [{ input: [[1], [1.5]] }, 'input.1.0'],
    [{ input: [-1] }, 'input.0'],
    [{ input: { text: 'a' } }, 'input'],
    [{ input: [null] }, 'input.0'],
    [{ input: Array.from({ length: 2049 }, () => 'a') }, 'input'],
    [{ input: 'a', encoding_format: 'int8' }, 'encoding_format'],
    [{ input: 'a', dimensions: 0 }, 'dimensions'],
    [{ input: 'a', dimensions: '8' }, 'dimensions'],
    [{ input: 'a', model: 5 }, 'model'],
    [{ input: 'a', user: 5 }, 'user'],
  ])('refuses %o naming the field', async (body, param) => {
    expect(await failure(parse(body))).toMatchObject({ code: 'invalid_request', param });
  });

  it('takes 2048 texts', async () => {
    expect((await parse({ input: Array.from({ length: 2048 }, () => 'a') })).input.texts).toHaveLength(2048);
  });
});

describe('what a model can do', () => {
  const registry = (baseUrl?: string) => createRegistry(testConfig({ OPENAI_API_KEY: 'k', ...(baseUrl && { OPENAI_BASE_URL: baseUrl }) }));
  const check = async (model: string, body: Record<string, unknown>, providers = registry()) =>
    checkCall({ providers }, await parse({ model, input: 'a', ...body }), undefined);

  it.each([
    ['text-embedding-3-small', { dimensions: 1536, user: 'u' }],
    ['text-embedding-3-large', { dimensions: 3072 }],
    ['text-embedding-ada-002', { dimensions: 1536 }],
    ['embedding-default', { dimensions: 1 }],
  ])('%s takes %o', (model, body) => check(model, body));

  it.each([
    ['text-embedding-3-small', { dimensions: 1537 }, 'dimensions'],
    ['text-embedding-ada-002', { dimensions: 256 }, 'dimensions'],
    ['text-embedding-3-small', { flavour: 'mint' }, 'flavour'],
    ['text-embedding-3-small', { constructor: 'mint' }, 'constructor'],
  ])('%s refuses %o by its name', async (model, body, param) => {
    expect(await failure(check(model, body))).toMatchObject({ code: 'unsupported_parameter', param });
  });

  it('a server of the operator gets every field', () => check('openai/bge-m3', { flavour: 'mint' }, registry('http://127.0.0.1:1/v1')));

  it.each(['gpt-4o', 'gpt-image-2', 'chat-default'])('%s makes no vectors', async (model) => {
    expect(await failure(check(model, {}))).toMatchObject({ code: 'model_type_mismatch', param: 'model' });
  });

  it('a price has no part for output', () => {
    expect(registry().costUsd('openai', 'text-embedding-3-small', { inputTokens: 1_000_000, outputTokens: 0 })).toBeCloseTo(0.02);
    expect(registry().costUsd('openai', 'text-embedding-3-small', {})).toBeUndefined();
  });
});

describe('an embedding job', () => {
  it('comes by its own route alone', async () => {
    const acceptor = createAcceptor(deps);
    const submit = (body: unknown) => submitJob(deps, acceptor, SUBMITTER, body, { rawBody: '' });
    expect(await failure(submit({ type: 'embedding', input: 'a' }))).toMatchObject({ code: 'invalid_request', param: 'type', message: /\/v1\/embeddings/ });
    expect(await failure(submit({ model: 'embedding-default', input: 'a' }))).toMatchObject({ code: 'model_type_mismatch', param: 'model' });
  });

  it('keeps its texts in the record, and long ones in a blob', async () => {
    const accept = async (input: unknown) => {
      const call = await parse({ input });
      const { job } = await submitCall(deps, createAcceptor(deps), SUBMITTER, call, { endpoint: 'embeddings', rawBody: '' });
      return (await readJob(deps.redis, job.id))?.spec;
    };
    expect(await accept(['a fox', 'b'])).toMatchObject({ type: 'embedding', inputPreview: 'a fox', input: { texts: ['a fox', 'b'] } });
    const long = await accept(Array.from({ length: 2000 }, (_, at) => `text ${at}`));
    expect(long?.input).toBeUndefined();
    expect(JSON.parse((await deps.blobs.read(long?.inputBlobId ?? '')).toString()).texts).toHaveLength(2000);
  });

  it('shows a long result as its numbers and its blob', async () => {
    const call = await parse({ input: 'a' });
    const { job } = await submitCall(deps, createAcceptor(deps), SUBMITTER, call, { endpoint: 'embeddings', rawBody: '' });
    const output: EmbeddingOutput = { kind: 'embeddings', count: 1, dimensions: 2, vectors: [encodeVector(Float32Array.of(1, 2))] };
    expect((await presentJob(deps, { ...job, output })).output).toEqual({
      embeddings: { count: 1, dimensions: 2, encoding: 'base64_float32', vectors: ['AACAPwAAAEA='], blob_id: null },
    });
    const long = { ...job, output: { ...output, count: 2048, vectors: [] }, outputBlobId: 'blob_0000000000000000000000' };
    expect((await presentJob(deps, long)).output).toMatchObject({ embeddings: { count: 2048, vectors: null, blob_id: 'blob_0000000000000000000000' } });
  });
});

describe('the reply', () => {
  const finished = (echo: Record<string, unknown>): Finished => ({
    id: 'job_0000000000000000000000',
    createdMs: 0,
    warnings: [],
    usage: { inputTokens: 7, outputTokens: 0 },
    servedBy: { provider: 'openai', model: 'text-embedding-3-small' },
    spec: { tenant: 't', model: 'embedding-default', type: 'embedding', parameters: {}, metadata: {}, echo },
    output: { kind: 'embeddings', count: 2, dimensions: 2, vectors: [Float32Array.of(0.5, -1), Float32Array.of(2, 3)].map(encodeVector) },
  });

  it('is that of OpenAI, in numbers or base64', async () => {
    expect(await embeddings.present(deps, finished({ encoding_format: 'float' }))).toEqual({
      object: 'list',
      data: [
        { object: 'embedding', index: 0, embedding: [0.5, -1] },
        { object: 'embedding', index: 1, embedding: [2, 3] },
      ],
      model: 'text-embedding-3-small',
      usage: { prompt_tokens: 7, total_tokens: 7 },
    });
    expect(await embeddings.present(deps, finished({ encoding_format: 'base64' }))).toMatchObject({
      data: [{ embedding: encodeVector(Float32Array.of(0.5, -1)) }, { embedding: encodeVector(Float32Array.of(2, 3)) }],
    });
  });
});

describe('the provider call', () => {
  let server: FaultServer;
  afterEach(() => server.stop());
  const embed = async (answer: unknown, model = 'text-embedding-3-small', inputs: string[] = ['a', 'b']) => {
    server = await startFaultServer(reply(200, JSON.stringify(answer)));
    const provider = createOpenai({ apiKey: 'k', baseUrl: `${server.url}/v1` }, createUpstream());
    if (!provider.embed) throw new Error('no embed');
    return provider.embed({ model, inputs, parameters: { dimensions: 2 } }, { signal: never });
  };
  const sent = (): unknown => JSON.parse(server.requests[0]?.body.toString() ?? '');
  const row = (index: number, ...numbers: number[]) => ({ object: 'embedding', index, embedding: encodeVector(Float32Array.from(numbers)) });
  const usage = { prompt_tokens: 5, total_tokens: 5 };

  it('asks once, in base64, and puts the vectors in the order of the texts', async () => {
    const result = await embed({ object: 'list', data: [row(1, 3, 4), row(0, 1, 2)], model: 'text-embedding-3-small', usage });
    expect(result).toEqual({
      vectors: [Float32Array.of(1, 2), Float32Array.of(3, 4)],
      usage: { inputTokens: 5, outputTokens: 0 },
      model: 'text-embedding-3-small',
    });
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]).toMatchObject({ line: 'POST /v1/embeddings HTTP/1.1' });
    expect(sent()).toEqual({ model: 'text-embedding-3-small', input: ['a', 'b'], dimensions: 2, encoding_format: 'base64' });
  });

  it('asks a server of the operator for numbers, and takes them', async () => {
    const result = await embed({ data: [{ embedding: [1, 2] }, { embedding: [3, 4] }] }, 'bge-m3');
    expect(result).toEqual({ vectors: [Float32Array.of(1, 2), Float32Array.of(3, 4)], usage: {}, model: 'bge-m3' });
    expect(sent()).toMatchObject({ encoding_format: 'float' });
  });

  it.each([
    ['one too few', { data: [row(0, 1, 2)], usage }],
    ['the same one twice', { data: [row(0, 1, 2), row(0, 1, 2)], usage }],
    ['one that is beyond', { data: [row(0, 1, 2), row(7, 1, 2)], usage }],
    ['different lengths', { data: [row(0, 1, 2), row(1, 1)], usage }],
    ['words', { data: [row(0, 1, 2), { index: 1, embedding: '***' }], usage }],
    ['no numbers', { data: [row(0, 1, 2), { index: 1, embedding: ['a'] }], usage }],
    ['nothing', { usage }],
  ])('does not take %s for an answer', async (_what, answer) => {
    expect(await failure(embed(answer))).toMatchObject({ code: 'provider_bad_response', provider: { outcome: 'known' } });
  });

  it('reads an error in a reply of status 200', async () => {
    expect(await failure(embed({ error: { message: 'too long', code: 'context_length_exceeded' } }))).toMatchObject({ code: 'context_too_long' });
  });
});

describe('simulated vectors', () => {
  const { embed } = createSimulated();
  if (!embed) throw new Error('the simulated provider cannot do everything');
  const make = async (inputs: (string | number[])[], parameters: Record<string, unknown> = {}, model = 'simulated-embedding') =>
    (await embed({ model, inputs, parameters }, { signal: never })).vectors;
  const cosine = (a?: Float32Array, b?: Float32Array): number => (a ?? new Float32Array()).reduce((sum, value, at) => sum + value * (b?.[at] ?? 0), 0);

  it('have the length of the model asked for, or the one asked for, and are of length 1', async () => {
    for (const [parameters, model, length] of [
      [{}, 'text-embedding-3-large', 3072],
      [{}, 'embedding-default', 256],
      [{ dimensions: 7 }, 'text-embedding-3-small', 7],
    ] as const) {
      const vectors = await make(['a fox in the snow', '!!!', ' '], parameters, model);
      for (const vector of vectors) {
        expect(vector).toHaveLength(length);
        expect(cosine(vector, vector)).toBeCloseTo(1, 5);
      }
    }
  });

  it('are the same for the same text, near for texts that share words, and far for others', async () => {
    const [fox, again, near, far] = await make(['a red fox in the snow', 'a red fox in the snow', 'two red foxes in snow', 'quarterly tax report'], {
      dimensions: 1024,
    });
    expect(fox).toEqual(again);
    expect(cosine(fox, near)).toBeGreaterThan(0.4);
    expect(cosine(fox, far)).toBeLessThan(0.2);
  });

  it('take tokens too, and count them', async () => {
    const { vectors, usage } = await embed({ model: 'simulated-embedding', inputs: [[1, 2, 3], [4]], parameters: {} }, { signal: never });
    expect(vectors).toHaveLength(2);
    expect(usage).toEqual({ inputTokens: 4, outputTokens: 0 });
  });
});
