import type { Deps } from '../deps.ts';
import type { DeliverySpec, FailureReason } from './delivery.ts';
import { DEFAULT_ENDPOINT } from './endpoint.ts';
import { readEndpoint } from './endpoint-store.ts';
import { defaultSecret, signingSecrets } from './secret.ts';

/** Where an attempt goes and what signs it. */
export type Target = { url: string; secrets: string[] };

/** The target of a delivery as its endpoint is now, or why there is none any more. */
export const findTarget = async (deps: Pick<Deps, 'redis' | 'config' | 'now'>, spec: DeliverySpec): Promise<Target | FailureReason> => {
  if (spec.endpointId === DEFAULT_ENDPOINT) return { url: spec.url, secrets: [await defaultSecret(deps, spec.tenant)] };
  const endpoint = await readEndpoint(deps.redis, spec.endpointId);
  if (!endpoint) return 'endpoint_deleted';
  if (endpoint.disabled) return 'endpoint_disabled';
  return { url: endpoint.url, secrets: signingSecrets(deps, endpoint) };
};
