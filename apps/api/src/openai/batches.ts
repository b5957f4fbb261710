import type { BatchRecord } from '@fana/core/batches/batch.ts';
import { cancelBatch } from '@fana/core/batches/cancel.ts';
import { createBatch } from '@fana/core/batches/create.ts';
import { listBatches } from '@fana/core/batches/list.ts';
import { presentBatch } from '@fana/core/batches/present.ts';
import { listResults } from '@fana/core/batches/results.ts';
import { retryFailed } from '@fana/core/batches/retry-failed.ts';
import { readBatch } from '@fana/core/batches/store.ts';
import { AppError } from '@fana/core/errors.ts';
import { isId, newId } from '@fana/core/ids.ts';
import { parseWith } from '@fana/core/parse.ts';
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

const MAX_BODY_BYTES = 1_000_000;
/** The lines that are retried keep everything but their key from their batch. */
const noFields = z.strictObject({});

const notFound = (id: string): never => {
  throw new AppError('not_found', `There is no batch ${id.slice(0, 100)}.`);
};

/** The batch of that id, if it is this tenant's. */
const findBatch = async (deps: ApiDeps, tenant: string, id: string): Promise<BatchRecord | undefined> => {
  const batch = isId('batch', id) ? await readBatch(deps, id) : undefined;
  return batch?.spec.tenant === tenant ? batch : undefined;
};

/** The batch named in the path, if it is the caller's: another tenant's does not exist for them. */
const ownBatch = async (deps: ApiDeps, c: Context<Environment, '/:id'>): Promise<BatchRecord> =>
  (await findBatch(deps, c.var.caller.tenant, c.req.param('id'))) ?? notFound(c.req.param('id'));

/** Makes a batch once for an Idempotency-Key. */
const make = async (
  deps: ApiDeps,
  c: Context<Environment>,
  route: string,
  rawBody: string,
  create: (id: string) => Promise<BatchRecord>,
): Promise<Response> => {
  const { tenant } = c.var.caller;
  const made = await createOnce(c, { deps, route, rawBody, id: newId('batch'), make: create, find: (id) => findBatch(deps, tenant, id) });
  return c.json(presentBatch(made.object));
};

/** `/v1/batches`: OpenAI's batches, and beyond them `results` and `retry_failed`. */
export const batchRoutes = (deps: ApiDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.use(authenticate(deps.keys, 'jobs'));

  routes.post('/', limits(deps), async (c) => {
    const { raw, body } = await readJson(c, MAX_BODY_BYTES);
    const { caller } = c.var;
    return make(deps, c, 'batches', raw, (id) => createBatch(deps, caller, id, body));
  });
  routes.get('/', async (c) => {
    const { limit, after } = parseWith(listQuery, c.req.query());
    const { batches, hasMore } = await listBatches(deps, c.var.caller.tenant, { limit, after });
    return c.json(listPage(batches.map(presentBatch), hasMore));
  });
  routes.get('/:id', async (c) => c.json(presentBatch(await ownBatch(deps, c))));
  routes.post('/:id/cancel', async (c) => {
    const { id } = await ownBatch(deps, c);
    return c.json(presentBatch((await cancelBatch(deps, id)) ?? notFound(id)));
  });
  routes.get('/:id/results', async (c) => {
    const batch = await ownBatch(deps, c);
    const { results, hasMore } = await listResults(deps, batch, parseWith(listQuery, c.req.query()));
    return c.json(listPage(results, hasMore));
  });
  routes.post('/:id/retry_failed', limits(deps), async (c) => {
    const batch = await ownBatch(deps, c);
    parseWith(noFields, (await readOptionalJson(c, MAX_BODY_BYTES)).body);
    return make(deps, c, 'batches-retry', batch.id, (id) => retryFailed(deps, batch, c.var.caller, id));
  });

  routes.all('/', allowOnly('GET', 'POST'));
  routes.all('/:id', allowOnly('GET'));
  routes.all('/:id/results', allowOnly('GET'));
  for (const action of ['cancel', 'retry_failed']) routes.all(`/:id/${action}`, allowOnly('POST'));
  return routes;
};
