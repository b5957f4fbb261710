import type { Redis } from 'ioredis';
import { toAppError } from '../errors.ts';
import type { WebhookEndpoint } from './endpoint.ts';
import { ENDPOINTS_CHANNEL, readEndpoints } from './endpoint-store.ts';

export type EndpointDirectory = {
  /**
   * The enabled endpoints of a tenant, at most 3 s old: most ends of jobs ask nobody.
   * @throws AppError `unavailable` when Redis cannot be asked and the answer of the last 3 s is not known.
   */
  find: (tenant: string) => Promise<readonly WebhookEndpoint[]>;
  /** Forgets what is remembered of a tenant: the next `find` reads its endpoints again. */
  forget: (tenant: string) => void;
};

type Remembered = { endpoints: readonly WebhookEndpoint[]; readMs: number };

/** A change is in force everywhere after at most this, also where pub/sub does not reach. */
const REMEMBER_MS = 3000;
/** Bounds an installation with very many tenants. */
const MAX_REMEMBERED = 10_000;

/**
 * Knows the webhook endpoints of tenants whose jobs end in this process. `subscriber` (a connection of connectSubscriber) makes changes
 * known at once; without it they are known within 3 s.
 */
export const createEndpointDirectory = (deps: { redis: Redis; subscriber?: Redis | undefined; now: () => number }): EndpointDirectory => {
  const { subscriber } = deps;
  const remembered = new Map<string, Remembered>();
  const lookups = new Map<string, Promise<readonly WebhookEndpoint[]>>();
  /** Grows with every change heard: what was read before it is used once and not remembered. */
  let changes = 0;

  const forget = (tenant: string): void => {
    changes++;
    remembered.delete(tenant);
    // Who asks from now on is not to be given what was read before the change.
    lookups.delete(tenant);
  };
  subscriber?.on('message', (channel: string, tenant: string) => {
    if (channel === ENDPOINTS_CHANNEL) forget(tenant);
  });
  // A subscription that fails is asked for again at the next connection; until then the 3 s hold.
  subscriber?.subscribe(ENDPOINTS_CHANNEL).catch(() => undefined);

  const lookUp = async (tenant: string): Promise<readonly WebhookEndpoint[]> => {
    const changesBefore = changes;
    const readMs = deps.now();
    const all = await readEndpoints(deps.redis, tenant).catch((error: unknown) => {
      throw toAppError(error);
    });
    const endpoints = all.filter(({ disabled }) => disabled === undefined);
    if (changes === changesBefore) {
      if (remembered.size >= MAX_REMEMBERED) remembered.delete(remembered.keys().next().value as string);
      remembered.set(tenant, { endpoints, readMs });
    }
    return endpoints;
  };

  return {
    forget,
    async find(tenant) {
      const known = remembered.get(tenant);
      if (known && deps.now() - known.readMs < REMEMBER_MS) return known.endpoints;
      const running = lookups.get(tenant);
      if (running) return running;
      const lookup = lookUp(tenant).finally(() => {
        if (lookups.get(tenant) === lookup) lookups.delete(tenant);
      });
      lookups.set(tenant, lookup);
      return lookup;
    },
  };
};
