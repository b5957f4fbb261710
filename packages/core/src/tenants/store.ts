import type { Redis } from 'ioredis';
import { loadScript } from '../redis.ts';
import type { ApiKey, KeySettings } from './api-key.ts';

/** Pub/sub channel on which every process hears the ids of keys that changed. */
export const KEYS_CHANNEL = 'fana:keys';
/** Zset of every key of the installation; score: unix ms of creation. */
const ALL_KEYS = 'fana:keys';

const recordKey = (id: string): string => `fana:key:${id}`;
const hashIndexKey = (keyHash: string): string => `fana:key-hash:${keyHash}`;
const tenantKeysKey = (tenant: string): string => `fana:tenant:${tenant}:keys`;
const indexKey = (tenant: string | undefined): string => (tenant === undefined ? ALL_KEYS : tenantKeysKey(tenant));

const scripts = {
  createKey: loadScript(import.meta.url, './create-key.lua'),
  changeKey: loadScript(import.meta.url, './change-key.lua'),
  findKey: loadScript(import.meta.url, './find-key.lua'),
  takeRequest: loadScript(import.meta.url, './take-request.lua'),
  claimOnce: loadScript(import.meta.url, './claim-once.lua'),
};

const encodeSettings = (settings: Partial<KeySettings>): Record<string, string> => ({
  ...('name' in settings && { name: settings.name ?? '' }),
  ...('scopes' in settings && { scopes: JSON.stringify(settings.scopes ?? []) }),
  ...('expiresMs' in settings && { expires_ms: settings.expiresMs?.toString() ?? '' }),
  ...('system' in settings && { system: settings.system ?? '' }),
  ...('requestsPerMinute' in settings && { requests_per_minute: settings.requestsPerMinute?.toString() ?? '' }),
  ...('models' in settings && { models: settings.models === undefined ? '' : JSON.stringify(settings.models) }),
});

/** An empty field is an unset one. */
const decodeKey = (id: string, fields: Record<string, string>): ApiKey | undefined => {
  const { tenant, name = '', scopes = '[]', hint = '', created_ms, expires_ms, revoked_ms, system, requests_per_minute, models } = fields;
  if (tenant === undefined) return undefined;
  const record: ApiKey = { id, tenant, name, scopes: JSON.parse(scopes), hint, createdMs: Number(created_ms) };
  if (expires_ms) record.expiresMs = Number(expires_ms);
  if (revoked_ms) record.revokedMs = Number(revoked_ms);
  if (system) record.system = system;
  if (requests_per_minute) record.requestsPerMinute = Number(requests_per_minute);
  if (models) record.models = JSON.parse(models);
  return record;
};

const pairs = (flat: string[]): Record<string, string> => {
  const fields: Record<string, string> = {};
  for (let at = 0; at + 1 < flat.length; at += 2) fields[flat[at] as string] = flat[at + 1] as string;
  return fields;
};

/** Writes a new key. False: there is one with this id already, and nothing was written. */
export const insertKey = async (redis: Redis, key: ApiKey, keyHash: string): Promise<boolean> => {
  const { id, tenant, hint, createdMs } = key;
  const fields = Object.entries({ tenant, hint, created_ms: String(createdMs), ...encodeSettings(key) }).flat();
  return (await scripts.createKey(redis, [recordKey(id), hashIndexKey(keyHash), ALL_KEYS, tenantKeysKey(tenant)], [id, createdMs, ...fields])) === 1;
};

/** The key with this id, in force or not. */
export const readKey = async (redis: Redis, id: string): Promise<ApiKey | undefined> => decodeKey(id, await redis.hgetall(recordKey(id)));

/** The key with this hash, in force or not. */
export const readKeyByHash = async (redis: Redis, keyHash: string): Promise<ApiKey | undefined> => {
  const [id, ...flat] = (await scripts.findKey(redis, [hashIndexKey(keyHash)], [])) as string[];
  return id === undefined ? undefined : decodeKey(id, pairs(flat));
};

/** Changes a key that is not revoked and tells every process. */
export const changeKey = async (redis: Redis, id: string, settings: Partial<KeySettings>): Promise<'changed' | 'revoked' | 'gone'> =>
  (await scripts.changeKey(redis, [recordKey(id)], [id, KEYS_CHANNEL, ...Object.entries(encodeSettings(settings)).flat()])) as 'changed' | 'revoked' | 'gone';

/** Revokes a key and tells every process; of a revoked one the first time stays. */
export const markKeyRevoked = async (redis: Redis, id: string, nowMs: number): Promise<'changed' | 'revoked' | 'gone'> =>
  (await scripts.changeKey(redis, [recordKey(id)], [id, KEYS_CHANNEL, 'revoked_ms', nowMs])) as 'changed' | 'revoked' | 'gone';

/** Ids of keys, newest first, from the one after `after`; undefined when `after` is not among them. */
export const listKeyIds = async (redis: Redis, tenant: string | undefined, count: number, after?: string): Promise<string[] | undefined> => {
  let start = 0;
  if (after !== undefined) {
    const rank = await redis.zrevrank(indexKey(tenant), after);
    if (rank === null) return undefined;
    start = rank + 1;
  }
  return redis.zrevrange(indexKey(tenant), start, start + count - 1);
};

/** The records of these ids, in their order. */
export const readKeys = async (redis: Redis, ids: string[]): Promise<ApiKey[]> => {
  const records = await Promise.all(ids.map((id) => readKey(redis, id)));
  return records.filter((record) => record !== undefined);
};

export type Taken = { allowed: boolean; remaining: number; resetSeconds: number };

/** Takes one request out of the key's minute, if one is left. */
export const takeRequestOf = async (redis: Redis, keyId: string, requestsPerMinute: number): Promise<Taken> => {
  const [allowed, remaining, resetSeconds] = (await scripts.takeRequest(redis, [], [keyId, requestsPerMinute])) as [number, number, number];
  return { allowed: allowed === 1, remaining, resetSeconds };
};

export type OnceClaim = { kind: 'claimed' | 'settled' | 'in_progress' | 'mismatch'; id: string };

const onceKey = (tenant: string, route: string, keyHash: string): string => `fana:idem:${tenant}:${route}:${keyHash}`;
export type OnceName = { tenant: string; route: string; keyHash: string };

/** Claims an idempotency key for the object `id`, or tells whose it is already. */
export const claimOnce = async (redis: Redis, name: OnceName, fingerprint: string, id: string): Promise<OnceClaim> => {
  const key = onceKey(name.tenant, name.route, name.keyHash);
  const [kind, owner] = (await scripts.claimOnce(redis, [key], ['claim', fingerprint, id])) as [OnceClaim['kind'], string];
  return { kind, id: owner };
};

/** Ends a claim: `settled` when the object exists, `released` when it never will. Only the claim for this object is touched. */
export const endOnce = async (redis: Redis, name: OnceName, id: string, end: 'settle' | 'release'): Promise<void> => {
  await scripts.claimOnce(redis, [onceKey(name.tenant, name.route, name.keyHash)], [end, '', id]);
};
