import { hash, timingSafeEqual } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Deps } from '../deps.ts';
import { toAppError } from '../errors.ts';
import { type ApiKey, callerOf, isInForce } from './api-key.ts';
import { type Caller, SCOPES } from './caller.ts';
import { hashKey, isKeyForm } from './key-form.ts';
import { KEYS_CHANNEL, readKeyByHash } from './store.ts';

/** The id of FANA_ADMIN_KEY, which is a setting and no record: it is not listed and cannot be changed or revoked. */
const ADMIN_KEY_ID = 'key_admin';
/** The tenant of FANA_ADMIN_KEY; its admins manage the keys of every tenant. */
export const ADMIN_TENANT = 'default';

export type KeyRing = {
  /**
   * Who calls with this key: undefined for one that is unknown, revoked or expired.
   * @throws AppError `unavailable` when Redis cannot be asked and the answer of the last 3 s is not known.
   */
  find: (key: string) => Promise<Caller | undefined>;
  /** Forgets what is remembered of a key: the next `find` reads its record again. */
  forget: (keyId: string) => void;
};

export type KeyRingDeps = Pick<Deps, 'redis' | 'config' | 'now'> & { subscriber?: Redis | undefined };

type Remembered = { record: ApiKey; caller: Caller; readMs: number };

/** A change is in force everywhere after at most this, also where pub/sub does not reach (5 s are promised). */
const REMEMBER_MS = 3000;
/** Only keys that exist are remembered; this bounds an installation with very many of them. */
const MAX_REMEMBERED = 10_000;

const adminCaller: Caller = { tenant: ADMIN_TENANT, keyId: ADMIN_KEY_ID, scopes: SCOPES, requestsPerMinute: 0 };
const digest = (key: string): Buffer => hash('sha256', key, 'buffer');

/**
 * Tells valid keys from others. A key is looked up by its SHA-256 and remembered for 3 s; expiry is checked at every use.
 * `subscriber` (a connection of connectSubscriber) makes changes known at once; without it they are known within 3 s.
 */
export const createKeyRing = (deps: KeyRingDeps): KeyRing => {
  const { subscriber } = deps;
  const remembered = new Map<string, Remembered>();
  const lookups = new Map<string, Promise<Remembered | undefined>>();
  const adminDigest = digest(deps.config.adminKey);
  /** Grows with every change heard: a record that was read before it is used once and not remembered. */
  let changes = 0;

  const forget = (keyId: string): void => {
    changes++;
    for (const [key, { record }] of remembered) if (record.id === keyId) remembered.delete(key);
  };
  subscriber?.on('message', (channel: string, keyId: string) => {
    if (channel === KEYS_CHANNEL) forget(keyId);
  });
  // A subscription that fails is asked for again at the next connection; until then the 3 s hold.
  subscriber?.subscribe(KEYS_CHANNEL).catch(() => undefined);

  const lookUp = async (key: string): Promise<Remembered | undefined> => {
    const changesBefore = changes;
    const readMs = deps.now();
    const record = await readKeyByHash(deps.redis, hashKey(key)).catch((error: unknown) => {
      throw toAppError(error);
    });
    remembered.delete(key);
    if (!record || !isInForce(record, readMs)) return undefined;
    const found: Remembered = { record, caller: callerOf(record), readMs };
    if (changes === changesBefore) {
      if (remembered.size >= MAX_REMEMBERED) remembered.delete(remembered.keys().next().value as string);
      remembered.set(key, found);
    }
    return found;
  };

  /** Requests that come while a key is being looked up wait for the same answer. */
  const lookUpOnce = (key: string): Promise<Remembered | undefined> => {
    const running = lookups.get(key);
    if (running) return running;
    const lookup = lookUp(key).finally(() => lookups.delete(key));
    lookups.set(key, lookup);
    return lookup;
  };

  return {
    forget,
    async find(key) {
      const known = remembered.get(key);
      if (known && deps.now() - known.readMs < REMEMBER_MS) return isInForce(known.record, deps.now()) ? known.caller : undefined;
      if (timingSafeEqual(digest(key), adminDigest)) return adminCaller;
      if (!isKeyForm(key)) return undefined;
      const found = await lookUpOnce(key);
      return found && isInForce(found.record, deps.now()) ? found.caller : undefined;
    },
  };
};
