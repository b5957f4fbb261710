import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { isId, newId } from '../ids.ts';
import type { ApiKey, KeySettings } from './api-key.ts';
import type { Caller } from './caller.ts';
import { hashKey, hintOf, newKey } from './key-form.ts';
import { ADMIN_TENANT } from './keys.ts';
import { changeKey, insertKey, listKeyIds, markKeyRevoked, readKey, readKeys } from './store.ts';

type KeyDeps = Pick<Deps, 'redis' | 'now'>;
type Admin = Pick<Caller, 'tenant'>;

/** Admins of the tenant `default` manage every key, those of another tenant only its own. */
const reaches = (admin: Admin, tenant: string): boolean => admin.tenant === ADMIN_TENANT || admin.tenant === tenant;
const noSuchKey = (): AppError => new AppError('not_found', 'There is no such API key.');

export type NewKey = KeySettings & { tenant: string; id?: string };

/**
 * Makes a key. The text in `key` is the only time it is seen.
 * @throws AppError `insufficient_scope` (param `tenant`) when the admin may not make keys of that tenant,
 *   `idempotency_in_progress` when a key with this `id` exists, `unavailable`.
 */
export const createKey = async (deps: KeyDeps, admin: Admin, { tenant, id = newId('key'), ...settings }: NewKey): Promise<{ record: ApiKey; key: string }> => {
  if (!reaches(admin, tenant)) throw new AppError('insufficient_scope', 'tenant: this key may only make keys of its own tenant.', { param: 'tenant' });
  const key = newKey();
  const record: ApiKey = { id, tenant, hint: hintOf(key), createdMs: deps.now(), ...settings };
  if (!(await insertKey(deps.redis, record, hashKey(key))))
    throw new AppError('idempotency_in_progress', 'This API key is just being made by another request.');
  return { record, key };
};

/** One key. @throws AppError `not_found` also for keys the admin does not manage. */
export const findKey = async (deps: KeyDeps, admin: Admin, id: string): Promise<ApiKey> => {
  const record = isId('key', id) ? await readKey(deps.redis, id) : undefined;
  if (!record || !reaches(admin, record.tenant)) throw noSuchKey();
  return record;
};

/**
 * The keys an admin manages, newest first, revoked ones too.
 * @throws AppError `invalid_request` (param `after`).
 */
export const listKeys = async (deps: KeyDeps, admin: Admin, limit: number, after?: string): Promise<{ keys: ApiKey[]; hasMore: boolean }> => {
  const tenant = admin.tenant === ADMIN_TENANT ? undefined : admin.tenant;
  const ids = await listKeyIds(deps.redis, tenant, limit + 1, after);
  if (!ids) throw new AppError('invalid_request', 'after: there is no such API key.', { param: 'after' });
  return { keys: await readKeys(deps.redis, ids.slice(0, limit)), hasMore: ids.length > limit };
};

/**
 * Changes the settings that are named; in force in every process within 5 s.
 * @throws AppError `not_found`, or `invalid_request` for a revoked key.
 */
export const updateKey = async (deps: KeyDeps, admin: Admin, id: string, settings: Partial<KeySettings>): Promise<ApiKey> => {
  await findKey(deps, admin, id);
  if ((await changeKey(deps.redis, id, settings)) === 'revoked') {
    throw new AppError('invalid_request', 'This API key is revoked and cannot be changed any more.');
  }
  return findKey(deps, admin, id);
};

/** Revokes a key for good, in every process within 5 s; repeating it changes nothing. @throws AppError `not_found`. */
export const revokeKey = async (deps: KeyDeps, admin: Admin, id: string): Promise<ApiKey> => {
  await findKey(deps, admin, id);
  await markKeyRevoked(deps.redis, id, deps.now());
  return findKey(deps, admin, id);
};
