import { checkCall, type EndpointCall } from '@fana/core/endpoints/endpoint.ts';
import { formEditCall, imageEdits } from '@fana/core/endpoints/image-edits.ts';
import { saveFile } from '@fana/core/files/store.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import type { ImageRef } from '@fana/core/jobs/job.ts';
import { readJob } from '@fana/core/jobs/store.ts';
import { submitCall } from '@fana/core/jobs/submit.ts';
import { createRegistry } from '@fana/core/providers/registry.ts';
import { createSimulated } from '@fana/core/providers/simulated/create.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { testConfig } from '@fana/testkit/test-config.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failure, imageRequest, never, redPng } from './provider-requests.ts';

let redis: TestRedis;
let deps: TestDeps;
let dataUrl: string;
beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
  dataUrl = `data:image/png;base64,${(await redPng()).toString('base64')}`;
});
afterAll(async () => {
  await deps.close();
  await redis.stop();
});

const BLOB: ImageRef = { kind: 'blob', blobId: 'blob_0000000000000000000000' };
const providers = createRegistry(testConfig({ OPENAI_API_KEY: 'k', OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' }));
const form = (fields: Record<string, string> = {}, images: ImageRef[] = [BLOB]): EndpointCall =>
  formEditCall(new Map(Object.entries({ prompt: 'snow', ...fields })), { images, ownedBlobIds: ['blob_0000000000000000000000'] });
const thrown = async (make: () => unknown) => failure(Promise.resolve().then(make));

describe('a form', () => {
  it('is read field by field, numbers as numbers', () => {
    expect(form({ n: '3', output_compression: '50', stream: 'false', size: '1024x1024', quality: 'high', user: '7', model: 'gpt-image-2' })).toEqual({
      type: 'image',
      model: 'gpt-image-2',
      input: { text: 'snow', images: [BLOB] },
      parameters: { n: 3, output_compression: 50, size: '1024x1024', quality: 'high', user: '7' },
      echo: { response_format: 'b64_json' },
      metadata: {},
      ownedBlobIds: ['blob_0000000000000000000000'],
    });
  });

  it.each([
    [{ n: '0' }, 'n'],
    [{ n: '11' }, 'n'],
    [{ n: 'two' }, 'n'],
    [{ n: '' }, 'n'],
    [{ n: '1e1' }, 'n'],
    [{ size: 'big' }, 'size'],
    [{ prompt: '' }, 'prompt'],
    [{ input_fidelity: 'medium' }, 'input_fidelity'],
    [{ stream: 'yes' }, 'stream'],
    [{ response_format: 'file' }, 'response_format'],
  ])('with %o is refused naming the field', async (fields, param) => {
    expect(await thrown(() => form(fields))).toMatchObject({ code: 'invalid_request', param });
  });

  it('needs one picture and takes 16', async () => {
    expect(await thrown(() => form({}, []))).toMatchObject({ code: 'invalid_request', param: 'image' });
    expect(await thrown(() => form({}, Array(17).fill(BLOB)))).toMatchObject({ code: 'invalid_request', param: 'image' });
    expect(form({}, Array(16).fill(BLOB)).input.images).toHaveLength(16);
  });

  it.each([{ stream: 'true' }, { partial_images: '1' }, { output_format: 'svg' }])('with %o asks for what is not built', async (fields) => {
    expect(await thrown(() => form(fields))).toMatchObject({ code: 'unsupported_parameter', param: Object.keys(fields)[0] });
  });
});

describe('what a model can do', () => {
  const check = (fields: Record<string, string>, registry = providers) => checkCall({ providers: registry }, form(fields), undefined);
  it.each([
    { model: 'gpt-image-2', n: '2', background: 'opaque' },
    { model: 'gpt-image-1.5', input_fidelity: 'high' },
    { model: 'dall-e-2', size: '512x512' },
    { model: 'openai/flux.1', flavour: 'mint' },
    {},
  ])('%o is taken', (fields) => check(fields));

  it.each([
    [{ model: 'gpt-image-2', input_fidelity: 'high' }, 'input_fidelity'],
    [{ model: 'gpt-image-2', moderation: 'low' }, 'moderation'],
    [{ model: 'gpt-image-2', 'svg[model]': 'x' }, 'svg[model]'],
    [{ model: 'dall-e-2', quality: 'hd' }, 'quality'],
  ])('%o is refused by name', async (fields, param) => {
    expect(await thrown(() => check(fields))).toMatchObject({ code: 'unsupported_parameter', param });
  });

  it('dall-e-3 edits nothing, in a demo neither', async () => {
    for (const registry of [providers, createRegistry(testConfig({}))]) {
      expect(await thrown(() => check({ model: 'dall-e-3' }, registry))).toMatchObject({ code: 'model_type_mismatch', param: 'model' });
    }
  });
});

describe('the JSON form', () => {
  const parse = (body: Record<string, unknown>) => imageEdits.parse(deps, 't', { prompt: 'snow', ...body });

  it('names its pictures by URL, data URL or file', async () => {
    const source = (async function* () {
      yield await redPng();
    })();
    const file = await saveFile(deps, { tenant: 't', filename: 'a.png', purpose: 'vision', source });
    const { input } = await parse({
      images: [{ image_url: 'https://example.com/a.png' }, { image_url: dataUrl }, { file_id: file.id }],
      mask: { image_url: dataUrl },
    });
    expect(input).toEqual({
      text: 'snow',
      images: [
        { kind: 'url', url: 'https://example.com/a.png' },
        { kind: 'data', url: dataUrl },
        { kind: 'blob', blobId: file.blobId },
      ],
      mask: { kind: 'data', url: dataUrl },
    });
    expect(await failure(imageEdits.parse(deps, 'other', { prompt: 'snow', images: [{ file_id: file.id }] }))).toMatchObject({ code: 'not_found' });
  });

  it.each([
    [{}, 'invalid_request', 'images'],
    [{ images: [] }, 'invalid_request', 'images'],
    [{ images: 'a' }, 'invalid_request', 'images'],
    [{ images: [{}] }, 'invalid_request', 'images.0'],
    [{ images: [{ image_url: 'ftp://x' }] }, 'invalid_request', 'images.0.image_url'],
    [{ images: [{ image_url: 'data:image/png;base64,***' }] }, 'invalid_request', 'images.0.image_url'],
    [{ images: [{ image_url: `data:image/png;base64,${Buffer.from('no picture').toString('base64')}` }] }, 'image_unreadable', 'images.0.image_url'],
    [{ images: [{ file_id: 'file_nothing' }] }, 'not_found', 'images.0.file_id'],
    [{ images: [{ image_url: 'https://x.example/a.png', file_id: 'b' }] }, 'invalid_request', 'images.0'],
  ])('%o is refused as %s', async (body, code, param) => {
    expect(await failure(parse(body))).toMatchObject({ code, param });
  });

  it('leaves no bytes in the record: pictures and mask become blobs that the job owns', async () => {
    const call = await parse({ images: [{ image_url: dataUrl }], mask: { image_url: dataUrl } });
    const { job } = await submitCall(deps, createAcceptor(deps), { tenant: 't', keyId: 'k', requestsPerMinute: 0 }, call, {
      endpoint: 'images.edits',
      rawBody: '',
    });
    const spec = (await readJob(deps.redis, job.id))?.spec;
    expect(spec?.input).toMatchObject({ images: [{ kind: 'blob' }], mask: { kind: 'blob' } });
    expect(spec?.ownedBlobIds).toHaveLength(2);
    expect(await deps.redis.hget(`fana:job:${job.id}`, 'spec')).not.toContain('base64');
    for (const id of spec?.ownedBlobIds ?? []) expect(await deps.blobs.read(id)).toEqual(await redPng());
  });
});

it('the simulated provider edits only where the mask is open', async () => {
  const { image } = createSimulated();
  const mask = await sharp({ create: { width: 64, height: 48, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 1 } } })
    .composite([{ input: { create: { width: 32, height: 48, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 1 } } }, left: 0, top: 0, blend: 'dest-out' }])
    .png()
    .toBuffer();
  const pictures = [{ bytes: await redPng(), mediaType: 'image/png' }];
  const made = await image?.(imageRequest({ prompt: '', pictures, mask: { bytes: mask, mediaType: 'image/png' } }), { signal: never });
  const pixelAt = async (bytes: Buffer | undefined, left: number): Promise<number[]> => [
    ...(await sharp(bytes).extract({ left, top: 4, width: 1, height: 1 }).removeAlpha().raw().toBuffer()),
  ];
  const bytes = made?.images[0]?.bytes;
  expect(await pixelAt(bytes, 56)).toEqual(await pixelAt(await redPng(), 56));
  expect(await pixelAt(bytes, 8)).not.toEqual(await pixelAt(await redPng(), 8));
});
