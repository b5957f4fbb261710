import { AppError } from '@fana/core/errors.ts';
import { newId } from '@fana/core/ids.ts';
import { parseWith } from '@fana/core/parse.ts';
import type { ApiKey, KeySettings } from '@fana/core/tenants/api-key.ts';
import { SCOPES } from '@fana/core/tenants/caller.ts';
import { createKey, findKey, listKeys, revokeKey, updateKey } from '@fana/core/tenants/manage-keys.ts';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { listPage, listQuery } from '../list-page.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { readJson } from '../middleware/body.ts';
import { createOnce } from '../middleware/idempotency.ts';
import { limits } from '../middleware/limits.ts';

type KeyDeps = Pick<ApiDeps, 'keys' | 'redis' | 'now'>;

const MAX_BYTES = 1_000_000;
/** Limits of the contract that are not enforced yet: refused by name, never ignored. */
const LIMITS_NOT_BUILT = ['tokens_per_minute', 'images_per_minute', 'concurrency', 'monthly_budget_usd'] as const;

const unique = (items: readonly unknown[]): boolean => new Set(items).size === items.length;
const limitsSchema = z.strictObject({ requests_per_minute: z.int().min(1).max(1_000_000_000).nullish() });
const settings = {
  name: z.string().min(1).max(100),
  scopes: z.array(z.enum(SCOPES)).min(1).refine(unique, 'must not name a scope twice'),
  expires_at: z.int().min(1).max(253_402_300_799).nullish(),
  system: z.string().min(1).max(100_000).nullish(),
  limits: limitsSchema.nullish(),
  models: z.array(z.string().min(1).max(200)).min(1).max(100).refine(unique, 'must not name a model twice').nullish(),
};
const updateSchema = z.strictObject({ ...settings, name: settings.name.optional(), scopes: settings.scopes.optional() });
const createSchema = z.strictObject({
  ...settings,
  name: settings.name.default('unnamed'),
  tenant: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, 'must have 1 to 64 letters, digits, _ . -')
    .optional(),
  // Every right but that of making keys.
  scopes: settings.scopes.default(SCOPES.filter((scope) => scope !== 'admin')),
});

/** Reads a strict body whose `limits` may name only what is built. */
const parseSettings = <T extends z.ZodType>(schema: T, body: Record<string, unknown>, nowMs: number): z.output<T> => {
  const { limits: asked } = body;
  if (typeof asked === 'object' && asked !== null) {
    const name = LIMITS_NOT_BUILT.find((limit) => limit in asked);
    if (name) throw new AppError('unsupported_parameter', `limits.${name} is not supported yet.`, { param: `limits.${name}` });
  }
  const expiresAt = body['expires_at'];
  const parsed = parseWith(schema, body);
  if (typeof expiresAt === 'number' && expiresAt * 1000 <= nowMs) {
    throw new AppError('invalid_request', 'expires_at: must be in the future, in unix seconds.', { param: 'expires_at' });
  }
  return parsed;
};

/** The named settings alone: a change leaves the others as they are, and null takes a value away. */
const toSettings = (parsed: z.output<typeof updateSchema>): Partial<KeySettings> => ({
  ...(parsed.name !== undefined && { name: parsed.name }),
  ...(parsed.scopes !== undefined && { scopes: parsed.scopes }),
  ...(parsed.expires_at !== undefined && { expiresMs: parsed.expires_at === null ? undefined : parsed.expires_at * 1000 }),
  ...(parsed.system !== undefined && { system: parsed.system ?? undefined }),
  ...(parsed.limits !== undefined && toLimits(parsed.limits)),
  ...(parsed.models !== undefined && { models: parsed.models ?? undefined }),
});

const toLimits = (asked: z.output<typeof limitsSchema> | null): Partial<KeySettings> => {
  if (asked === null) return { requestsPerMinute: undefined };
  return asked.requests_per_minute === undefined ? {} : { requestsPerMinute: asked.requests_per_minute ?? undefined };
};

const seconds = (ms: number | undefined): number | null => (ms === undefined ? null : Math.floor(ms / 1000));

const view = (key: ApiKey) => ({
  id: key.id,
  object: 'api_key' as const,
  name: key.name,
  tenant: key.tenant,
  scopes: key.scopes,
  hint: key.hint,
  expires_at: seconds(key.expiresMs),
  system: key.system ?? null,
  limits: {
    requests_per_minute: key.requestsPerMinute ?? null,
    tokens_per_minute: null,
    images_per_minute: null,
    concurrency: null,
    monthly_budget_usd: null,
  },
  models: key.models ?? null,
  created_at: seconds(key.createdMs),
  revoked_at: seconds(key.revokedMs),
});

/** The answer is the only one that holds the key; a replay by Idempotency-Key is rebuilt from the object and has no `key`. */
const create = async (deps: KeyDeps, c: Context<Environment>): Promise<Response> => {
  const { raw, body } = await readJson(c, MAX_BYTES);
  const parsed = parseSettings(createSchema, body, deps.now());
  const { caller } = c.var;
  const made = await createOnce(c, {
    deps,
    route: 'keys',
    rawBody: raw,
    id: newId('key'),
    make: (id) => createKey(deps, caller, { ...toSettings(parsed), id, name: parsed.name, scopes: parsed.scopes, tenant: parsed.tenant ?? caller.tenant }),
    find: (id) => findKey(deps, caller, id).catch(absent),
  });
  return c.json(made.kind === 'made' ? { ...view(made.object.record), key: made.object.key } : view(made.object));
};

const absent = (error: unknown): undefined => {
  if (error instanceof AppError && error.code === 'not_found') return undefined;
  throw error;
};

/** `/v1/admin/keys`: create, list, get, update and revoke API keys. */
export const keyRoutes = (deps: KeyDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.use(authenticate(deps.keys, 'admin'), limits(deps));

  routes.post('/', (c) => create(deps, c));
  routes.get('/', async (c) => {
    const { limit, after } = parseWith(listQuery, c.req.query());
    const { keys, hasMore } = await listKeys(deps, c.var.caller, limit, after);
    return c.json(listPage(keys.map(view), hasMore));
  });
  routes.get('/:id', async (c) => c.json(view(await findKey(deps, c.var.caller, c.req.param('id')))));
  routes.on(['POST', 'PATCH'], '/:id', async (c) => {
    const { body } = await readJson(c, MAX_BYTES);
    const changed = await updateKey(deps, c.var.caller, c.req.param('id'), toSettings(parseSettings(updateSchema, body, deps.now())));
    deps.keys.forget(changed.id);
    return c.json(view(changed));
  });
  const revoke = async (c: Context<Environment, '/:id'>): Promise<Response> => {
    const revoked = await revokeKey(deps, c.var.caller, c.req.param('id'));
    deps.keys.forget(revoked.id);
    return c.json(view(revoked));
  };
  routes.delete('/:id', revoke);
  routes.post('/:id/revoke', (c) => revoke(c));

  routes.all('/', allowOnly('GET', 'POST'));
  routes.all('/:id', allowOnly('GET', 'POST', 'PATCH', 'DELETE'));
  routes.all('/:id/revoke', allowOnly('POST'));
  return routes;
};
