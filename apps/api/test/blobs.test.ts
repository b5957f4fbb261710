import { signedBlobUrl } from '@fana/core/blobs/signed-url.ts';
import { saveBlob } from '@fana/core/blobs/store.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { blobRoutes } from '../src/routes/blobs.ts';
import { startTestApp, type TestApp } from './test-app.ts';
import { testRoute } from './test-route.ts';

let app: TestApp;
let key: string;
beforeAll(async () => {
  app = await startTestApp();
  ({ key } = await app.newKey({ tenant: 'acme' }));
});
afterAll(() => app.stop());

testRoute(() => app, { method: 'GET', path: '/v1/blobs/blob_0123456789abcdefghijkl', scope: 'jobs' });

const bytes = Buffer.from('89504e470d0a1a0a00ff', 'hex');
const save = (mediaType = 'image/png', content = bytes) => saveBlob(app.deps, { tenant: 'acme', bytes: content, mediaType });
const linkTo = (id: string, expiresMs = Date.now() + 60_000): string => {
  const url = new URL(signedBlobUrl(app.deps.config, id, expiresMs));
  return url.pathname + url.search;
};

describe('a blob', () => {
  test('comes with the key of its tenant, byte for byte', async () => {
    const { id, sha256 } = await save();
    const response = await app.app.request(`/v1/blobs/${id}`, { headers: { authorization: `Bearer ${key}` } });
    expect(response.status).toBe(200);
    expect(Buffer.from(await response.arrayBuffer())).toEqual(bytes);
    const { headers } = response;
    expect(headers.get('content-type')).toBe('image/png');
    expect(headers.get('content-length')).toBe('10');
    expect(headers.get('etag')).toBe(`"${sha256}"`);
    expect(headers.get('content-disposition')).toBeNull();
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  });

  test('comes by its signed link without a key', async () => {
    const { id } = await save();
    const reply = await app.call(linkTo(id), { key: '' });
    expect(reply.status).toBe(200);
    expect(reply.headers.get('cross-origin-resource-policy')).toBe('cross-origin');
  });

  test('of another tenant does not exist, exactly as one that never was', async () => {
    const { id } = await save();
    const other = await app.newKey({ tenant: 'other' });
    const [foreign, absent] = await Promise.all([
      app.call(`/v1/blobs/${id}`, { key: other.key }),
      app.call('/v1/blobs/blob_0123456789abcdefghijkl', { key: other.key }),
    ]);
    expect(foreign.status).toBe(404);
    expect(foreign.json.error).toEqual(absent.json.error);
    expect((await app.call(`/v1/blobs/${id}`, { key: other.key, method: 'HEAD' })).status).toBe(404);
  });

  test('answers HEAD with the headers alone and an unchanged one with 304', async () => {
    const { id, sha256 } = await save();
    const head = await app.call(`/v1/blobs/${id}`, { key, method: 'HEAD' });
    expect(head.status).toBe(200);
    expect(head.text).toBe('');
    expect(head.headers.get('content-length')).toBe('10');
    for (const tag of [`"${sha256}"`, `W/"${sha256}"`, `"other", "${sha256}"`, '*']) {
      const unchanged = await app.call(`/v1/blobs/${id}`, { key, headers: { 'if-none-match': tag } });
      expect(unchanged.status).toBe(304);
      expect(unchanged.text).toBe('');
    }
    expect((await app.call(`/v1/blobs/${id}`, { key, headers: { 'if-none-match': '"other"' } })).status).toBe(200);
  });

  test.each(['image/svg+xml', 'text/html', 'IMAGE/SVG+XML', 'application/pdf', 'application/octet-stream', 'text/plain', 'bad\r\ntype', ''])(
    'of type %j is only ever downloaded, in a sandbox',
    async (mediaType) => {
      const { id } = await save(mediaType, Buffer.from('<svg onload="alert(1)"/>'));
      for (const reply of [await app.call(`/v1/blobs/${id}`, { key }), await app.call(linkTo(id), { key: '' })]) {
        expect(reply.status).toBe(200);
        expect(reply.headers.get('content-disposition')).toBe(`attachment; filename="${id}"`);
        expect(reply.headers.get('content-security-policy')).toBe("sandbox; default-src 'none'");
      }
    },
  );

  test('that holds the input or result of a job comes with the key only', async () => {
    const { id } = await save('application/json', Buffer.from('{"text":"long"}'));
    expect((await app.call(`/v1/blobs/${id}`, { key })).json).toEqual({ text: 'long' });
    expect((await app.call(linkTo(id), { key: '' })).status).toBe(404);
  });

  test('whose bytes are gone answers 404', async () => {
    const { id } = await save();
    await app.deps.blobs.remove(id);
    expect((await app.call(`/v1/blobs/${id}`, { key })).status).toBe(404);
  });

  test.each(['blob_short', '..%2f..%2fetc%2fpasswd', '%00', 'job_0123456789abcdefghijkl'])('with the id %s does not exist', async (id) => {
    expect((await app.call(`/v1/blobs/${id}`, { key })).status).toBe(404);
  });
});

describe('redirect', () => {
  test('is for stores that give links: a folder serves the bytes itself', async () => {
    const { id } = await save();
    for (const path of [`/v1/blobs/${id}?redirect=true`, `/v1/blobs/${id}?redirect=false`]) expect((await app.call(path, { key })).status).toBe(200);
    expect((await app.call(`${linkTo(id)}&redirect=true`, { key: '' })).status).toBe(200);
  });

  test('leads to a link for an hour or for the rest of the life of the blob, and has what is no picture downloaded', async () => {
    const asked: unknown[] = [];
    const link = async (id: string, options: object): Promise<string> => {
      asked.push({ id, ...options });
      return 'https://store.example/there?sig=x';
    };
    const routes = blobRoutes({ ...app.deps, keys: app.deps.keys, blobs: { ...app.deps.blobs, link } });
    const picture = await save();
    const drawing = await save('image/svg+xml');
    for (const { id } of [picture, drawing]) {
      const response = await routes.request(`/${id}?${new URL(linkTo(id), 'http://x').searchParams}&redirect=true`);
      expect([response.status, response.headers.get('location')]).toEqual([302, 'https://store.example/there?sig=x']);
    }
    expect(asked).toEqual([
      { id: picture.id, expiresMs: expect.any(Number) },
      { id: drawing.id, expiresMs: expect.any(Number), disposition: expect.stringMatching(/^attachment/) },
    ]);
    for (const { expiresMs } of asked as { expiresMs: number }[]) expect(expiresMs).toBeLessThanOrEqual(Date.now() + 3_600_000);
  });

  test('is true or false', async () => {
    const { id } = await save();
    const { status, json } = await app.call(`/v1/blobs/${id}?redirect=maybe`, { key });
    expect([status, json.error.code, json.error.param]).toEqual([400, 'invalid_request', 'redirect']);
  });
});

describe('a signed link', () => {
  test('is refused after any change of its signature, time or id', async () => {
    const [{ id }, { id: otherId }] = [await save(), await save()];
    const link = linkTo(id);
    const sigAt = link.indexOf('sig=') + 4;
    const changed: string[] = [];
    for (let at = sigAt; at < link.length; at++) changed.push(`${link.slice(0, at)}${link[at] === '0' ? '1' : '0'}${link.slice(at + 1)}`);
    changed.push(
      link.replace(/expires=(\d+)/, (_, time) => `expires=${Number(time) + 1}`),
      link.replace(id, otherId),
    );
    changed.push(link.slice(0, -1), `${link}0`, link.toUpperCase().replace('/V1/BLOBS', '/v1/blobs').replace('EXPIRES', 'expires').replace('SIG', 'sig'));
    changed.push(link.slice(0, link.indexOf('&sig=')), `/v1/blobs/${id}?sig=`, `/v1/blobs/${id}?expires=9999999999`, link.replace('expires=', 'expires=%2B'));
    for (const path of changed) {
      const { status, json } = await app.call(path, { key: '' });
      expect([status, json.error.code]).toEqual([403, 'invalid_signature']);
    }
    expect((await app.call(link, { key: '' })).status).toBe(200);
  });

  test('that is wrong stays 403 beside a valid key', async () => {
    const { id } = await save();
    expect((await app.call(`${linkTo(id).slice(0, -1)}g`, { key })).status).toBe(403);
  });

  test('says so when its time has passed', async () => {
    const { id } = await save();
    const { status, json } = await app.call(linkTo(id, Date.now() - 1000), { key: '' });
    expect(status).toBe(403);
    expect(json.error.message).toContain('expired');
  });
});
