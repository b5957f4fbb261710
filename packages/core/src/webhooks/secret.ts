import { randomBytes } from 'node:crypto';
import type { Deps } from '../deps.ts';
import { decrypt, deriveKey, encrypt } from '../encrypt.ts';

const secretKey = (tenant: string): string => `fana:tenant:${tenant}:webhook-secret`;

/**
 * The secret of a tenant's endpoint `default`, which signs per-job webhooks: `whsec_` and 32 random bytes in base64.
 * Made at its first use; kept encrypted (AES-GCM).
 */
export const defaultSecret = async (deps: Pick<Deps, 'redis' | 'config'>, tenant: string): Promise<string> => {
  const key = deriveKey(deps.config.signingSecret, 'webhook-secrets');
  const stored = await deps.redis.get(secretKey(tenant));
  if (stored !== null) return decrypt(key, stored);
  await deps.redis.set(secretKey(tenant), encrypt(key, `whsec_${randomBytes(32).toString('base64')}`), 'NX');
  return decrypt(key, (await deps.redis.get(secretKey(tenant))) ?? '');
};
