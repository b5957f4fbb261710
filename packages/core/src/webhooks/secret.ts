import { randomBytes } from 'node:crypto';
import type { Deps } from '../deps.ts';
import { decrypt, deriveKey, encrypt } from '../encrypt.ts';
import type { WebhookEndpoint } from './endpoint.ts';

type SecretDeps = Pick<Deps, 'config'>;

const secretKey = (tenant: string): string => `fana:tenant:${tenant}:webhook-secret`;
const keyOf = ({ config }: SecretDeps): Buffer => deriveKey(config.signingSecret, 'webhook-secrets');

/** A new secret: `whsec_` and 32 random bytes in base64. `encrypted` (AES-GCM) is what is stored; `hint` tells it from others. */
export const newSecret = (deps: SecretDeps): { secret: string; encrypted: string; hint: string } => {
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  return { secret, encrypted: encrypt(keyOf(deps), secret), hint: `whsec_...${secret.slice(-5, -1)}` };
};

/** The secret of a tenant's endpoint `default`, which signs the webhooks of single jobs and batches. Made at its first use. */
export const defaultSecret = async (deps: Pick<Deps, 'redis' | 'config'>, tenant: string): Promise<string> => {
  const stored = await deps.redis.get(secretKey(tenant));
  if (stored !== null) return decrypt(keyOf(deps), stored);
  await deps.redis.set(secretKey(tenant), newSecret(deps).encrypted, 'NX');
  return decrypt(keyOf(deps), (await deps.redis.get(secretKey(tenant))) ?? '');
};

/** The current secret of an endpoint. */
export const currentSecret = (deps: SecretDeps, endpoint: WebhookEndpoint): string => decrypt(keyOf(deps), endpoint.encryptedSecret);

/** What signs for an endpoint now: its secret, and the one before it until its time is over. */
export const signingSecrets = (deps: Pick<Deps, 'config' | 'now'>, endpoint: WebhookEndpoint): string[] => {
  const { oldSecret } = endpoint;
  const isRotating = oldSecret !== undefined && deps.now() < oldSecret.untilMs;
  return [currentSecret(deps, endpoint), ...(isRotating ? [decrypt(keyOf(deps), oldSecret.encrypted)] : [])];
};
