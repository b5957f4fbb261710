import type { Redis } from 'ioredis';
import { loadScript } from '../redis.ts';
import type { DisabledReason, WebhookEndpoint } from './endpoint.ts';

/** Pub/sub channel on which every process hears the tenants whose endpoints changed. */
export const ENDPOINTS_CHANNEL = 'fana:webhook-endpoints';

/** Endpoints of one tenant. */
const MAX_ENDPOINTS = 100;

const tenantEndpointsKey = (tenant: string): string => `fana:tenant:${tenant}:webhook-endpoints`;

const scripts = {
  readEndpoints: loadScript(import.meta.url, './read-endpoints.lua'),
};

const pairs = (flat: string[]): Record<string, string> => {
  const fields: Record<string, string> = {};
  for (let at = 0; at + 1 < flat.length; at += 2) fields[flat[at] as string] = flat[at + 1] as string;
  return fields;
};

const decodeEndpoint = (id: string, fields: Record<string, string>): WebhookEndpoint | undefined => {
  const { tenant, name = '', url = '', event_types = '[]', hint = '', created_ms, updated_ms, disabled_reason, disabled_ms, failing_since_ms } = fields;
  if (tenant === undefined) return undefined;
  return {
    id,
    tenant,
    name,
    url,
    eventTypes: JSON.parse(event_types),
    createdMs: Number(created_ms),
    updatedMs: Number(updated_ms),
    hint,
    ...(disabled_reason !== undefined && { disabled: { reason: disabled_reason as DisabledReason, atMs: Number(disabled_ms) } }),
    ...(failing_since_ms !== undefined && { failingSinceMs: Number(failing_since_ms) }),
  };
};

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
