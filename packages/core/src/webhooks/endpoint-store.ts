import type { Redis } from 'ioredis';
import { execute, loadScript } from '../redis.ts';
import type { DisabledReason, WebhookEndpoint } from './endpoint.ts';

/** Pub/sub channel on which every process hears the tenants whose endpoints changed. */
export const ENDPOINTS_CHANNEL = 'fana:webhook-endpoints';

/** Endpoints of one tenant. */
export const MAX_ENDPOINTS = 100;

/** Hash of an endpoint. */
export const endpointKey = (id: string): string => `fana:webhook-endpoint:${id}`;
/** Zset of a tenant's endpoints; score: order of creation. */
const tenantEndpointsKey = (tenant: string): string => `fana:tenant:${tenant}:webhook-endpoints`;

const scripts = {
  readEndpoints: loadScript(import.meta.url, './read-endpoints.lua'),
  createEndpoint: loadScript(import.meta.url, './create-endpoint.lua'),
  changeEndpoint: loadScript(import.meta.url, './change-endpoint.lua'),
  rotateSecret: loadScript(import.meta.url, './rotate-secret.lua'),
};

const pairs = (flat: string[]): Record<string, string> => {
  const fields: Record<string, string> = {};
  for (let at = 0; at + 1 < flat.length; at += 2) fields[flat[at] as string] = flat[at + 1] as string;
  return fields;
};

const decodeEndpoint = (id: string, fields: Record<string, string>): WebhookEndpoint | undefined => {
  const { tenant, name = '', url = '', event_types = '[]', secret = '', hint = '', created_ms, updated_ms } = fields;
  const { old_secret, old_secret_until_ms, disabled_reason, disabled_ms, failing_since_ms } = fields;
  if (tenant === undefined) return undefined;
  return {
    id,
    tenant,
    name,
    url,
    eventTypes: JSON.parse(event_types),
    createdMs: Number(created_ms),
    updatedMs: Number(updated_ms),
    encryptedSecret: secret,
    hint,
    ...(old_secret !== undefined && { oldSecret: { encrypted: old_secret, untilMs: Number(old_secret_until_ms) } }),
    ...(disabled_reason !== undefined && { disabled: { reason: disabled_reason as DisabledReason, atMs: Number(disabled_ms) } }),
    ...(failing_since_ms !== undefined && { failingSinceMs: Number(failing_since_ms) }),
  };
};

/** What can be changed of an endpoint; `disabled` undefined enables it and forgets its failures. */
export type EndpointChanges = Partial<Pick<WebhookEndpoint, 'name' | 'url' | 'eventTypes' | 'disabled'>> & { forgetFailures?: boolean };

const encodeChanges = (changes: EndpointChanges): Record<string, string> => ({
  ...(changes.name !== undefined && { name: changes.name }),
  ...(changes.url !== undefined && { url: changes.url }),
  ...(changes.eventTypes !== undefined && { event_types: JSON.stringify(changes.eventTypes) }),
  ...('disabled' in changes && { disabled_reason: changes.disabled?.reason ?? '', disabled_ms: changes.disabled?.atMs.toString() ?? '' }),
  ...(changes.forgetFailures && { failing_since_ms: '' }),
});

/** Every endpoint of a tenant, newest first. */
export const readEndpoints = async (redis: Redis, tenant: string): Promise<WebhookEndpoint[]> => {
  const reply = (await scripts.readEndpoints(redis, [tenantEndpointsKey(tenant)], [MAX_ENDPOINTS])) as (string | string[])[];
  const endpoints: WebhookEndpoint[] = [];
  for (let at = 0; at + 1 < reply.length; at += 2) {
    const endpoint = decodeEndpoint(reply[at] as string, pairs(reply[at + 1] as string[]));
    if (endpoint) endpoints.push(endpoint);
  }
  return endpoints;
};

/** The endpoint with this id, whoever owns it. */
export const readEndpoint = async (redis: Redis, id: string): Promise<WebhookEndpoint | undefined> => decodeEndpoint(id, await redis.hgetall(endpointKey(id)));

/** Writes a new endpoint. `exists`: there is one with this id. `full`: the tenant has as many as it may have. */
export const insertEndpoint = async (redis: Redis, endpoint: WebhookEndpoint): Promise<'created' | 'exists' | 'full'> => {
  const { id, tenant, createdMs, encryptedSecret, hint } = endpoint;
  const fields = { ...encodeChanges({ name: endpoint.name, url: endpoint.url, eventTypes: endpoint.eventTypes }), secret: encryptedSecret, hint };
  const args = [id, createdMs, MAX_ENDPOINTS, ENDPOINTS_CHANNEL, tenant, ...Object.entries(fields).flat()];
  return (await scripts.createEndpoint(redis, [endpointKey(id), tenantEndpointsKey(tenant)], args)) as 'created' | 'exists' | 'full';
};

/** Changes an endpoint and tells every process; what is as it was leaves `updatedMs` as it was. */
export const changeEndpoint = async (redis: Redis, id: string, changes: EndpointChanges, nowMs: number): Promise<'changed' | 'unchanged' | 'gone'> => {
  const args = [nowMs, ENDPOINTS_CHANNEL, ...Object.entries(encodeChanges(changes)).flat()];
  return (await scripts.changeEndpoint(redis, [endpointKey(id)], args)) as 'changed' | 'unchanged' | 'gone';
};

/** Puts a new secret in the place of the current one, which signs on until `oldUntilMs` (undefined: no longer). False: the endpoint is gone. */
export const replaceSecret = async (
  redis: Redis,
  id: string,
  secret: { encrypted: string; hint: string },
  { oldUntilMs, nowMs }: { oldUntilMs: number | undefined; nowMs: number },
): Promise<boolean> => (await scripts.rotateSecret(redis, [endpointKey(id)], [secret.encrypted, secret.hint, oldUntilMs ?? '', nowMs])) === 1;

/** Removes an endpoint and tells every process. */
export const removeEndpoint = async (redis: Redis, { id, tenant }: WebhookEndpoint): Promise<void> => {
  await execute(redis.multi().del(endpointKey(id)).zrem(tenantEndpointsKey(tenant), id).publish(ENDPOINTS_CHANNEL, tenant));
};
