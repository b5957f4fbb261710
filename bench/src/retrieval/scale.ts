import { join } from 'node:path';
import { newId } from '@fana/core/ids.ts';
import type { Collection } from '@fana/core/retrieval/collection.ts';
import { searchVector } from '@fana/core/retrieval/search.ts';
import { completeDocument, insertCollection, readDocuments, saveDocument } from '@fana/core/retrieval/store.ts';
import type { ChunkRow } from '@fana/core/retrieval/table.ts';
import { startRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { connect, rerankers, type Table } from '@lancedb/lancedb';

const VECTORS = 100_000;
const DOCUMENTS = 500;
const DIMENSIONS = 512;
const GROUP = 5000;
const ROUNDS = 9;
const SEARCHES = 8;
const TOP_K = 10;

/** Mulberry32: the same vectors and texts in every run. */
const seeded = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};

const random = seeded(7);
const vector = (): Float32Array => Float32Array.from({ length: DIMENSIONS }, () => random() - 0.5);
const WORDS = Array.from({ length: 3000 }, (_, n) => `word${n.toString(36)}`);
/** Of few words most, as in any language. */
const words = (count: number): string => Array.from({ length: count }, () => WORDS[Math.floor(random() ** 3 * WORDS.length)]).join(' ');

type Document = { id: string; version: string };

const makeDocuments = async (deps: TestDeps, collection: Collection): Promise<Document[]> => {
  await insertCollection(deps.redis, collection);
  return Promise.all(
    Array.from({ length: DOCUMENTS }, async () => {
      const [id, version] = [newId('doc'), newId('job')];
      const source = { kind: 'url', url: 'https://example.com/' } as const;
      await saveDocument(deps.redis, { id, tenant: 't', collectionId: collection.id, jobId: version, source, metadata: {} }, true);
      const [document] = await readDocuments(deps.redis, [id]);
      if (document) await completeDocument(deps.redis, document, version, VECTORS / DOCUMENTS);
      return { id, version };
    }),
  );
};

const fill = async (deps: TestDeps, collection: Collection): Promise<void> => {
  const documents = await makeDocuments(deps, collection);
  for (let from = 0; from < VECTORS; from += GROUP) {
    const rows = Array.from({ length: GROUP }, (_, at): ChunkRow => {
      const { id, version } = documents[(from + at) % DOCUMENTS] as Document;
      const text = words(20);
      const chunk = Math.floor((from + at) / DOCUMENTS);
      return { document_id: id, version, chunk, text, path: '[]', search: text, tags: [], vector: vector() };
    });
    await deps.retrieval.tables.add(collection.id, rows);
  }
  await deps.retrieval.tables.tidy(collection.id, [], new Date());
};

type Query = { text: string; vector: Float32Array };

const direct = async (table: Table, reranker: rerankers.RRFReranker, query: Query): Promise<unknown[]> =>
  table
    .query()
    .nearestTo(query.vector)
    .distanceType('cosine')
    .fullTextSearch(query.text, { columns: ['search'] })
    .rerank(reranker)
    .limit(TOP_K)
    .toArray();

const timed = async (queries: Query[], search: (query: Query) => Promise<unknown[]>): Promise<number> => {
  const startedAt = performance.now();
  for (const query of queries) {
    const found = await search(query);
    if (found.length !== TOP_K) throw new Error(`${found.length} chunks were found, ${TOP_K} were asked for`);
  }
  return (performance.now() - startedAt) / queries.length;
};

/** Milliseconds a hybrid search of 100,000 vectors takes: ours, with its look at what is live, beside LanceDB called directly, in paired rounds. */
export const measureScale = async (): Promise<{ ours: number; baseline: number }[]> => {
  const redis = await startRedis();
  const deps = testDeps(redis.url);
  const collection: Collection = {
    id: newId('col'),
    tenant: 't',
    name: 'scale',
    metadata: {},
    embedding: { provider: 'openai', model: 'synthetic', dimensions: DIMENSIONS },
    createdMs: Date.now(),
  };
  try {
    await fill(deps, collection);
    const table = await (await connect(join(deps.config.dataDir, 'retrieval'))).openTable(collection.id);
    const reranker = await rerankers.RRFReranker.create();
    const ours = (query: Query): Promise<unknown[]> => searchVector(deps, collection, { query: query.text, topK: TOP_K }, query.vector);
    const baseline = (query: Query): Promise<unknown[]> => direct(table, reranker, query);
    const rounds: { ours: number; baseline: number }[] = [];
    for (let round = 0; round <= ROUNDS; round++) {
      const queries = Array.from({ length: SEARCHES }, () => ({ text: words(4), vector: vector() }));
      const pair =
        round % 2 === 0
          ? { baseline: await timed(queries, baseline), ours: await timed(queries, ours) }
          : { ours: await timed(queries, ours), baseline: await timed(queries, baseline) };
      // The first warms both.
      if (round > 0) rounds.push(pair);
    }
    return rounds;
  } finally {
    await deps.close();
    await redis.stop();
  }
};
