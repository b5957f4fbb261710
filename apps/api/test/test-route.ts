import { SCOPES, type Scope } from '@fana/core/tenants/caller.ts';
import { newKey } from '@fana/core/tenants/key-form.ts';
import { revokeKey } from '@fana/core/tenants/manage-keys.ts';
import { describe, expect, test } from 'vitest';
import type { ApiReply, TestApp } from './test-app.ts';

type Route = { method: string; path: string; scope: Scope; body?: unknown };

const expectError = (reply: ApiReply, status: number, code: string): void => {
  expect(reply.status).toBe(status);
  expect(reply.json).toEqual({
    error: { message: expect.any(String), type: expect.any(String), code, param: null },
    request_id: expect.stringMatching(/^req_[0-9A-Za-z]{22}$/),
  });
  expect(reply.headers.get('x-request-id')).toBe(reply.json.request_id);
};

const unusable: Record<string, (app: TestApp, scope: Scope) => Promise<string | Record<string, string>>> = {
  'without a key': async () => '',
  'with another scheme': async () => ({ authorization: 'Basic dXNlcjpwYXNz' }),
  'with an empty bearer': async () => ({ authorization: 'Bearer ' }),
  'with a text that is no key': async () => 'sk-nonsense',
  'with a key that was never given': async () => newKey(),
  'with a key of which one character is changed': async (app, scope) => {
    const { key } = await app.newKey({ scopes: [scope] });
    return `${key.slice(0, 10)}${key[10] === 'a' ? 'b' : 'a'}${key.slice(11)}`;
  },
  'with a revoked key': async (app, scope) => {
    const { key, id } = await app.newKey({ scopes: [scope] });
    await revokeKey(app.deps, { tenant: 'default' }, id);
    return key;
  },
  'with an expired key': async (app, scope) => (await app.newKey({ scopes: [scope], expiresMs: Date.now() - 1 })).key,
};

/** The cases every route with a key has in common. */
export const testRoute = (app: () => TestApp, { method, path, scope, body }: Route): void => {
  describe(`${method} ${path}`, () => {
    for (const [how, make] of Object.entries(unusable)) {
      test(`answers 401 ${how}`, async () => {
        const made = await make(app(), scope);
        const access = typeof made === 'string' ? { key: made } : { key: '', headers: made };
        const reply = await app().call(path, { method, ...(body !== undefined && { body }), ...access });
        expectError(reply, 401, 'invalid_api_key');
        expect(reply.headers.get('www-authenticate')).toBe('Bearer');
      });
    }
    test(`answers 403 without the scope ${scope}`, async () => {
      const { key } = await app().newKey({ scopes: SCOPES.filter((name) => name !== scope && name !== 'admin') });
      expectError(await app().call(path, { method, key, ...(body !== undefined && { body }) }), 403, 'insufficient_scope');
    });
    test('lets a key with the scope through', async () => {
      const { key } = await app().newKey({ scopes: [scope] });
      const { status } = await app().call(path, { method, key, ...(body !== undefined && { body }) });
      expect([401, 403]).not.toContain(status);
    });
  });
};
