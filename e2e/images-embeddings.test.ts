import { LLMock } from '@copilotkit/aimock';
import OpenAI, { toFile } from 'openai';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ADMIN_KEY, type Installation, startInstallation } from './support/installation.ts';
import { type PictureUpstream, startPictureUpstream } from './support/picture-upstream.ts';

const clientOf = (fana: Installation, prefix = '/v1'): OpenAI => new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${fana.url}${prefix}`, maxRetries: 0 });
const square = (background: string, size = 32): Promise<Buffer> =>
  sharp({ create: { width: size, height: size, channels: 4, background } })
    .png()
    .toBuffer();

describe('pictures, against an upstream that counts them', () => {
  let upstream: PictureUpstream;
  let fana: Installation;
  let client: OpenAI;
  beforeAll(async () => {
    upstream = await startPictureUpstream();
    fana = await startInstallation({ env: upstream.env });
    client = clientOf(fana);
  });
  beforeEach(() => void upstream.calls.splice(0));
  afterAll(async () => {
    await fana.stop();
    await upstream.stop();
  });

  it('are made with one call, all parameters in the words of the model, and told of as OpenAI does', async () => {
    const made = await client.images.generate({
      model: 'gpt-image-2',
      prompt: '  a fox \n',
      n: 3,
      size: '1024x1024',
      quality: 'hd',
      background: 'opaque',
      moderation: 'low',
      output_format: 'webp',
      output_compression: 80,
      user: 'u-1',
      safety_identifier: 's-1',
    });
    expect(upstream.calls).toEqual([
      {
        path: '/v1/images/generations',
        form: [],
        json: {
          model: 'gpt-image-2',
          prompt: '  a fox \n',
          n: 3,
          size: '1024x1024',
          quality: 'high',
          background: 'opaque',
          moderation: 'low',
          output_format: 'webp',
          output_compression: 80,
          user: 'u-1',
          safety_identifier: 's-1',
        },
      },
    ]);
    expect(new Set(made.data?.map(({ b64_json }) => b64_json)).size).toBe(3);
    expect(made).toMatchObject({
      created: expect.any(Number),
      background: 'opaque',
      quality: 'medium',
      size: '32x16',
      output_format: 'png',
      usage: { input_tokens: 12, input_tokens_details: { text_tokens: 12, image_tokens: 0 }, output_tokens: 300, total_tokens: 312 },
    });
    expect(Math.abs(made.created - Date.now() / 1000)).toBeLessThan(120);
  });

  it.each([
    ['gpt-image-2', undefined, 'b64_json'],
    ['gpt-image-2', 'url', 'url'],
    ['dall-e-3', undefined, 'url'],
    ['dall-e-3', 'b64_json', 'b64_json'],
    ['image-default', undefined, 'url'],
    ['image-default', 'b64_json', 'b64_json'],
  ] as const)('of %s with response_format %s come as %s', async (model, response_format, format) => {
    const made = await client.images.generate({ model, prompt: 'a fox', ...(response_format && { response_format }) });
    const [image] = made.data ?? [];
    expect(Object.keys(image ?? {})).toEqual([format]);
    const bytes = image?.url === undefined ? Buffer.from(image?.b64_json ?? '', 'base64') : Buffer.from(await (await fetch(image.url)).arrayBuffer());
    expect(await sharp(bytes).metadata()).toMatchObject({ width: 32, height: 16, format: 'png' });
  });

  it.each([
    [{ n: 0 }, 'n', 'invalid_request'],
    [{ n: 11 }, 'n', 'invalid_request'],
    [{ size: 'big' }, 'size', 'invalid_request'],
    [{ prompt: '' }, 'prompt', 'invalid_request'],
    [{ prompt: 'x'.repeat(32_001) }, 'prompt', 'invalid_request'],
    [{ flavour: 'mint' }, 'flavour', 'unsupported_parameter'],
    [{ model: 'dall-e-3', n: 2 }, 'n', 'unsupported_parameter'],
    [{ model: 'gpt-4o' }, 'model', 'model_type_mismatch'],
  ])('that cannot be made (%o) are refused with the name of the field, before any call', async (change, param, code) => {
    const refused = client.images.generate({ model: 'gpt-image-2', prompt: 'a fox', ...change });
    const error = await refused.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ status: 400, param, code });
    expect(upstream.calls).toEqual([]);
  });

  it('are edited: one or several, with a mask, byte by byte as they were sent', async () => {
    const [red, blue, mask] = await Promise.all([square('#ff0000'), square('#0000ff'), square('#00000000')]);
    const file = (bytes: Buffer, name: string) => toFile(bytes, name, { type: 'image/png' });
    const one = await client.images.edit({ model: 'gpt-image-2', image: await file(red, 'red.png'), prompt: 'snow', n: 2, response_format: 'url' });
    expect(one.data?.map((image) => Object.keys(image))).toEqual([['url'], ['url']]);
    const many = await client.images.edit({
      model: 'gpt-image-2',
      image: [await file(red, 'red.png'), await file(blue, 'blue.png')],
      mask: await file(mask, 'mask.png'),
      prompt: 'snow',
      size: '1024x1024',
      quality: 'low',
      background: 'opaque',
      output_format: 'jpeg',
    });
    expect(many.data?.map((image) => Object.keys(image))).toEqual([['b64_json']]);
    const [first, second] = upstream.calls.map(({ path, form }) => ({
      path,
      form: form.map(([name, sent]) => [name, typeof sent === 'string' ? sent : sent.bytes]),
    }));
    expect(first?.path).toBe('/v1/images/edits');
    expect(Object.fromEntries(first?.form ?? [])).toEqual({ model: 'gpt-image-2', prompt: 'snow', n: '2', image: red });
    expect(second?.form.filter(([name]) => name === 'image[]').map(([, bytes]) => bytes)).toEqual([red, blue]);
    expect(Object.fromEntries(second?.form.filter(([name]) => name !== 'image[]') ?? [])).toEqual({
      model: 'gpt-image-2',
      prompt: 'snow',
      size: '1024x1024',
      quality: 'low',
      background: 'opaque',
      output_format: 'jpeg',
      mask,
    });
    expect(upstream.calls).toHaveLength(2);
  });

  it('that cannot be edited are refused before any call', async () => {
    const edit = async (image: Buffer, more: { mask?: Buffer; model?: string } = {}) =>
      client.images
        .edit({
          model: more.model ?? 'gpt-image-2',
          prompt: 'snow',
          image: await toFile(image, 'a.png', { type: 'image/png' }),
          ...(more.mask && { mask: await toFile(more.mask, 'mask.png', { type: 'image/png' }) }),
        })
        .catch((thrown: unknown) => thrown);
    const red = await square('#ff0000');
    expect(await edit(Buffer.from('no picture'))).toMatchObject({ status: 400, code: 'image_unreadable', param: 'image' });
    expect(await edit(red.subarray(0, 60))).toMatchObject({ status: 400, code: 'image_unreadable', param: 'image' });
    expect(await edit(red, { mask: await square('#00000000', 16) })).toMatchObject({ status: 400, code: 'invalid_request', param: 'mask' });
    expect(await edit(red, { model: 'dall-e-3' })).toMatchObject({ status: 400, param: 'model' });
    expect(upstream.calls).toEqual([]);
  });
});

describe('embeddings and models', () => {
  let upstream: LLMock;
  let fana: Installation;
  let client: OpenAI;
  beforeAll(async () => {
    // Without fixtures it makes a vector of each text from its hash.
    upstream = new LLMock({ port: 0, host: '127.0.0.1' });
    await upstream.start();
    const env = { GROQ_API_KEY: 'test-groq', GROQ_BASE_URL: upstream.url, OPENAI_API_KEY: 'test-openai', OPENAI_BASE_URL: `${upstream.url}/v1` };
    fana = await startInstallation({ env });
    client = clientOf(fana);
  });
  afterAll(async () => {
    await fana.stop();
    await upstream.stop();
  });

  it('are one job and one call, the same in numbers and in base64, in the order of the texts', async () => {
    const input = ['a fox', 'the sea', 'a fox'];
    const { data: decoded, response } = await client.embeddings.create({ model: 'text-embedding-3-small', input, dimensions: 64, user: 'u' }).withResponse();
    const numbers = await client.embeddings.create({ model: 'text-embedding-3-small', input, dimensions: 64, encoding_format: 'float' });
    expect(decoded.data.map(({ index, object }) => [index, object])).toEqual([
      [0, 'embedding'],
      [1, 'embedding'],
      [2, 'embedding'],
    ]);
    expect(numbers.data.map(({ embedding }) => embedding)).toEqual(decoded.data.map(({ embedding }) => Array.from(embedding)));
    expect(decoded.data[0]?.embedding).toEqual(decoded.data[2]?.embedding);
    expect(decoded.data[0]?.embedding).not.toEqual(decoded.data[1]?.embedding);
    expect(decoded).toMatchObject({
      object: 'list',
      model: 'text-embedding-3-small',
      usage: { prompt_tokens: expect.any(Number), total_tokens: expect.any(Number) },
    });
    expect(decoded.usage.total_tokens).toBe(decoded.usage.prompt_tokens);
    const calls = upstream.getRequests().filter(({ path }) => path === '/v1/embeddings');
    expect(calls).toHaveLength(2);
    // aimock keeps the texts of a call in its own words.
    expect(calls[0]?.body).toMatchObject({ model: 'text-embedding-3-small', embeddingInput: input.join(' ') });
    const id = response.headers.get('x-fana-job-id') ?? '';
    const job = await fana.job(id);
    expect(job).toMatchObject({ type: 'embedding', status: 'completed', output: { embeddings: { count: 3, dimensions: decoded.data[0]?.embedding.length } } });
    const listed = (await (await fana.request('/v1/jobs?type=embedding')).json()) as { data: { id: string }[] };
    expect(listed.data.map((one) => one.id)).toContain(id);
    expect((await fana.request('/v1/jobs', { body: { type: 'embedding', input: 'a' } })).status).toBe(400);
  });

  it('of many texts are kept in a blob and told of in a line', async () => {
    const input = Array.from({ length: 500 }, (_, at) => `text number ${at}`);
    const { data, response } = await client.embeddings.create({ model: 'embedding-default', input }).withResponse();
    expect(data.data.map(({ index }) => index)).toEqual(input.map((_, at) => at));
    const native = await (await fana.request(`/v1/jobs/${response.headers.get('x-fana-job-id')}`)).text();
    expect(native.length).toBeLessThan(5000);
    const { blob_id: blobId } = JSON.parse(native).output.embeddings;
    const blob = (await (await fana.request(`/v1/blobs/${blobId}`)).json()) as { vectors: string[] };
    expect(blob.vectors).toHaveLength(500);
  });

  it('that cannot be made are refused with the name of the field', async () => {
    const before = upstream.getRequests().length;
    for (const [change, param] of [
      [{ input: '' }, 'input'],
      [{ input: [] }, 'input'],
      [{ input: Array.from({ length: 2049 }, () => 'a') }, 'input'],
      [{ dimensions: 5000 }, 'dimensions'],
      [{ flavour: 'mint' }, 'flavour'],
    ] as const) {
      const refused = client.embeddings.create({ model: 'text-embedding-3-small', input: 'a', ...(change as object) });
      await expect(refused).rejects.toMatchObject({ status: 400, param });
    }
    expect(upstream.getRequests()).toHaveLength(before);
  });

  it.each(['/v1', '/openai/v1'])('models under %s are listed to the end, found, and not deleted', async (prefix) => {
    const { models } = clientOf(fana, prefix);
    const ids: string[] = [];
    for await (const model of models.list()) ids.push(model.id);
    expect(ids).toEqual(expect.arrayContaining(['image-default', 'embedding-default', 'gpt-image-2', 'openai/gpt-oss-120b']));
    expect(await models.retrieve('gpt-4o')).toMatchObject({ id: 'gpt-4o', object: 'model', owned_by: 'openai', shutdown_date: '2027-01-14' });
    expect(await models.retrieve('openai/gpt-oss-120b')).toMatchObject({ owned_by: 'groq', shutdown_date: null });
    await expect(models.retrieve('nothing')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(models.delete('gpt-4o')).rejects.toMatchObject({ status: 405 });
  });
});

it('without a key vectors are simulated, as long as those of the model, near for like texts, and reply and job say so', async () => {
  const fana = await startInstallation();
  try {
    const { data, response } = await clientOf(fana)
      .embeddings.create({ model: 'text-embedding-3-large', input: ['a red fox in the snow', 'red foxes in snow', 'quarterly tax report'] })
      .withResponse();
    const [fox, foxes, tax] = data.data.map(({ embedding }) => embedding);
    const cosine = (a: number[] = [], b: number[] = []): number => a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
    expect(data.model).toBe('simulated-embedding');
    expect(fox).toHaveLength(3072);
    expect(cosine(fox, foxes)).toBeGreaterThan(cosine(fox, tax) + 0.2);
    expect((await fana.job(response.headers.get('x-fana-job-id') ?? '')).warnings).toEqual([expect.stringContaining('simulated')]);
  } finally {
    await fana.stop();
  }
});
