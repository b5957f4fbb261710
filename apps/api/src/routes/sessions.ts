import { newId } from '@fana/core/ids.ts';
import { metadataSchema } from '@fana/core/jobs/submission.ts';
import { parseWith } from '@fana/core/parse.ts';
import { eraseSession } from '@fana/core/sessions/erase-session.ts';
import { languageSchema } from '@fana/core/sessions/language-tag.ts';
import { listTurns } from '@fana/core/sessions/list-turns.ts';
import { createSession, endSession, findSession, listSessions, lookUpSession, updateSession } from '@fana/core/sessions/manage-sessions.ts';
import { presentTurn } from '@fana/core/sessions/present-turn.ts';
import { presentSession } from '@fana/core/sessions/session.ts';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { listPage, listQuery } from '../list-page.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { readJson, readOptionalJson } from '../middleware/body.ts';
import { createOnce } from '../middleware/idempotency.ts';
import { limits } from '../middleware/limits.ts';

type SessionDeps = Pick<ApiDeps, 'keys' | 'redis' | 'blobs' | 'queues' | 'config' | 'now'>;

const MAX_BYTES = 1_000_000;

const system = z.string().max(100_000, 'must have at most 100000 characters');
const createSchema = z.strictObject({ metadata: metadataSchema.nullish(), system: system.nullish(), language: languageSchema.nullish() });
/** null takes a setting away; what is not named stays. */
const updateSchema = createSchema;

/** `auto` is what a session does without a language of its own. */
const languageOf = (language: string | null | undefined): string | null | undefined => (language === 'auto' ? null : language);

const create = async (deps: SessionDeps, c: Context<Environment>): Promise<Response> => {
  const { raw, body } = await readOptionalJson(c, MAX_BYTES);
  const parsed = parseWith(createSchema, body);
  const { tenant } = c.var.caller;
  const language = languageOf(parsed.language);
  const { object } = await createOnce(c, {
    deps,
    route: 'sessions',
    rawBody: raw,
    id: newId('ses'),
    make: (id) =>
      createSession(deps, { id, tenant, metadata: parsed.metadata ?? {}, ...(parsed.system && { system: parsed.system }), ...(language && { language }) }),
    find: (id) => lookUpSession(deps, tenant, id),
  });
  return c.json(presentSession(object));
};

const update = async (deps: SessionDeps, c: Context<Environment, '/:id'>): Promise<Response> => {
  const { body } = await readJson(c, MAX_BYTES);
  const { metadata, ...parsed } = parseWith(updateSchema, body);
  const language = languageOf(parsed.language);
  const changed = await updateSession(deps, c.var.caller.tenant, c.req.param('id'), {
    ...(metadata !== undefined && { metadata: metadata ?? {} }),
    ...(parsed.system !== undefined && { system: parsed.system }),
    ...(language !== undefined && { language }),
  });
  return c.json(presentSession(changed));
};

const turns = async (deps: SessionDeps, c: Context<Environment, '/:id/turns'>): Promise<Response> => {
  const { limit, after } = parseWith(listQuery, c.req.query());
  const { tenant } = c.var.caller;
  const page = await listTurns(deps, tenant, c.req.param('id'), { limit, after });
  return c.json(listPage(await Promise.all(page.turns.map((turn) => presentTurn(deps, tenant, turn))), page.hasMore));
};

/** `/v1/sessions`: create, list, get, change, end and delete conversations, and read their turns. */
export const sessionRoutes = (deps: SessionDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.use(authenticate(deps.keys, 'sessions'), limits(deps));

  routes.post('/', (c) => create(deps, c));
  routes.get('/', async (c) => {
    const { limit, after } = parseWith(listQuery, c.req.query());
    const { sessions, hasMore } = await listSessions(deps, c.var.caller.tenant, { limit, after });
    return c.json(listPage(sessions.map(presentSession), hasMore));
  });
  routes.get('/:id', async (c) => c.json(presentSession(await findSession(deps, c.var.caller.tenant, c.req.param('id')))));
  routes.on(['POST', 'PATCH'], '/:id', (c) => update(deps, c));
  routes.delete('/:id', async (c) => {
    const id = c.req.param('id');
    await eraseSession(deps, c.var.caller.tenant, id);
    return c.json({ id, object: 'session', deleted: true });
  });
  routes.post('/:id/end', async (c) => c.json(presentSession(await endSession(deps, c.var.caller.tenant, c.req.param('id')))));
  routes.get('/:id/turns', (c) => turns(deps, c));

  routes.all('/', allowOnly('GET', 'POST'));
  routes.all('/:id', allowOnly('GET', 'POST', 'PATCH', 'DELETE'));
  routes.all('/:id/end', allowOnly('POST'));
  routes.all('/:id/turns', allowOnly('GET'));
  return routes;
};
