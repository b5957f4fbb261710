import { saveBlob } from '@fana/core/blobs/store.ts';
import { checkCall, type EndpointCall, type Finished } from '@fana/core/endpoints/endpoint.ts';
import { imageGenerations } from '@fana/core/endpoints/image-generations.ts';
import type { ImageOutput, StoredImage } from '@fana/core/jobs/job.ts';
import { createRegistry } from '@fana/core/providers/registry.ts';
import { testConfig } from '@fana/testkit/test-config.ts';
import { describe, expect, it } from 'vitest';
import { memoryDeps } from './memory-deps.ts';
import { failure } from './provider-requests.ts';

const deps = memoryDeps();
const providers = createRegistry(testConfig({ OPENAI_API_KEY: 'k', OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' }));
const parse = (body: Record<string, unknown>): Promise<EndpointCall> => imageGenerations.parse({ ...deps, providers }, 't', { prompt: 'a fox', ...body });
const check = async (body: Record<string, unknown>, registry = providers) => checkCall({ providers: registry }, await parse(body), undefined);

describe('the body of POST /v1/images/generations', () => {
  it('passes the prompt on as it came', async () => {
    const prompt = 'a\u0000 fox  e\u0301 \n';
    expect((await parse({ prompt })).input).toEqual({ text: prompt, images: [] });
  });

  it('takes null for what is not given', async () => {
    const nulls = Object.fromEntries(
      [
        'model',
        'n',
        'size',
        'quality',
        'style',
        'background',
        'moderation',
        'output_format',
        'output_compression',
        'partial_images',
        'stream',
        'response_format',
        'user',
        'safety_identifier',
        'complexity',
        'frame_count',
        'frame_duration_ms',
        'svg',
      ].map((name) => [name, null]),
    );
    expect(await parse(nulls)).toMatchObject({ model: 'image-default', parameters: {}, echo: { response_format: 'url' } });
  });

  it.each([
    [{ model: 'gpt-image-2' }, 'b64_json'],
    [{ model: 'chatgpt-image-latest' }, 'b64_json'],
    [{ model: 'dall-e-3' }, 'url'],
    [{ model: 'image-default' }, 'url'],
    [{}, 'url'],
    [{ model: 'gpt-image-2', response_format: 'url' }, 'url'],
    [{ model: 'dall-e-2', response_format: 'b64_json' }, 'b64_json'],
  ])('answers %o in %s', async (body, format) => {
    const { echo, parameters } = await parse(body);
    expect(echo).toEqual({ response_format: format });
    expect(parameters).toEqual({});
  });

  it.each([
    [{ prompt: undefined }, 'prompt'],
    [{ prompt: '' }, 'prompt'],
    [{ prompt: 5 }, 'prompt'],
    [{ prompt: 'x'.repeat(32_001) }, 'prompt'],
    [{ n: 0 }, 'n'],
    [{ n: 11 }, 'n'],
    [{ n: 1.5 }, 'n'],
    [{ n: '2' }, 'n'],
    [{ size: 'big' }, 'size'],
    [{ size: '0x16' }, 'size'],
    [{ size: 1024 }, 'size'],
    [{ quality: 'best' }, 'quality'],
    [{ style: 'noir' }, 'style'],
    [{ background: 'pink' }, 'background'],
    [{ moderation: 'high' }, 'moderation'],
    [{ output_format: 'bmp' }, 'output_format'],
    [{ output_compression: 101 }, 'output_compression'],
    [{ response_format: 'b64' }, 'response_format'],
    [{ partial_images: 4 }, 'partial_images'],
    [{ stream: 'yes' }, 'stream'],
    [{ user: 5 }, 'user'],
    [{ model: 5 }, 'model'],
  ])('refuses %o naming the field', async (body, param) => {
    expect(await failure(parse(body))).toMatchObject({ code: 'invalid_request', param });
  });

  it('takes a prompt of 32,000 characters', () => parse({ prompt: 'x'.repeat(32_000) }));

  it.each([
    [{ stream: true }, 'stream'],
    [{ partial_images: 2 }, 'partial_images'],
    [{ model: 'openai/flux.1', output_format: 'svg' }, 'output_format'],
  ])('refuses %o, which is not built yet', async (body, param) => {
    expect(await failure(parse(body))).toMatchObject({ code: 'unsupported_parameter', param });
  });
});

describe('what a model can do', () => {
  it.each([
    {
      model: 'gpt-image-2',
      n: 10,
      size: '1536x864',
      quality: 'high',
      style: 'vivid',
      background: 'transparent',
      moderation: 'low',
      output_format: 'webp',
      user: 'u',
    },
    { model: 'gpt-image-2', output_compression: 50, output_format: 'jpeg', safety_identifier: 's', stream: false, partial_images: 0 },
    { model: 'gpt-image-2.5-flare', quality: 'max' },
    { model: 'gpt-image-2.6-flare', output_format: 'gif', frame_count: 4, frame_duration_ms: 100, complexity: 'low' },
    { model: 'dall-e-3', n: 1, size: '1792x1024', quality: 'hd', style: 'natural', safety_identifier: 's' },
    { model: 'dall-e-2', n: 10, size: '256x256', user: 'u' },
    { model: 'image-default', n: 2, quality: 'standard' },
    { model: 'openai/flux.1', flavour: 'mint', svg: { model: 'x' }, output_format: 'gif' },
  ])('%o is taken', (body) => check(body));

  it.each([
    [{ model: 'gpt-image-2', flavour: 'mint' }, 'flavour'],
    [{ model: 'gpt-image-2', metadata: {} }, 'metadata'],
    [{ model: 'gpt-image-2', quality: 'max' }, 'quality'],
    [{ model: 'gpt-image-2', output_format: 'gif' }, 'output_format'],
    [{ model: 'gpt-image-2', frame_count: 4 }, 'frame_count'],
    [{ model: 'gpt-image-2.6-flare', svg: { model: 'x' } }, 'svg'],
    [{ model: 'gpt-image-1.5', size: '1536x864' }, 'size'],
    [{ model: 'dall-e-3', n: 2 }, 'n'],
    [{ model: 'dall-e-3', background: 'transparent' }, 'background'],
    [{ model: 'dall-e-3', output_compression: 50 }, 'output_compression'],
    [{ model: 'dall-e-2', style: 'vivid' }, 'style'],
    [{ model: 'image-default', constructor: 1 }, 'constructor'],
  ])('%o is refused by name', async (body, param) => {
    expect(await failure(check(body))).toMatchObject({ code: 'unsupported_parameter', param });
  });

  it.each([
    ['nothing', 'model_not_found'],
    ['gpt-4o', 'model_type_mismatch'],
    ['text-embedding-3-small', 'model_type_mismatch'],
  ])('%s is refused as %s', async (model, code) => {
    expect(await failure(check({ model }))).toMatchObject({ code, param: 'model' });
  });

  it('the simulated provider drops no field in silence either', async () => {
    const simulated = createRegistry(testConfig({}));
    await check({ model: 'gpt-image-2', n: 10, size: '64x64', user: 'u' }, simulated);
    expect(await failure(check({ model: 'gpt-image-2', flavour: 'mint' }, simulated))).toMatchObject({ code: 'unsupported_parameter', param: 'flavour' });
  });
});

describe('the reply', () => {
  const store = async (text: string, revisedPrompt?: string): Promise<StoredImage> => {
    const { id, bytes, sha256, expiresMs } = await saveBlob(deps, { tenant: 't', bytes: Buffer.from(text), mediaType: 'image/webp' });
    return { blobId: id, mediaType: 'image/webp', width: 64, height: 32, bytes, sha256, expiresMs, ...(revisedPrompt !== undefined && { revisedPrompt }) };
  };
  const finished = (output: ImageOutput, facts: Partial<Finished> = {}, parameters: Record<string, unknown> = {}, format = 'b64_json'): Finished => ({
    id: 'job_0000000000000000000000',
    createdMs: 1_000_000,
    finishedMs: 61_500_000,
    warnings: [],
    servedBy: { provider: 'openai', model: 'gpt-image-2' },
    ...facts,
    spec: { tenant: 't', model: 'gpt-image-2', type: 'image', parameters, metadata: {}, echo: { response_format: format } },
    output,
  });

  it('has the pictures in their order, and what is known of them', async () => {
    const output: ImageOutput = { kind: 'images', images: [await store('one'), await store('two')], background: 'opaque', quality: 'medium' };
    const usage = { inputTokens: 30, imageInputTokens: 10, outputTokens: 100, images: 2 };
    expect(await imageGenerations.present(deps, finished(output, { usage }, { background: 'auto', quality: 'auto', user: 'u' }))).toEqual({
      created: 61_500,
      data: [{ b64_json: Buffer.from('one').toString('base64') }, { b64_json: Buffer.from('two').toString('base64') }],
      background: 'opaque',
      output_format: 'webp',
      quality: 'medium',
      size: '64x32',
      safety_identifier: 'u',
      usage: { input_tokens: 30, input_tokens_details: { text_tokens: 20, image_tokens: 10 }, output_tokens: 100, total_tokens: 130 },
    });
  });

  it('leaves out what nobody said', async () => {
    const reply = await imageGenerations.present(deps, finished({ kind: 'images', images: [await store('one')] }, {}, { quality: 'auto' }));
    expect(Object.keys(reply).sort()).toEqual(['created', 'data', 'output_format', 'size']);
  });

  it('of DALL·E is as it always was', async () => {
    const output: ImageOutput = { kind: 'images', images: [await store('one', 'a red fox')] };
    const reply = await imageGenerations.present(deps, finished(output, { servedBy: { provider: 'openai', model: 'dall-e-3' } }, { quality: 'hd' }, 'url'));
    expect(reply).toEqual({
      created: 61_500,
      data: [{ url: expect.stringMatching(/\/v1\/blobs\/blob_\w{22}\?expires=\d+&sig=[0-9a-f]{64}$/), revised_prompt: 'a red fox' }],
    });
  });

  it('whose bytes are gone says so', async () => {
    const image = await store('one');
    deps.files.clear();
    expect(await failure(imageGenerations.present(deps, finished({ kind: 'images', images: [image] })))).toMatchObject({ code: 'not_found' });
  });
});
