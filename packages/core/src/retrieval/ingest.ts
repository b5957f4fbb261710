import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import type { ChunkedText } from './chunk.ts';
import { chunkApart } from './chunk-apart.ts';
import type { Chunk, Collection, DocumentRecord } from './collection.ts';
import { readDocument } from './read-document.ts';
import { tagOf } from './search.ts';
import { beginIngest, completeDocument, discardVersion, noteDocument, readCollections, readDocuments } from './store.ts';
import type { ChunkRow } from './table.ts';
import { tidyCollection } from './tidy.ts';

/** Workers that may die over a document, one after another and none with progress, before it is given up (promise 1 does not ask for more). */
const MAX_DEATHS = 2;

/** Who ingests: `jobId` is the version; `embed` makes the vectors of one group of texts. */
export type IngestRun = {
  jobId: string;
  collectionId: string;
  documentId: string;
  signal: AbortSignal;
  /** Chunks whose vectors are made and stored together: what a death costs. */
  groupSize: (collection: Collection) => number;
  embed: (collection: Collection, texts: string[]) => Promise<Float32Array[]>;
};

const replaced = (): AppError => new AppError('not_found', 'The document was deleted or replaced while it was ingested.');

/** What is embedded and looked up: a chunk says little without the headings it stands under. */
export const searchText = (title: string | null, { path, text }: Chunk): string => [...new Set([title, ...path])].filter(Boolean).concat(text).join('\n');

const rowsOf = (document: DocumentRecord, run: IngestRun, chunks: Chunk[], searches: string[], vectors: Float32Array[], from: number): ChunkRow[] =>
  chunks.map((chunk, at) => ({
    document_id: document.id,
    version: run.jobId,
    chunk: from + at,
    text: chunk.text,
    path: JSON.stringify(chunk.path),
    search: searches[at] ?? chunk.text,
    tags: Object.entries(document.metadata).map(tagOf),
    vector: vectors[at] ?? new Float32Array(),
  }));

type Reading = { collection: Collection; document: DocumentRecord; done: number };

const storeChunks = async (deps: Deps, run: IngestRun, { collection, document, done }: Reading, { title, chunks }: ChunkedText): Promise<void> => {
  const { tables } = deps.retrieval;
  const size = run.groupSize(collection);
  const known = document.title ?? title;
  const total = chunks.length;
  // What a worker wrote and could not write down any more is written again.
  await tables.truncate(collection.id, run.jobId, done);
  for (let at = done; at < total; at += size) {
    run.signal.throwIfAborted();
    const group = chunks.slice(at, at + size);
    const searches = group.map((chunk) => searchText(known, chunk));
    const vectors = await run.embed(collection, searches);
    run.signal.throwIfAborted();
    await tables.add(collection.id, rowsOf(document, run, group, searches, vectors, at));
    if (!(await noteDocument(deps.redis, document.id, run.jobId, { done: at + group.length, total, goes: 1 }))) throw replaced();
  }
  if ((await tables.count(collection.id, run.jobId)) === total) return;
  await noteDocument(deps.redis, document.id, run.jobId, { done: 0 });
  throw new AppError('storage_error', 'The chunks of the document are not all there: they are written again.');
};

const readAndStore = async (deps: Deps, run: IngestRun, { collection, document, done }: Reading): Promise<number> => {
  const { text, bytes, title } = await readDocument(deps, document, run.signal);
  const cut = await chunkApart(text, run.signal);
  const chunked = { ...cut, title: title ?? cut.title };
  const total = chunked.chunks.length;
  if (total === 0) throw new AppError('document_unreadable', 'The document holds no text.');
  const facts = { bytes, total, ...(chunked.title !== null && { found_title: chunked.title }) };
  if (!(await noteDocument(deps.redis, document.id, run.jobId, facts))) throw replaced();
  await storeChunks(deps, run, { collection, document, done: Math.min(done, total) }, chunked);
  if ((await completeDocument(deps.redis, document, run.jobId, total)) === 'gone') throw replaced();
  return total;
};

/**
 * Ingests a version of a document: reads it, cuts it, stores its chunks group by group, and makes it the one that searches find. An ingest
 * that is taken up again goes on behind the last group that was stored. Until the end searches find the version before.
 * @throws AppError what reading, embedding and storing throw; `not_found` when the document is gone or replaced.
 */
export const ingest = async (deps: Deps, run: IngestRun): Promise<{ chunks: number }> => {
  const { jobId, collectionId, documentId } = run;
  const [[collection], [document], begun] = await Promise.all([
    readCollections(deps.redis, [collectionId]),
    readDocuments(deps.redis, [documentId]),
    beginIngest(deps.redis, collectionId, documentId, jobId),
  ]);
  if (!collection || !document || begun.kind === 'gone') throw replaced();
  if (begun.kind === 'live') return { chunks: document.chunks ?? 0 };
  if (begun.deaths > MAX_DEATHS) throw new AppError('document_unreadable', `The document could not be read: ${begun.deaths} workers ended over it.`);
  let chunks: number;
  try {
    chunks = await readAndStore(deps, run, { collection, document, done: begun.progress.done });
  } catch (error) {
    // This go has ended in order, whatever it says: only those that do not are counted.
    const isOurs = await noteDocument(deps.redis, documentId, jobId, { goes: 0 });
    if (!isOurs) await discardVersion(deps.redis, collectionId, jobId, deps.now());
    throw error;
  }
  // The document is found already; that its words are not in the full-text index yet makes searches slower, not wrong.
  await tidyCollection(deps, collectionId).catch((error: unknown) =>
    deps.logger.warn({ err: error, collection_id: collectionId }, 'a collection was not tidied'),
  );
  return { chunks };
};
