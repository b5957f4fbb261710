import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection, Table } from '@lancedb/lancedb';
import type { Schema } from 'apache-arrow';
import { AppError } from '../errors.ts';
import { isId } from '../ids.ts';

/** A chunk as the index holds it. `search` is what full text looks at; `tags` are the metadata of its document as `key=value`. */
export type ChunkRow = {
  document_id: string;
  version: string;
  chunk: number;
  text: string;
  path: string;
  search: string;
  tags: string[];
  vector: Float32Array;
};

/** A chunk as one half of a search found it; the best is first. `strength`: its BM25 score, or the cosine of its vector. */
export type Hit = Pick<ChunkRow, 'document_id' | 'version' | 'chunk' | 'text' | 'path'> & { strength: number };

/** Which chunks a search looks at, decided before anything is compared. */
export type ChunkFilter = { documentIds?: string[] | undefined; tags?: string[] | undefined; withoutVersions?: string[] | undefined };
type TableQuery = { text: string; vector: Float32Array; filter: ChunkFilter; limit: number };

/** The chunks of all collections: a LanceDB table for each, in a folder that the processes of one machine share. */
export type ChunkTables = {
  /** Adds chunks; the first ones of a collection make its table. @throws AppError `storage_error`. */
  add: (collectionId: string, rows: ChunkRow[]) => Promise<void>;
  /** Removes the chunks of a version from number `from` on. */
  truncate: (collectionId: string, version: string, from: number) => Promise<void>;
  count: (collectionId: string, version: string) => Promise<number>;
  /** Both halves of a search, each at most `limit` chunks. A collection without a table has none. */
  search: (collectionId: string, query: TableQuery) => Promise<{ fullText: Hit[]; vector: Hit[] }>;
  /** Removes versions for good, and brings the indexes up to date; what readers of `olderThan` may still look at is kept. */
  tidy: (collectionId: string, versions: string[], olderThan: Date) => Promise<void>;
  drop: (collectionId: string) => Promise<void>;
  close: () => void;
};

const COLUMNS = ['document_id', 'version', 'chunk', 'text', 'path'];
/** Open tables of one process; the one that was not used for longest is closed. */
const MAX_OPEN = 64;
const CONFLICT_ROUNDS = 6;

const isMissing = (error: unknown): boolean => error instanceof Error && /not found|does not exist|no such file/i.test(error.message);
const isConflict = (error: unknown): boolean => error instanceof Error && /conflict|concurrent|preempted/i.test(error.message);
/** While one writer makes a table, others may find it half made: there already for those who make it, not there yet for those who open it. */
const isHalfMade = (error: unknown): boolean => isMissing(error) || (error instanceof Error && /already exists/i.test(error.message));
const broken = (cause: unknown): AppError =>
  cause instanceof AppError ? cause : new AppError('storage_error', 'The retrieval index cannot be read or written right now.', { cause });

/** A text in SQL. */
const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;
const listed = (texts: string[]): string => texts.map(quoted).join(', ');

const whereOf = ({ documentIds, tags, withoutVersions }: ChunkFilter): string | undefined => {
  const parts: string[] = [];
  if (documentIds) parts.push(`document_id IN (${listed(documentIds)})`);
  for (const tag of tags ?? []) parts.push(`array_has(tags, ${quoted(tag)})`);
  if (withoutVersions && withoutVersions.length > 0) parts.push(`version NOT IN (${listed(withoutVersions)})`);
  return parts.length === 0 ? undefined : parts.join(' AND ');
};

/** Loaded when it is first used: an API that never searches does not carry 200 MB of native code. */
const lance = () => import('@lancedb/lancedb');

const tableSchema = async (dimensions: number): Promise<Schema> => {
  const { Field, FixedSizeList, Float32, Int32, List, Schema, Utf8 } = await import('apache-arrow');
  const text = (column: string) => new Field(column, new Utf8(), false);
  return new Schema([
    text('document_id'),
    text('version'),
    new Field('chunk', new Int32(), false),
    text('text'),
    text('path'),
    text('search'),
    new Field('tags', new List(new Field('item', new Utf8(), true)), false),
    new Field('vector', new FixedSizeList(dimensions, new Field('item', new Float32(), true)), false),
  ]);
};

const isThereAlready = (error: unknown): boolean => error instanceof Error && 'code' in error && (error.code === 'ENOTEMPTY' || error.code === 'EEXIST');

/**
 * Makes a table beside its place and moves it there in one step, unless another writer was first. LanceDB's own `existOk` lets the second of
 * two makers replace the table of the first, with what was added to it meanwhile (seen under load, 12.0).
 */
const createTable = async (folder: string, name: string, dimensions: number): Promise<void> => {
  const draft = join(folder, `.draft-${randomUUID()}`);
  const directory = `${name}.lance`;
  try {
    const db = await (await lance()).connect(draft);
    (await db.createEmptyTable(name, await tableSchema(dimensions))).close();
    db.close();
    await rename(join(draft, directory), join(folder, directory));
  } catch (error) {
    if (!isThereAlready(error)) throw error;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
};

/** Words by ICU, so that scripts without spaces have words too. What English bends is bent back; other languages keep their endings. */
const ensureIndex = async (table: Table): Promise<void> => {
  if ((await table.listIndices()).length > 0) return;
  const { Index } = await lance();
  const config = Index.fts({ baseTokenizer: 'icu', language: 'English', stem: true, removeStopWords: true, asciiFolding: true, withPosition: false });
  await table.createIndex('search', { config, replace: false }).catch((error: unknown) => {
    // Another process made it in the same moment.
    if (!/already exists/i.test(error instanceof Error ? error.message : '')) throw error;
  });
};

/** Writers of one table do not know of each other: whoever came second repeats its step on what the first left. */
const settled = async <T>(step: () => Promise<T>, isPassing = isConflict): Promise<T> => {
  for (let round = 1; ; round++) {
    try {
      return await step();
    } catch (error) {
      if (round === CONFLICT_ROUNDS || !isPassing(error)) throw broken(error);
      await sleep(Math.random() * 50 * 2 ** round);
    }
  }
};

/** The open tables of this process. */
type Shelf = {
  connect: () => Promise<Connection>;
  /** @throws what LanceDB says of a table that is not there. */
  open: (collectionId: string) => Promise<Table>;
  create: (collectionId: string, dimensions: number) => Promise<Table>;
  forget: (collectionId: string) => void;
  close: () => void;
};

const createShelf = (folder: string): Shelf => {
  let connection: Promise<Connection> | undefined;
  const tables = new Map<string, Promise<Table>>();

  const connect = (): Promise<Connection> => {
    connection ??= (async () => {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      // Every read looks for what other processes have written meanwhile.
      return (await lance()).connect(folder, { readConsistencyInterval: 0 });
    })();
    connection.catch(() => {
      connection = undefined;
    });
    return connection;
  };

  const keep = (collectionId: string, table: Promise<Table>): Promise<Table> => {
    tables.delete(collectionId);
    tables.set(collectionId, table);
    table.catch(() => tables.delete(collectionId));
    const [oldest] = tables.keys();
    if (tables.size > MAX_OPEN && oldest !== undefined) tables.delete(oldest);
    return table;
  };

  return {
    connect,
    async open(collectionId) {
      // The id becomes a path: nothing but an id of ours may.
      if (!isId('col', collectionId)) throw new AppError('not_found', 'There is no such collection.');
      return keep(collectionId, tables.get(collectionId) ?? connect().then((db) => db.openTable(collectionId)));
    },
    async create(collectionId, dimensions) {
      const db = await connect();
      return keep(
        collectionId,
        createTable(folder, collectionId, dimensions).then(() => db.openTable(collectionId)),
      );
    },
    forget: (collectionId) => void tables.delete(collectionId),
    close() {
      tables.clear();
      void connection?.then((db) => db.close()).catch(() => undefined);
    },
  };
};

const hitOf = ({ document_id, version, chunk, text, path }: ChunkRow, strength: number): Hit => ({ document_id, version, chunk, text, path, strength });

const searchTable = async (table: Table, { text, vector, filter, limit }: TableQuery): Promise<{ fullText: Hit[]; vector: Hit[] }> => {
  const where = whereOf(filter);
  const near = table.query().nearestTo(vector).distanceType('cosine');
  const worded = table.query().fullTextSearch(text, { columns: ['search'] });
  if (where !== undefined) for (const half of [near, worded]) half.where(where);
  const [byVector, byText] = await Promise.all([
    near
      .select([...COLUMNS, '_distance'])
      .limit(limit)
      .toArray(),
    worded
      .select([...COLUMNS, '_score'])
      .limit(limit)
      .toArray(),
  ]);
  return { fullText: byText.map((row) => hitOf(row, row._score)), vector: byVector.map((row) => hitOf(row, 1 - row._distance)) };
};

/** The tables under `folder`. Nothing is loaded or opened before the first use. */
export const createChunkTables = (folder: string): ChunkTables => {
  const shelf = createShelf(folder);

  /** `absent` where the collection has no table: nothing was ingested yet, or it was dropped. */
  const withTable = async <T>(collectionId: string, absent: T, step: (table: Table) => Promise<T>): Promise<T> =>
    settled(async () => {
      try {
        return await step(await shelf.open(collectionId));
      } catch (error) {
        shelf.forget(collectionId);
        if (isMissing(error)) return absent;
        throw error;
      }
    });

  return {
    async add(collectionId, rows) {
      const dimensions = rows[0]?.vector.length;
      if (dimensions === undefined) return;
      const write = async (): Promise<void> => {
        const table = await shelf.open(collectionId).catch((error: unknown) => {
          if (!isMissing(error)) throw error;
          return shelf.create(collectionId, dimensions);
        });
        await ensureIndex(table);
        await table.add(rows);
      };
      await settled(write, (error) => {
        if (!isHalfMade(error)) return isConflict(error);
        shelf.forget(collectionId);
        return true;
      });
    },
    truncate: (collectionId, version, from) =>
      withTable(collectionId, undefined, async (table) => void (await table.delete(`version = ${quoted(version)} AND chunk >= ${from}`))),
    count: (collectionId, version) => withTable(collectionId, 0, (table) => table.countRows(`version = ${quoted(version)}`)),
    search: (collectionId, query) => withTable(collectionId, { fullText: [], vector: [] }, (table) => searchTable(table, query)),
    tidy: (collectionId, versions, olderThan) =>
      withTable(collectionId, undefined, async (table) => {
        if (versions.length > 0) await table.delete(`version IN (${listed(versions)})`);
        await table.optimize({ cleanupOlderThan: olderThan });
      }),
    async drop(collectionId) {
      shelf.forget(collectionId);
      const db = await shelf.connect();
      await db.dropTable(collectionId).catch((error: unknown) => {
        if (!isMissing(error)) throw broken(error);
      });
    },
    close: shelf.close,
  };
};
