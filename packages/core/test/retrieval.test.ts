import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { newId } from '../src/ids.ts';
import { DUE } from '../src/jobs/store.ts';
import type { Collection, DocumentRecord } from '../src/retrieval/collection.ts';
import { deleteCollection } from '../src/retrieval/manage-collections.ts';
import { failDocument } from '../src/retrieval/manage-documents.ts';
import { searchVector } from '../src/retrieval/search.ts';
import { beginIngest, completeDocument, deleteDocumentKeys, insertCollection, noteDocument, readDocuments, saveDocument } from '../src/retrieval/store.ts';
import { type ChunkRow, createChunkTables } from '../src/retrieval/table.ts';
import { tidyCollection } from '../src/retrieval/tidy.ts';

let redis: TestRedis;
let deps: TestDeps;
beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
});
afterAll(async () => {
  await deps.close();
  await redis.stop();
});

const newCollection = async (): Promise<Collection> => {
  const collection: Collection = {
    id: newId('col'),
    tenant: 't',
    name: 'c',
    metadata: {},
    embedding: { provider: 'openai', model: 'm', dimensions: 4 },
    createdMs: Date.now(),
  };
  await insertCollection(deps.redis, collection);
  return collection;
};

const rows = (id: string, version: string, texts: string[]): ChunkRow[] =>
  texts.map((text, chunk) => ({ document_id: id, version, chunk, text, path: '[]', search: text, tags: [], vector: Float32Array.of(1, chunk + 1, 0, 0) }));

/** A new version of a document, with its chunks in the index but not live yet. */
const write = async ({ id: collectionId }: Collection, texts: string[], id = newId('doc'), isNew = true): Promise<DocumentRecord> => {
  const jobId = newId('job');
  await saveDocument(deps.redis, { id, tenant: 't', collectionId, jobId, source: { kind: 'url', url: 'https://example.com/' }, metadata: {} }, isNew);
  await deps.retrieval.tables.add(collectionId, rows(id, jobId, texts));
  const [document] = await readDocuments(deps.redis, [id]);
  return document ?? Promise.reject(new Error('the document is gone'));
};
const finish = (document: DocumentRecord, chunks: number) => completeDocument(deps.redis, document, document.jobId, chunks);
const texts = async (collection: Collection, query: string, topK = 5): Promise<string[]> =>
  (await searchVector(deps, collection, { query, topK }, Float32Array.of(1, 1, 0, 0))).map(({ text }) => text);

it('a version is found from the step that makes it live, and the one before is not from then on', async () => {
  const collection = await newCollection();
  const first = await write(collection, ['the old heron']);
  expect(await texts(collection, 'heron')).toEqual([]);
  expect(await finish(first, 1)).toBe('completed');
  expect(await texts(collection, 'heron')).toEqual(['the old heron']);
  const second = await write(collection, ['the new heron'], first.id, false);
  expect(await texts(collection, 'heron')).toEqual(['the old heron']);
  expect(await finish(second, 1)).toBe('completed');
  expect(await texts(collection, 'heron')).toEqual(['the new heron']);
  // A worker that wakes up with the version before changes nothing.
  expect(await finish(first, 1)).toBe('gone');
  expect(await noteDocument(deps.redis, first.id, first.jobId, { done: 9 })).toBe(false);
  expect(await texts(collection, 'heron')).toEqual(['the new heron']);
});

it('what is not live does not crowd out what is', async () => {
  const collection = await newCollection();
  for (let n = 0; n < 4; n++)
    await write(
      collection,
      Array.from({ length: 60 }, (_, at) => `heron heron heron ${n} ${at}`),
    );
  const live = await write(collection, ['a heron among many other birds of the lake and its shore']);
  await finish(live, 1);
  expect(await texts(collection, 'heron')).toEqual(['a heron among many other birds of the lake and its shore']);
});

it('a delete is in force at once; its chunks leave the index with the next tidying, and the disk with the one after', async () => {
  const collection = await newCollection();
  const marker = 'unmistakable-kestrel-4711';
  const document = await write(collection, [`The ${marker} is here.`]);
  await finish(document, 1);
  const kept = await write(collection, ['The swallow stays.']);
  await finish(kept, 1);
  expect(await texts(collection, marker)).toContain(`The ${marker} is here.`);
  const folder = join(deps.config.dataDir, 'retrieval', `${collection.id}.lance`);
  const files = (): string[] =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
      (name) => statSync(join(folder, name)).isFile() && readFileSync(join(folder, name)).includes(marker),
    );
  expect(files()).not.toEqual([]);
  await deleteDocumentKeys(deps.redis, document);
  expect(await texts(collection, marker)).toEqual(['The swallow stays.']);
  await tidyCollection(deps, collection.id);
  expect(await deps.retrieval.tables.count(collection.id, document.jobId)).toBe(0);
  expect(Number(await deps.redis.zscore(DUE, collection.id))).toBeGreaterThan(Date.now());
  const later = { ...deps, now: () => Date.now() + 200_000 };
  await tidyCollection(later, collection.id);
  expect(await deps.redis.zscore(DUE, collection.id)).toBeNull();
  expect(files()).toEqual([]);
  expect(await texts(collection, 'swallow')).toEqual(['The swallow stays.']);
});

it('a deleted collection leaves nothing: no table, no records', async () => {
  const collection = await newCollection();
  const document = await write(collection, ['gone soon']);
  await finish(document, 1);
  await deleteCollection(deps, collection);
  await tidyCollection(deps, collection.id);
  expect(readdirSync(join(deps.config.dataDir, 'retrieval'))).not.toContain(`${collection.id}.lance`);
  expect((await deps.redis.keys(`*${collection.id}*`)).filter((name) => !name.startsWith('fana:bull:'))).toEqual([]);
  expect(await readDocuments(deps.redis, [document.id])).toEqual([]);
});

it('writers of several processes add to one table side by side, and none of their chunks is lost', async () => {
  const collection = await newCollection();
  const folder = join(deps.config.dataDir, 'retrieval');
  const writers = Array.from({ length: 4 }, () => createChunkTables(folder));
  const versions = Array.from({ length: 12 }, () => newId('job'));
  await Promise.all(
    versions.map(async (version, n) => {
      const tables = writers[n % writers.length];
      await tables?.add(collection.id, rows(newId('doc'), version, ['one', 'two', 'three']));
      if (n % 4 === 3) await tables?.tidy(collection.id, [], new Date(0));
    }),
  );
  for (const version of versions) expect(await deps.retrieval.tables.count(collection.id, version)).toBe(3);
  for (const writer of writers) writer.close();
});

it('writers who make a table in the same moment make one, and none of their chunks is lost', async () => {
  const folder = join(deps.config.dataDir, 'retrieval');
  for (let round = 0; round < 15; round++) {
    const collection = await newCollection();
    const writers = Array.from({ length: 6 }, () => createChunkTables(folder));
    const versions = writers.map(() => newId('job'));
    await Promise.all(writers.map((tables, n) => tables.add(collection.id, rows(newId('doc'), versions[n] ?? '', ['one', 'two', 'three']))));
    for (const version of versions) expect(await deps.retrieval.tables.count(collection.id, version)).toBe(3);
    for (const writer of writers) writer.close();
  }
});

it('a failed ingest that is retried is not tidied away under its feet', async () => {
  const collection = await newCollection();
  const document = await write(collection, ['the second try']);
  await failDocument(deps, { documentId: document.id, collectionId: collection.id, jobId: document.jobId }, { code: 'cancelled', message: 'no' });
  await beginIngest(deps.redis, collection.id, document.id, document.jobId);
  await tidyCollection(deps, collection.id);
  expect(await deps.retrieval.tables.count(collection.id, document.jobId)).toBe(1);
  await finish(document, 1);
  expect(await texts(collection, 'second')).toEqual(['the second try']);
});

it('deaths over a document are counted until it makes progress', async () => {
  const collection = await newCollection();
  const { id, jobId } = await write(collection, ['x']);
  expect(await beginIngest(deps.redis, collection.id, id, jobId)).toMatchObject({ kind: 'begun', deaths: 0 });
  expect(await beginIngest(deps.redis, collection.id, id, jobId)).toMatchObject({ kind: 'begun', deaths: 1 });
  await noteDocument(deps.redis, id, jobId, { goes: 0, done: 1 });
  expect(await beginIngest(deps.redis, collection.id, id, jobId)).toMatchObject({ kind: 'begun', deaths: 0, progress: { done: 1 } });
  expect(await beginIngest(deps.redis, collection.id, id, newId('job'))).toEqual({ kind: 'gone' });
});
