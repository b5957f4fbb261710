import { newId } from '@fana/core/ids.ts';
import { chunkText } from '@fana/core/retrieval/chunk.ts';
import { type Chunk, type Embedding, MAX_TOP_K } from '@fana/core/retrieval/collection.ts';
import { fuse } from '@fana/core/retrieval/fuse.ts';
import { searchText } from '@fana/core/retrieval/ingest.ts';
import { LOCAL_DIMENSIONS, LOCAL_MODEL } from '@fana/core/retrieval/local-embedder.ts';
import type { Retrieval } from '@fana/core/retrieval/retrieval.ts';
import type { Hit } from '@fana/core/retrieval/table.ts';
import type { RetrievalSet } from './sets.ts';

/** nDCG@10 of each half alone and of both together. */
export type Quality = { fullText: number; vector: number; hybrid: number };

const EMBEDDING: Embedding = { provider: 'local', model: LOCAL_MODEL, dimensions: LOCAL_DIMENSIONS };
const GROUP = 500;

/** With one right document, nDCG is what its rank is worth. A document stands where its best chunk does. */
const gainOf = (hits: Pick<Hit, 'document_id'>[], right: string): number => {
  const rank = [...new Set(hits.map(({ document_id }) => document_id))].indexOf(right);
  return rank < 0 || rank >= 10 ? 0 : 1 / Math.log2(rank + 2);
};

const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Fills a table as an ingest does: the product's chunks, its model, its index. The name of a document is not told: it is half the answer. */
const fill = async ({ tables, local }: Retrieval, collection: string, set: RetrievalSet): Promise<void> => {
  const { signal } = new AbortController();
  const pieces = set.documents.flatMap(({ name, text }) => chunkText(text).chunks.map((chunk: Chunk, at) => ({ name, chunk, at })));
  for (let from = 0; from < pieces.length; from += GROUP) {
    const group = pieces.slice(from, from + GROUP);
    const searches = group.map(({ chunk }) => searchText(null, chunk));
    const vectors = await local.embed(searches, { signal });
    await tables.add(
      collection,
      group.map(({ name, chunk, at }, row) => ({
        document_id: name,
        version: 'v',
        chunk: at,
        text: chunk.text,
        path: '[]',
        search: searches[row] ?? '',
        tags: [],
        vector: vectors[row] ?? new Float32Array(),
      })),
    );
  }
  await tables.tidy(collection, [], new Date());
};

/** Asks every question of a set. */
export const measureQuality = async (retrieval: Retrieval, set: RetrievalSet): Promise<Quality> => {
  const collection = newId('col');
  await fill(retrieval, collection, set);
  const { signal } = new AbortController();
  const gains = { fullText: [] as number[], vector: [] as number[], hybrid: [] as number[] };
  for (const { name, query } of set.documents) {
    const [vector = new Float32Array()] = await retrieval.local.embed([query], { signal });
    const found = await retrieval.tables.search(collection, { text: query, vector, filter: {}, limit: 4 * MAX_TOP_K });
    gains.fullText.push(gainOf(found.fullText, name));
    gains.vector.push(gainOf(found.vector, name));
    gains.hybrid.push(
      gainOf(
        fuse(found.fullText, found.vector, EMBEDDING).map(({ hit }) => hit),
        name,
      ),
    );
  }
  return { fullText: mean(gains.fullText), vector: mean(gains.vector), hybrid: mean(gains.hybrid) };
};
