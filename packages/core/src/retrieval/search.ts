import type { Deps } from '../deps.ts';
import type { Collection, Match } from './collection.ts';
import { embedQuery } from './embed.ts';
import { fuse } from './fuse.ts';
import { readLive } from './store.ts';
import type { ChunkFilter } from './table.ts';

/** What is asked of a collection. `filter` is applied before anything is compared. */
export type Search = {
  query: string;
  topK: number;
  filter?: { documentIds?: string[] | undefined; metadata?: Record<string, string> | undefined } | undefined;
};

export type SearchDeps = Pick<Deps, 'redis' | 'providers' | 'pacer' | 'retrieval'>;

/** Each half finds more than is asked for: what both find is better than what one finds first. */
const HALF_FACTOR = 4;
const HALF_MIN = 40;
/** Chunks of versions that are not live are passed over; when they crowd a search it looks again without them, so often at most. */
const ROUNDS = 4;

/** The metadata pair of a document, as the index keeps it. */
export const tagOf = ([key, value]: [string, string]): string => `${key}=${value}`;

/** As `searchCollection`, with the vector of the query made already. */
export const searchVector = async (deps: Pick<Deps, 'redis' | 'retrieval'>, collection: Collection, search: Search, vector: Float32Array): Promise<Match[]> => {
  const { query: text, topK, filter } = search;
  const limit = Math.max(HALF_MIN, HALF_FACTOR * topK);
  const tags = Object.entries(filter?.metadata ?? {}).map(tagOf);
  const dead = new Set<string>();
  for (let round = 1; ; round++) {
    const asked: ChunkFilter = { documentIds: filter?.documentIds, tags: tags.length > 0 ? tags : undefined, withoutVersions: [...dead] };
    const found = await deps.retrieval.tables.search(collection.id, { text, vector, filter: asked, limit });
    // After the search: whatever was deleted before it began is not there, and a document is shown in one version only.
    const all = [...found.fullText, ...found.vector];
    const live = await readLive(deps.redis, collection.id, [...new Set(all.map(({ document_id }) => document_id))]);
    const isLive = ({ document_id, version }: { document_id: string; version: string }): boolean => live.get(document_id)?.live === version;
    const lost = all.filter((hit) => !isLive(hit));
    const matches = fuse(found.fullText.filter(isLive), found.vector.filter(isLive), collection.embedding).slice(0, topK);
    if (matches.length === topK || lost.length === 0 || round === ROUNDS) {
      return matches.map(({ hit, score }) => {
        const document = live.get(hit.document_id);
        return {
          documentId: hit.document_id,
          chunk: hit.chunk,
          title: document?.title ?? null,
          url: document?.url ?? null,
          path: JSON.parse(hit.path),
          text: hit.text,
          score,
        };
      });
    }
    for (const { version } of lost) dead.add(version);
  }
};

/**
 * The chunks of a collection that say most about a query, the best first: full text and vectors, fused by their ranks. Nothing outside the
 * collection is looked at.
 * @throws AppError `storage_error`, `model_not_available`, and what a provider answers that makes the query's vector.
 */
export const searchCollection = async (deps: SearchDeps, collection: Collection, search: Search, signal?: AbortSignal): Promise<Match[]> =>
  searchVector(deps, collection, search, await embedQuery(deps, collection.embedding, search.query, signal));
