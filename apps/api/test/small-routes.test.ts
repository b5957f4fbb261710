import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VERSION } from '../src/version.ts';
import { startTestApp, type TestApp } from './test-app.ts';
import { testRoute } from './test-route.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp();
});
afterAll(() => app.stop());

describe('models', () => {
  testRoute(() => app, { method: 'GET', path: '/v1/models', scope: 'jobs' });
  testRoute(() => app, { method: 'GET', path: '/v1/models/chat-default', scope: 'jobs' });

  test('are listed in the shape of OpenAI, aliases too', async () => {
    const { json } = await app.call('/v1/models');
    expect(json.object).toBe('list');
    expect(json).toMatchObject({ first_id: json.data[0].id, last_id: json.data.at(-1).id, has_more: false });
    for (const model of json.data) {
      expect(model).toMatchObject({
        id: expect.any(String),
        object: 'model',
        created: expect.any(Number),
        owned_by: expect.any(String),
        types: expect.any(Array),
        shutdown_date: model.shutdown_date === null ? null : expect.stringMatching(/^\d{4}-\d{2}-\d{2}$/),
      });
    }
    const ids = json.data.map(({ id }: { id: string }) => id);
    expect(ids).toEqual(expect.arrayContaining(['chat-default', 'image-default', 'vision-default', 'embedding-default']));
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('are each found by their id, slashes as they are or encoded', async () => {
    const { json } = await app.call('/v1/models');
    for (const model of json.data) {
      expect((await app.call(`/v1/models/${model.id}`)).json).toEqual(model);
      expect((await app.call(`/v1/models/${encodeURIComponent(model.id)}`)).json).toEqual(model);
    }
    expect(json.data.some(({ id }: { id: string }) => id.includes('/'))).toBe(true);
  });

  test('answer under /openai/v1 too, tell when they end, and cannot be deleted', async () => {
    expect((await app.call('/openai/v1/models')).json).toEqual((await app.call('/v1/models')).json);
    expect((await app.call('/openai/v1/models/gpt-4o')).json).toMatchObject({ id: 'gpt-4o', shutdown_date: '2027-01-14', successor: 'gpt-6-luna' });
    expect((await app.call('/v1/models/image-default')).json).toMatchObject({ id: 'image-default', alias_of: 'simulated-image', shutdown_date: null });
    expect(await app.call('/v1/models/gpt-4o', { method: 'DELETE' })).toMatchObject({ status: 405, json: { error: { code: 'method_not_allowed' } } });
  });

  test.each(['nothing', 'a/b/c', '%', '%zz', '%00', 'a%2fb', '__proto__'])('that are unknown (%s) answer 404', async (id) => {
    const { status, json } = await app.call(`/v1/models/${id}`);
    expect(status).toBe(404);
    expect(json.error).toMatchObject({ code: 'not_found', param: 'model' });
  });
});

describe('the trigger', () => {
  const PATH = '/v1/triggers/classify';
  testRoute(() => app, { method: 'POST', path: PATH, scope: 'jobs', body: { text: 'hello' } });

  test('tells label, confidence, source, language and URLs of a message', async () => {
    const { status, json } = await app.call(PATH, {
      body: { text: 'What is on https://example.com/Photo.JPG?x=1 and in http://example.org/a.pdf or https://example.net/?' },
    });
    expect(status).toBe(200);
    expect(json).toEqual({
      label: 'vision',
      confidence: expect.any(Number),
      source: expect.stringMatching(/^(rules|model)$/),
      language: 'en',
      urls: [
        { url: 'https://example.com/Photo.JPG?x=1', kind: 'image' },
        { url: 'http://example.org/a.pdf', kind: 'document' },
        { url: 'https://example.net/', kind: 'page' },
      ],
    });
  });

  test('takes an attachment into account', async () => {
    expect((await app.call(PATH, { body: { text: 'What is this?', has_image: true } })).json.label).toBe('vision');
    expect((await app.call(PATH, { body: { text: '', has_image: true } })).status).toBe(200);
  });

  test.each([
    [{}, 'text'],
    [{ text: 5 }, 'text'],
    [{ text: '' }, 'text'],
    [{ text: ' \u0000\n' }, 'text'],
    [{ text: 'x'.repeat(1_000_001) }, 'text'],
    [{ text: 'x', has_image: 'yes' }, 'has_image'],
    [{ text: 'x', images: [] }, 'images'],
  ])('refuses a bad body by name', async (body, param) => {
    const { status, json } = await app.call(PATH, { body });
    expect(status).toBe(400);
    expect(json.error).toMatchObject({ code: 'invalid_request', param });
  });
});

describe('webhook secret', () => {
  const PATH = '/v1/webhook_endpoints/default/secret';
  testRoute(() => app, { method: 'GET', path: PATH, scope: 'webhooks' });

  test('stays the same for a tenant and differs between tenants', async () => {
    const [a, b] = [await app.newKey({ tenant: 'secret-a' }), await app.newKey({ tenant: 'secret-b' })];
    const [first, again, other] = [await app.call(PATH, { key: a.key }), await app.call(PATH, { key: a.key }), await app.call(PATH, { key: b.key })];
    expect(first.json).toEqual({ object: 'webhook_secret', secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/) });
    expect(again.json).toEqual(first.json);
    expect(other.json.secret).not.toBe(first.json.secret);
  });
});

describe('errors', () => {
  test.each([
    ['PUT', '/healthz', 'HEAD, GET'],
    ['POST', '/', 'HEAD, GET'],
    ['DELETE', '/v1/models', 'HEAD, GET'],
    ['DELETE', '/v1/models/chat-default', 'HEAD, GET'],
    ['GET', '/v1/triggers/classify', 'POST'],
    ['PUT', '/v1/admin/keys', 'HEAD, GET, POST'],
    ['PUT', '/v1/admin/keys/key_x', 'HEAD, GET, POST, PATCH, DELETE'],
    ['GET', '/v1/admin/keys/key_x/revoke', 'POST'],
    ['PATCH', '/v1/blobs/blob_x', 'HEAD, GET'],
    ['POST', '/v1/webhook_endpoints/default/secret', 'HEAD, GET'],
  ])('%s %s answers 405 with what is allowed', async (method, path, allow) => {
    const { status, json, headers } = await app.call(path, { method });
    expect(status).toBe(405);
    expect(json.error.code).toBe('method_not_allowed');
    expect(headers.get('allow')).toBe(allow);
  });

  test('an unknown path answers 404 in the same shape', async () => {
    for (const path of ['/v2', '/v1/nothing', '/v1/webhook_deliveries', '/v1/triggers', '/V1/models']) {
      const { status, json } = await app.call(path);
      expect(status).toBe(404);
      expect(json.error.code).toBe('not_found');
      expect(json.request_id).toMatch(/^req_/);
    }
  });
});

describe('health', () => {
  test('/ says what this is, which version, and that the provider is simulated', async () => {
    const { status, text, headers } = await app.call('/', { key: '' });
    expect(status).toBe(200);
    expect(headers.get('content-type')).toContain('text/plain');
    expect(text).toContain(`FANA ${VERSION}`);
    expect(text).toContain('simulated provider');
    expect(VERSION).toBe(JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')).version);
  });

  test('the page of an installation with a provider key does not speak of a simulated one', async () => {
    const served = await startTestApp({ OPENAI_API_KEY: 'x' });
    const { text } = await served.call('/', { key: '' });
    await served.stop();
    expect(text).not.toContain('simulated');
  });

  test('/healthz and /readyz are 200 while all is well', async () => {
    expect((await app.call('/healthz', { key: '' })).json).toEqual({ status: 'ok' });
    expect((await app.call('/readyz', { key: '' })).json).toEqual({ status: 'ok' });
  });

  test('/readyz names the part that is away, within 2 s, and /healthz stays 200', async () => {
    const own = await startTestApp({ FANA_DATA_DIR: '/dev/null/nowhere' });
    try {
      const blobs = await own.call('/readyz', { key: '' });
      expect(blobs.status).toBe(503);
      expect(blobs.json.error.message).toContain('blob store');
      expect(blobs.json.error.message).not.toContain('Redis');
      own.redis.pause();
      const started = Date.now();
      const both = await own.call('/readyz', { key: '' });
      expect(Date.now() - started).toBeLessThan(2000);
      expect(both.status).toBe(503);
      expect(both.json.error.message).toContain('Redis and the blob store');
      expect(both.headers.get('retry-after')).toBe('1');
      expect((await own.call('/healthz', { key: '' })).status).toBe(200);
    } finally {
      own.redis.resume();
      await own.stop();
    }
  });
});
