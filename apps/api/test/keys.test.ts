import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestApp, type TestApp } from './test-app.ts';
import { testRoute } from './test-route.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp();
});
afterAll(() => app.stop());

const PATH = '/v1/admin/keys';
const aKey = `${PATH}/key_0123456789abcdefghijkl`;
testRoute(() => app, { method: 'GET', path: PATH, scope: 'admin' });
testRoute(() => app, { method: 'POST', path: PATH, scope: 'admin', body: { name: 'x' } });
testRoute(() => app, { method: 'GET', path: aKey, scope: 'admin' });
testRoute(() => app, { method: 'PATCH', path: aKey, scope: 'admin', body: { name: 'x' } });
testRoute(() => app, { method: 'DELETE', path: aKey, scope: 'admin' });

describe('an API key', () => {
  test('is answered whole once, at its creation, and works', async () => {
    const created = await app.call(PATH, {
      body: {
        name: 'shop',
        tenant: 'shop',
        scopes: ['jobs'],
        expires_at: 4_000_000_000,
        system: 'Be brief.',
        limits: { requests_per_minute: 5 },
        models: ['chat-default'],
      },
    });
    expect(created.status).toBe(200);
    const { key, ...object } = created.json;
    expect(key).toMatch(/^fana_[0-9A-Za-z]{38}$/);
    expect(object).toEqual({
      id: expect.stringMatching(/^key_[0-9A-Za-z]{22}$/),
      object: 'api_key',
      name: 'shop',
      tenant: 'shop',
      scopes: ['jobs'],
      hint: key.slice(-4),
      expires_at: 4_000_000_000,
      system: 'Be brief.',
      limits: { requests_per_minute: 5, tokens_per_minute: null, images_per_minute: null, concurrency: null, monthly_budget_usd: null },
      models: ['chat-default'],
      created_at: expect.closeTo(Date.now() / 1000, -2),
      revoked_at: null,
    });
    expect((await app.call(`${PATH}/${object.id}`)).json).toEqual(object);
    expect(await app.deps.keys.find(key)).toEqual({
      tenant: 'shop',
      keyId: object.id,
      scopes: ['jobs'],
      requestsPerMinute: 5,
      system: 'Be brief.',
      models: ['chat-default'],
    });
  });

  test('has every scope but admin and the tenant of its maker unless told', async () => {
    const { json } = await app.call(PATH, { body: {} });
    expect(json.scopes).toEqual(['jobs', 'files', 'sessions', 'documents', 'webhooks', 'usage']);
    expect(json.tenant).toBe('default');
    expect(json.name).toBe('unnamed');
  });

  test('is not in Redis in any form but its hash', async () => {
    const { json } = await app.call(PATH, { body: { name: 'secret' }, headers: { 'idempotency-key': 'secret-key-test' } });
    const { redis } = app.deps;
    const dumps = await Promise.all((await redis.keys('*')).map((name) => redis.dumpBuffer(name)));
    expect(dumps.some((dump) => dump?.includes(json.hint))).toBe(true);
    expect(dumps.some((dump) => dump?.includes(json.key.slice(5, 20)))).toBe(false);
  });

  test('is listed newest first, page by page', async () => {
    const ids: string[] = [];
    for (let made = 0; made < 5; made++) ids.unshift((await app.call(PATH, { body: { name: `page ${made}` } })).json.id);
    const first = (await app.call(`${PATH}?limit=2`)).json;
    expect(first).toMatchObject({ object: 'list', first_id: ids[0], last_id: ids[1], has_more: true });
    const second = (await app.call(`${PATH}?limit=3&after=${ids[1]}`)).json;
    expect(second.data.map(({ id }: { id: string }) => id)).toEqual(ids.slice(2));
    expect(second.data[0]).not.toHaveProperty('key');
  });

  test.each(['limit=0', 'limit=101', 'limit=x', 'limit=-1', 'limit=1.5', 'after=key_unknown', 'color=red'])('the list refuses ?%s by name', async (query) => {
    const { status, json } = await app.call(`${PATH}?${query}`);
    expect(status).toBe(400);
    expect(json.error.param).toBe(query.split('=')[0]);
  });

  test('changes only what is named, and null takes a value away', async () => {
    const { json: made } = await app.call(PATH, { body: { name: 'before', system: 'Old.', limits: { requests_per_minute: 3 }, models: ['chat-default'] } });
    const { key, ...object } = made;
    const patched = await app.call(`${PATH}/${made.id}`, { method: 'PATCH', body: { name: 'after', system: null, limits: { requests_per_minute: 9 } } });
    expect(patched.json).toEqual({ ...object, name: 'after', system: null, limits: { ...object.limits, requests_per_minute: 9 } });
    expect(await app.deps.keys.find(key)).toMatchObject({ requestsPerMinute: 9, system: undefined });
    const posted = await app.call(`${PATH}/${made.id}`, { body: { limits: null, models: null, scopes: ['webhooks'], expires_at: 4_000_000_000 } });
    expect(posted.json).toMatchObject({ scopes: ['webhooks'], models: null, expires_at: 4_000_000_000, limits: { requests_per_minute: null } });
    expect((await app.call(`${PATH}/${made.id}`, { body: { expires_at: null } })).json.expires_at).toBeNull();
  });

  test('is refused at once in this process after it is revoked, and cannot be changed back', async () => {
    for (const revoke of [
      { method: 'DELETE', path: '' },
      { method: 'POST', path: '/revoke' },
    ]) {
      const { json } = await app.call(PATH, { body: {} });
      expect((await app.call('/v1/models', { key: json.key })).status).toBe(200);
      const revoked = await app.call(`${PATH}/${json.id}${revoke.path}`, { method: revoke.method });
      expect(revoked.json.revoked_at).toEqual(expect.any(Number));
      expect((await app.call('/v1/models', { key: json.key })).status).toBe(401);
      expect((await app.call(`${PATH}/${json.id}`, { method: 'DELETE' })).json).toEqual(revoked.json);
      expect((await app.call(`${PATH}/${json.id}`, { body: { name: 'again' } })).status).toBe(400);
    }
  });

  test.each([
    [{ colour: 'red' }, 'colour'],
    [{ name: '' }, 'name'],
    [{ name: 5 }, 'name'],
    [{ tenant: 'a:b' }, 'tenant'],
    [{ tenant: '' }, 'tenant'],
    [{ scopes: ['everything'] }, 'scopes.0'],
    [{ scopes: [] }, 'scopes'],
    [{ scopes: ['jobs', 'jobs'] }, 'scopes'],
    [{ scopes: 'jobs' }, 'scopes'],
    [{ expires_at: 1 }, 'expires_at'],
    [{ expires_at: 'tomorrow' }, 'expires_at'],
    [{ expires_at: 1e300 }, 'expires_at'],
    [{ limits: { requests_per_minute: 0 } }, 'limits.requests_per_minute'],
    [{ limits: { requests_per_minute: 1.5 } }, 'limits.requests_per_minute'],
    [{ limits: { speed: 1 } }, 'limits.speed'],
    [{ limits: [] }, 'limits'],
    [{ models: [''] }, 'models.0'],
    [{ id: 'key_mine' }, 'id'],
    [{ revoked_at: 1 }, 'revoked_at'],
    [JSON.parse('{"__proto__": {"scopes": ["admin"]}}'), '__proto__'],
  ])('refuses %j by name', async (body, param) => {
    const { status, json } = await app.call(PATH, { body });
    expect(status).toBe(400);
    expect(json.error).toMatchObject({ code: 'invalid_request', param });
  });

  test.each(['tokens_per_minute', 'images_per_minute', 'concurrency', 'monthly_budget_usd'])('says that limits.%s is not supported yet', async (name) => {
    const { status, json } = await app.call(PATH, { body: { limits: { [name]: 5 } } });
    expect(status).toBe(400);
    expect(json.error).toMatchObject({ code: 'unsupported_parameter', param: `limits.${name}` });
  });

  test('cannot move to another tenant', async () => {
    const { json } = await app.call(PATH, { body: {} });
    const moved = await app.call(`${PATH}/${json.id}`, { body: { tenant: 'other' } });
    expect(moved.status).toBe(400);
    expect(moved.json.error.param).toBe('tenant');
  });

  test.each(['key_admin', 'key_0123456789abcdefghijkl', 'nonsense', '..%2f..', '%00', 'job_0123456789abcdefghijkl'])(
    'answers 404 for the id %s',
    async (id) => {
      for (const method of ['GET', 'DELETE']) {
        const { status, json } = await app.call(`${PATH}/${id}`, { method });
        expect(status).toBe(404);
        expect(json.error.code).toBe('not_found');
      }
    },
  );
});

describe('an admin of a tenant other than default', () => {
  test('manages the keys of that tenant and sees no other', async () => {
    const admin = await app.newKey({ tenant: 'north', scopes: ['admin'] });
    const foreign = await app.newKey({ tenant: 'south' });
    const own = await app.call(PATH, { key: admin.key, body: { name: 'own' } });
    expect(own.json.tenant).toBe('north');
    const listed = (await app.call(PATH, { key: admin.key })).json.data.map(({ id }: { id: string }) => id);
    expect(listed).toEqual([own.json.id, admin.id]);
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const reply = await app.call(`${PATH}/${foreign.id}`, { key: admin.key, method, ...(method === 'PATCH' && { body: { name: 'mine' } }) });
      expect(reply.status).toBe(404);
    }
    expect((await app.call(`${PATH}?after=${foreign.id}`, { key: admin.key })).status).toBe(400);
    const other = await app.call(PATH, { key: admin.key, body: { tenant: 'south' } });
    expect(other.status).toBe(403);
    expect(other.json.error.param).toBe('tenant');
    expect((await app.call('/v1/models', { key: foreign.key })).status).toBe(200);
  });
});

describe('Idempotency-Key', () => {
  const create = (idempotencyKey: string, body: unknown, key?: string) =>
    app.call(PATH, { body, headers: { 'idempotency-key': idempotencyKey }, ...(key !== undefined && { key }) });

  test('gives the first key again, without its text, for the same body; quoted and bare are the same', async () => {
    const first = await create('order-1', { name: 'once' });
    expect(first.headers.has('idempotent-replayed')).toBe(false);
    const { key: _, ...object } = first.json;
    for (const again of [await create('order-1', { name: 'once' }), await create('"order-1"', { name: 'once' })]) {
      expect(again.status).toBe(200);
      expect(again.headers.get('idempotent-replayed')).toBe('true');
      expect(again.json).toEqual(object);
    }
  });

  test('answers 422 for another body', async () => {
    await create('order-2', { name: 'a' });
    const { status, json } = await create('order-2', { name: 'b' });
    expect(status).toBe(422);
    expect(json.error).toMatchObject({ code: 'idempotency_key_reused', param: 'Idempotency-Key' });
  });

  test('belongs to its tenant', async () => {
    const admin = await app.newKey({ tenant: 'east', scopes: ['admin'] });
    const [ours, theirs] = [await create('order-3', { name: 'a' }), await create('order-3', { name: 'a' }, admin.key)];
    expect(theirs.json.id).not.toBe(ours.json.id);
    expect(theirs.headers.has('idempotent-replayed')).toBe(false);
  });

  test('makes one key of 30 requests at once', async () => {
    const replies = await Promise.all(Array.from({ length: 30 }, () => create('order-4', { name: 'rush' })));
    for (const { status } of replies) expect([200, 409]).toContain(status);
    expect(replies.filter(({ json }) => json.key !== undefined)).toHaveLength(1);
    expect(new Set(replies.filter(({ status }) => status === 200).map(({ json }) => json.id)).size).toBe(1);
    for (const { json } of replies.filter(({ status }) => status === 409)) expect(json.error.code).toBe('idempotency_in_progress');
  });

  test('is not used up by a body that is refused', async () => {
    expect((await create('order-5', { name: '' })).status).toBe(400);
    expect((await create('order-5', { name: 'good' })).json.key).toBeDefined();
    const admin = await app.newKey({ tenant: 'west', scopes: ['admin'] });
    expect((await create('order-6', { tenant: 'other' }, admin.key)).status).toBe(403);
    expect((await create('order-6', { tenant: 'west' }, admin.key)).json.key).toBeDefined();
  });

  test.each(['""', '"open', '"a" b', 'x'.repeat(256), `"${'x'.repeat(256)}"`, 'smörgås'])('answers 400 for the malformed key %s', async (idempotencyKey) => {
    const { status, json } = await create(idempotencyKey, {});
    expect(status).toBe(400);
    expect(json.error.param).toBe('Idempotency-Key');
  });

  test('may have 255 characters', async () => {
    expect((await create('x'.repeat(255), {})).status).toBe(200);
  });
});
