import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { isId } from '../ids.ts';
import { metadataSchema } from '../jobs/submission.ts';
import { parseWith } from '../parse.ts';
import type { Collection } from './collection.ts';
import { chooseEmbedding } from './embed.ts';
import { dropCollection, insertCollection, readCollections, tenantCollectionsKey } from './store.ts';
import { tidyMessage } from './tidy.ts';

const body = z.strictObject({
  name: z.string().trim().min(1, 'must not be empty').max(200, 'must have at most 200 characters'),
  metadata: metadataSchema.optional(),
  embedding_model: z.string().min(1).max(200).optional(),
});

type Creator = { tenant: string; models?: readonly string[] | undefined };

/** Checks the body of a new collection. @throws AppError `invalid_request`, `model_not_found`, `model_not_available`, `insufficient_scope`, with `param`. */
export const parseCollection = (
  deps: Pick<Deps, 'config' | 'providers'>,
  { tenant, models }: Creator,
  given: unknown,
): Omit<Collection, 'id' | 'createdMs'> => {
  const { name, metadata = {}, embedding_model: model } = parseWith(body, given);
  return { tenant, name, metadata, embedding: chooseEmbedding(deps, model, models) };
};

export const createCollection = async (deps: Pick<Deps, 'redis' | 'now'>, parsed: Omit<Collection, 'createdMs'>): Promise<Collection> => {
  const collection = { ...parsed, createdMs: deps.now() };
  await insertCollection(deps.redis, collection);
  return collection;
};

/** The collection of that id, if it is this tenant's. */
export const findCollection = async (deps: Pick<Deps, 'redis'>, tenant: string, id: string): Promise<Collection | undefined> => {
  const [collection] = isId('col', id) ? await readCollections(deps.redis, [id]) : [];
  return collection?.tenant === tenant ? collection : undefined;
};

/** A tenant's collections, newest first, from the one after `after`. @throws AppError `invalid_request` when that is none of them. */
export const listCollections = async (
  deps: Pick<Deps, 'redis'>,
  tenant: string,
  { limit, after }: { limit: number; after?: string | undefined },
): Promise<{ collections: Collection[]; hasMore: boolean }> => {
  const ids = await pageOf(deps, tenantCollectionsKey(tenant), limit, after, 'collection');
  return { collections: await readCollections(deps.redis, ids.slice(0, limit)), hasMore: ids.length > limit };
};

/** One id more than `limit` of an index, newest first. @throws AppError `invalid_request` for an unknown `after`. */
export const pageOf = async (deps: Pick<Deps, 'redis'>, index: string, limit: number, after: string | undefined, what: string): Promise<string[]> => {
  let start = 0;
  if (after !== undefined) {
    const rank = await deps.redis.zrevrank(index, after);
    if (rank === null) throw new AppError('invalid_request', `after: there is no such ${what}.`, { param: 'after' });
    start = rank + 1;
  }
  return deps.redis.zrevrange(index, start, start + limit);
};

/** Takes a collection away with everything in it: at once for everybody who asks, from the disk shortly after. */
export const deleteCollection = async (deps: Pick<Deps, 'redis' | 'queues' | 'now'>, collection: Collection): Promise<void> => {
  await dropCollection(deps.redis, collection, deps.now());
  await deps.queues.enqueue([tidyMessage(deps, collection.id)]);
};
