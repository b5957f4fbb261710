import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { readJob } from '@fana/core/jobs/store.ts';
import { TEST_ADMIN_KEY } from '@fana/testkit/test-config.ts';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestApp, type TestApp } from './test-app.ts';
import { testRoute } from './test-route.ts';

const PATH = '/v1/images/edits';
let app: TestApp;
let png: Buffer;
beforeAll(async () => {
  app = await startTestApp();
  png = await sharp({ create: { width: 64, height: 48, channels: 3, background: '#cc2222' } })
    .png()
    .toBuffer();
});
afterAll(() => app.stop());

testRoute(() => app, { method: 'POST', path: PATH, scope: 'jobs', body: {} });
testRoute(() => app, { method: 'POST', path: '/v1/images/generations', scope: 'jobs', body: {} });
testRoute(() => app, { method: 'POST', path: '/openai/v1/embeddings', scope: 'jobs', body: {} });

type Part = string | { bytes: Buffer; name?: string };
const formOf = (parts: [string, Part][]): FormData => {
  const form = new FormData();
  for (const [name, part] of parts) {
    if (typeof part === 'string') form.append(name, part);
    else form.append(name, new File([new Uint8Array(part.bytes)], part.name ?? 'a.png', { type: 'image/png' }));
  }
  return form;
};
/** No worker runs here: an accepted edit is answered with its job. */
const send = async (parts: [string, Part][], headers: Record<string, string> = {}) => {
  const response = await app.app.request(PATH, {
    method: 'POST',
    headers: { authorization: `Bearer ${TEST_ADMIN_KEY}`, prefer: 'respond-async', ...headers },
    body: formOf(parts),
  });
  // biome-ignore lint/suspicious/noExplicitAny: a test reads into replies whose shape is what it checks
  return { status: response.status, headers: response.headers, json: (await response.json()) as any };
};
const stored = async (): Promise<string[]> =>
  (await readdir(join(app.deps.config.dataDir, 'blobs'), { recursive: true, withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name);
const jobOf = async (id: string): Promise<JobRecord> => (await readJob(app.deps.redis, id)) ?? Promise.reject(new Error('no job'));

describe('a form', () => {
  test('becomes a job that owns its pictures, in their order', async () => {
    const other = await sharp(png).negate().png().toBuffer();
    const { status, json, headers } = await send([
      ['model', 'gpt-image-2'],
      ['image[]', { bytes: png }],
      ['prompt', 'snow'],
      ['image[]', { bytes: other }],
      ['mask', { bytes: png }],
      ['n', '2'],
    ]);
    expect(status).toBe(202);
    expect(headers.get('x-fana-job-id')).toBe(json.id);
    expect(json).toMatchObject({ type: 'image', status: 'queued', input_preview: 'snow' });
    const { spec } = await jobOf(json.id);
    expect(spec).toMatchObject({ endpoint: 'images.edits', parameters: { n: 2 }, echo: { response_format: 'b64_json' } });
    const refs = [...(spec.input?.images ?? []), spec.input?.mask];
    expect(refs).toHaveLength(3);
    const bytes = await Promise.all(refs.map((ref) => app.deps.blobs.read(ref?.kind === 'blob' ? ref.blobId : '')));
    expect(bytes).toEqual([png, other, png]);
    expect(spec.ownedBlobIds).toEqual(refs.map((ref) => ref?.kind === 'blob' && ref.blobId));
    await app.call(`/v1/jobs/${json.id}`, { method: 'DELETE' });
    expect(await stored()).toEqual([]);
  });

  test('is the same request whatever its boundary, and keeps its bytes once', async () => {
    const parts: [string, Part][] = [
      ['image', { bytes: png }],
      ['prompt', 'snow'],
    ];
    const first = await send(parts, { 'idempotency-key': 'edit-1' });
    const again = await send(parts, { 'idempotency-key': 'edit-1' });
    expect(again.json.id).toBe(first.json.id);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(await stored()).toHaveLength(1);
    const changed = await send(
      [
        ['image', { bytes: png }],
        ['prompt', 'rain'],
      ],
      { 'idempotency-key': 'edit-1' },
    );
    expect(changed.status).toBe(422);
    await app.call(`/v1/jobs/${first.json.id}`, { method: 'DELETE' });
  });

  const picture = (): Part => ({ bytes: png });
  const cases: [string, () => [string, Part][], number, string, string][] = [
    ['without a picture', () => [['prompt', 'x']], 400, 'invalid_request', 'image'],
    ['without a prompt', () => [['image', picture()]], 400, 'invalid_request', 'prompt'],
    [
      'with a picture as text',
      () => [
        ['image', 'x'],
        ['prompt', 'x'],
      ],
      400,
      'invalid_request',
      'image',
    ],
    [
      'with words for a picture',
      () => [
        ['image', { bytes: Buffer.from('no picture at all') }],
        ['prompt', 'x'],
      ],
      400,
      'image_unreadable',
      'image',
    ],
    [
      'with an empty picture',
      () => [
        ['image', { bytes: Buffer.alloc(0) }],
        ['prompt', 'x'],
      ],
      400,
      'image_unreadable',
      'image',
    ],
    [
      'with a drawing',
      () => [
        ['image', { bytes: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>') }],
        ['prompt', 'x'],
      ],
      400,
      'image_unreadable',
      'image',
    ],
    [
      'with a bad second picture',
      () => [
        ['image[]', picture()],
        ['image[]', { bytes: Buffer.from('nothing') }],
        ['prompt', 'x'],
      ],
      400,
      'image_unreadable',
      'image',
    ],
    [
      'with words for a mask',
      () => [
        ['image', picture()],
        ['mask', { bytes: Buffer.from('nothing') }],
        ['prompt', 'x'],
      ],
      400,
      'image_unreadable',
      'mask',
    ],
    [
      'with two masks',
      () => [
        ['image', picture()],
        ['mask', picture()],
        ['mask', picture()],
        ['prompt', 'x'],
      ],
      400,
      'invalid_request',
      'mask',
    ],
    ['with 17 pictures', () => [...Array.from({ length: 17 }, (): [string, Part] => ['image[]', picture()]), ['prompt', 'x']], 400, 'invalid_request', 'image'],
    [
      'with another file',
      () => [
        ['image', picture()],
        ['markup', picture()],
        ['prompt', 'x'],
      ],
      400,
      'unsupported_parameter',
      'markup',
    ],
    [
      'with n 11',
      () => [
        ['image', picture()],
        ['prompt', 'x'],
        ['n', '11'],
      ],
      400,
      'invalid_request',
      'n',
    ],
    [
      'with a field twice',
      () => [
        ['image', picture()],
        ['prompt', 'x'],
        ['prompt', 'y'],
      ],
      400,
      'invalid_request',
      'prompt',
    ],
    [
      'with an unknown field',
      () => [
        ['image', picture()],
        ['prompt', 'x'],
        ['flavour', 'mint'],
      ],
      400,
      'unsupported_parameter',
      'flavour',
    ],
    [
      'for dall-e-3',
      () => [
        ['image', picture()],
        ['prompt', 'x'],
        ['model', 'dall-e-3'],
      ],
      400,
      'model_type_mismatch',
      'model',
    ],
    [
      'with a picture over 50 MB',
      () => [
        ['prompt', 'x'],
        ['image', { bytes: Buffer.concat([png, randomBytes(50 * 1024 * 1024)]) }],
      ],
      413,
      'payload_too_large',
      'image',
    ],
  ];
  test.each(cases)('%s is refused, and leaves nothing behind', async (_what, parts, status, code, param) => {
    const refused = await send(parts());
    expect(refused).toMatchObject({ status, json: { error: { code, param } } });
    expect(await stored()).toEqual([]);
    expect(await app.deps.redis.keys('fana:blob*')).toEqual([]);
  });

  test('with a bad header is refused before its pictures are read', async () => {
    const { status, json } = await send(
      [
        ['image', picture()],
        ['prompt', 'x'],
      ],
      { 'idempotency-key': '' },
    );
    expect({ status, param: json.error.param }).toEqual({ status: 400, param: 'Idempotency-Key' });
    expect(await stored()).toEqual([]);
  });
});

test('JSON names its pictures', async () => {
  const body = { model: 'gpt-image-2', prompt: 'snow', images: [{ image_url: `data:image/png;base64,${png.toString('base64')}` }] };
  const { status, json } = await app.call(PATH, { body, headers: { prefer: 'respond-async' } });
  expect(status).toBe(202);
  expect((await jobOf(json.id)).spec.input).toMatchObject({ text: 'snow', images: [{ kind: 'blob' }] });
});

test.each(['/v1/images/edits', '/v1/images/generations', '/v1/embeddings'])('%s answers other methods with 405', async (path) => {
  const { status, headers } = await app.call(path);
  expect({ status, allow: headers.get('allow') }).toEqual({ status: 405, allow: 'POST' });
});
