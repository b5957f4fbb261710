import { AppError } from '@fana/core/errors.ts';
import { newId } from '@fana/core/ids.ts';
import { parseWith } from '@fana/core/parse.ts';
import { type Collection, DEFAULT_TOP_K, MAX_TOP_K } from '@fana/core/retrieval/collection.ts';
import { createCollection, deleteCollection, findCollection, listCollections, parseCollection } from '@fana/core/retrieval/manage-collections.ts';
import { presentCollection, presentMatch } from '@fana/core/retrieval/present.ts';
import { searchCollection } from '@fana/core/retrieval/search.ts';
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
import { addDocumentRoutes } from './documents.ts';

const MAX_BYTES = 100_000;
const MAX_QUERY_CHARS = 8000;

const searchSchema = z.strictObject({
  query: z
    .string()
    .max(MAX_QUERY_CHARS, `must have at most ${MAX_QUERY_CHARS} characters`)
    .refine((text) => text.trim() !== '', 'must not be empty'),
  top_k: z.int().min(1, 'must be at least 1').max(MAX_TOP_K, `must be at most ${MAX_TOP_K}`).default(DEFAULT_TOP_K),
  filter: z
    .strictObject({
      document_ids: z.array(z.string().max(100)).min(1).max(100).optional(),
      metadata: z.record(z.string().max(64), z.string().max(512)).optional(),
    })
    .optional(),
});

/** The collection named in the path, if it is the caller's. @throws AppError `not_found`. */
const ownCollection = async (deps: ApiDeps, c: Context<Environment>): Promise<Collection> => {
  const collection = await findCollection(deps, c.var.caller.tenant, c.req.param('id') ?? '');
  if (!collection) throw new AppError('not_found', 'There is no such collection.', { param: 'id' });
  return collection;
};

const create = async (deps: ApiDeps, c: Context<Environment>): Promise<Response> => {
  const { raw, body } = await readJson(c, MAX_BYTES);
  const { caller } = c.var;
  const parsed = parseCollection(deps, caller, body);
  const { object } = await createOnce(c, {
    deps,
    route: 'collections',
    rawBody: raw,
    id: newId('col'),
    make: (id) => createCollection(deps, { id, ...parsed }),
    find: (id) => findCollection(deps, caller.tenant, id),
  });
  return c.json(presentCollection(object));
};

const search = async (deps: ApiDeps, c: Context<Environment>): Promise<Response> => {
  const collection = await ownCollection(deps, c);
  const { body } = await readJson(c, MAX_BYTES);
  const { query, top_k: topK, filter } = parseWith(searchSchema, body);
  const asked = { query, topK, ...(filter && { filter: { documentIds: filter.document_ids, metadata: filter.metadata } }) };
  const matches = await searchCollection(deps, collection, asked, c.req.raw.signal);
  return c.json({ object: 'list', data: matches.map(presentMatch) });
};

/** `/v1/collections`: collections, their documents, and searches in them. */
export const collectionRoutes = (deps: ApiDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.use(authenticate(deps.keys, 'documents'), limits(deps));

  routes.post('/', (c) => create(deps, c));
  routes.get('/', async (c) => {
    const { collections, hasMore } = await listCollections(deps, c.var.caller.tenant, parseWith(listQuery, c.req.query()));
    return c.json(listPage(collections.map(presentCollection), hasMore));
  });
  routes.get('/:id', async (c) => c.json(presentCollection(await ownCollection(deps, c))));
  routes.delete('/:id', async (c) => {
    const collection = await ownCollection(deps, c);
    await deleteCollection(deps, collection);
    return c.json({ id: collection.id, object: 'collection', deleted: true });
  });
  routes.post('/:id/search', (c) => search(deps, c));
  addDocumentRoutes(routes, deps, (c) => ownCollection(deps, c));

  routes.all('/', allowOnly('GET', 'POST'));
  routes.all('/:id', allowOnly('GET', 'DELETE'));
  routes.all('/:id/search', allowOnly('POST'));
  return routes;
};
