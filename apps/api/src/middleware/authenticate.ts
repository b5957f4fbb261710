import { AppError } from '@fana/core/errors.ts';
import type { Scope } from '@fana/core/tenants/caller.ts';
import type { KeyRing } from '@fana/core/tenants/keys.ts';
import { createMiddleware } from 'hono/factory';
import type { Environment } from '../environment.ts';

const BEARER = /^Bearer ([\x21-\x7e]{1,512})$/i;

/**
 * Lets a request through whose key is valid and has the scope; leaves the `caller` on it.
 * The answer to a missing, unknown, revoked and expired key is the same 401.
 */
export const authenticate = (keys: KeyRing, scope: Scope) =>
  createMiddleware<Environment>(async (c, next) => {
    const key = BEARER.exec(c.req.header('authorization') ?? '')?.[1];
    const caller = key === undefined ? undefined : await keys.find(key);
    if (!caller) throw new AppError('invalid_api_key', 'A valid API key is needed: send it as "Authorization: Bearer KEY".');
    if (!caller.scopes.includes(scope) && !caller.scopes.includes('admin')) {
      throw new AppError('insufficient_scope', `This key does not have the scope ${scope}.`);
    }
    c.set('caller', caller);
    await next();
  });
