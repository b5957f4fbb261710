import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { isId, newId } from '../ids.ts';
import { assertAllowedUrl } from '../web/allowed-url.ts';
import type { WebhookEndpoint } from './endpoint.ts';
import {
  changeEndpoint,
  type EndpointChanges,
  insertEndpoint,
  MAX_ENDPOINTS,
  readEndpoint,
  readEndpoints,
  removeEndpoint,
  replaceSecret,
} from './endpoint-store.ts';
import { newSecret } from './secret.ts';
import { giveUpDeliveries } from './store.ts';

type EndpointDeps = Pick<Deps, 'redis' | 'config' | 'now' | 'endpoints'>;

/** Contract 5 and OpenAI's `keep_old_secret_active_for_24_hours`. */
const OVERLAP_MS = 24 * 3600 * 1000;

export type NewEndpoint = Pick<WebhookEndpoint, 'tenant' | 'name' | 'url' | 'eventTypes'> & { id?: string };
/** The settings to change; `enabled: true` also forgets the failures that were counted. */
export type EndpointSettings = Partial<Pick<WebhookEndpoint, 'name' | 'url' | 'eventTypes'>> & { enabled?: boolean | undefined };

/**
 * Makes an endpoint. It is told of every event it asked for from now on; there is no first event that it did not ask for.
 * @throws AppError `invalid_url` (param `url`), `invalid_request` when the tenant has as many as it may have,
 *   `idempotency_in_progress` when an endpoint with this `id` exists.
 */
export const createEndpoint = async (deps: EndpointDeps, { id = newId('whe'), ...settings }: NewEndpoint): Promise<WebhookEndpoint> => {
  assertAllowedUrl(settings.url, deps.config.web.allowPrivateNetwork, 'url');
  const { encrypted, hint } = newSecret(deps);
  const nowMs = deps.now();
  const endpoint: WebhookEndpoint = { id, ...settings, createdMs: nowMs, updatedMs: nowMs, encryptedSecret: encrypted, hint };
  const reply = await insertEndpoint(deps.redis, endpoint);
  if (reply === 'exists') throw new AppError('idempotency_in_progress', 'This endpoint is just being made by another request.');
  if (reply === 'full') throw new AppError('invalid_request', `There are ${MAX_ENDPOINTS} webhook endpoints, the most there can be: delete one first.`);
  deps.endpoints.forget(settings.tenant);
  return endpoint;
};

/** An endpoint of this tenant. */
export const lookUpEndpoint = async (deps: Pick<Deps, 'redis'>, tenant: string, id: string): Promise<WebhookEndpoint | undefined> => {
  const endpoint = isId('whe', id) ? await readEndpoint(deps.redis, id) : undefined;
  return endpoint?.tenant === tenant ? endpoint : undefined;
};

/** @throws AppError `not_found` also for an endpoint of another tenant. */
export const findEndpoint = async (deps: Pick<Deps, 'redis'>, tenant: string, id: string): Promise<WebhookEndpoint> => {
  const endpoint = await lookUpEndpoint(deps, tenant, id);
  if (!endpoint) throw new AppError('not_found', 'There is no such webhook endpoint.');
  return endpoint;
};

/** A tenant's endpoints, newest first, from the one after `after`. @throws AppError `invalid_request` (param `after`). */
export const listEndpoints = async (
  deps: Pick<Deps, 'redis'>,
  tenant: string,
  { limit, after }: { limit: number; after?: string | undefined },
): Promise<{ endpoints: WebhookEndpoint[]; hasMore: boolean }> => {
  const all = await readEndpoints(deps.redis, tenant);
  const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && start === 0) throw new AppError('invalid_request', 'after: there is no such webhook endpoint.', { param: 'after' });
  return { endpoints: all.slice(start, start + limit), hasMore: all.length > start + limit };
};

const changesOf = (endpoint: WebhookEndpoint, { enabled, ...settings }: EndpointSettings, nowMs: number): EndpointChanges => {
  const changes: EndpointChanges = { ...settings };
  // What an address did says nothing of another.
  if (settings.url !== undefined && settings.url !== endpoint.url) changes.forgetFailures = true;
  if (enabled === true && endpoint.disabled) Object.assign(changes, { disabled: undefined, forgetFailures: true });
  if (enabled === false && !endpoint.disabled) changes.disabled = { reason: 'requested', atMs: nowMs };
  return changes;
};

/**
 * Changes the settings that are named. Disabling gives up what is pending; what happens while an endpoint is disabled is not sent later.
 * @throws AppError `not_found`, `invalid_url` (param `url`).
 */
export const updateEndpoint = async (deps: EndpointDeps, tenant: string, id: string, settings: EndpointSettings): Promise<WebhookEndpoint> => {
  if (settings.url !== undefined) assertAllowedUrl(settings.url, deps.config.web.allowPrivateNetwork, 'url');
  const nowMs = deps.now();
  const changes = changesOf(await findEndpoint(deps, tenant, id), settings, nowMs);
  await changeEndpoint(deps.redis, id, changes, nowMs);
  deps.endpoints.forget(tenant);
  if (changes.disabled) await giveUpDeliveries(deps.redis, tenant, id, 'endpoint_disabled');
  return findEndpoint(deps, tenant, id);
};

/** Removes an endpoint and gives up what is pending for it. @throws AppError `not_found`. */
export const deleteEndpoint = async (deps: EndpointDeps, tenant: string, id: string): Promise<void> => {
  await removeEndpoint(deps.redis, await findEndpoint(deps, tenant, id));
  deps.endpoints.forget(tenant);
  await giveUpDeliveries(deps.redis, tenant, id, 'endpoint_deleted');
};

/**
 * Gives an endpoint a new secret. With `keepOld` the one before signs beside it for 24 h; without, it is over at once, and so is one
 * that was still kept.
 * @throws AppError `not_found`.
 */
export const rotateSecret = async (deps: EndpointDeps, tenant: string, id: string, keepOld: boolean): Promise<WebhookEndpoint> => {
  await findEndpoint(deps, tenant, id);
  const nowMs = deps.now();
  await replaceSecret(deps.redis, id, newSecret(deps), { oldUntilMs: keepOld ? nowMs + OVERLAP_MS : undefined, nowMs });
  return findEndpoint(deps, tenant, id);
};
