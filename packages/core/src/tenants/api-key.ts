import type { Caller, Scope } from './caller.ts';

/** What is known of a key; the key itself is shown once, at its creation, and never stored. */
export type ApiKey = {
  id: string;
  tenant: string;
  name: string;
  scopes: readonly Scope[];
  /** Last 4 characters of the key. */
  hint: string;
  createdMs: number;
  /** From then on the key is refused. */
  expiresMs?: number | undefined;
  revokedMs?: number | undefined;
  /** System prompt of every job of this key that names none. */
  system?: string | undefined;
  /** Unset = unlimited. */
  requestsPerMinute?: number | undefined;
  /** Models the key may use, by id or alias; unset = all. */
  models?: readonly string[] | undefined;
};

/** What a key may be given and changed to; `undefined` in a change takes the value away. */
export type KeySettings = Pick<ApiKey, 'name' | 'scopes' | 'expiresMs' | 'system' | 'requestsPerMinute' | 'models'>;

/** Whether a key is in force at `nowMs`. */
export const isInForce = (key: Pick<ApiKey, 'expiresMs' | 'revokedMs'>, nowMs: number): boolean =>
  key.revokedMs === undefined && (key.expiresMs === undefined || key.expiresMs > nowMs);

/** Who calls with this key. */
export const callerOf = (key: ApiKey): Caller => ({
  tenant: key.tenant,
  keyId: key.id,
  scopes: key.scopes,
  requestsPerMinute: key.requestsPerMinute ?? 0,
  system: key.system,
  models: key.models,
});
