import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { AppError } from '../errors.ts';
import { isId } from '../ids.ts';
import type { BlobStore, ByteRange } from './blob.ts';

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';
const unreadable = (cause: unknown): AppError => new AppError('storage_error', 'The blob store cannot be read or written right now.', { cause });

/** A step of the file system: what goes wrong with it is the store's fault, not that of whoever sends the bytes. */
const step = async <T>(done: Promise<T>): Promise<T> => {
  try {
    return await done;
  } catch (error) {
    throw unreadable(error);
  }
};

/** Blobs as files under `root`, spread over 3,844 folders by two characters of their id. */
export const createLocalBlobs = (root: string): BlobStore => {
  const pathOf = (id: string): string => {
    // The id becomes a path: nothing but an id of ours may.
    if (!isId('blob', id)) throw new AppError('not_found', 'There is no such blob.');
    return join(root, id.slice(5, 7), id);
  };
  return {
    put: async (id, bytes) => place(pathOf(id), (file) => step(file.writeFile(bytes))),
    write: async (id, source) => place(pathOf(id), (file) => fill(file, source)),
    async read(id) {
      try {
        return await readFile(pathOf(id));
      } catch (error) {
        if (error instanceof AppError) throw error;
        throw isMissing(error) ? new AppError('not_found', 'The bytes of this blob are gone.') : unreadable(error);
      }
    },
    async stream(id, range) {
      const path = pathOf(id);
      try {
        await stat(path);
      } catch (error) {
        throw isMissing(error) ? new AppError('not_found', 'The bytes of this blob are gone.') : unreadable(error);
      }
      return readRange(path, range);
    },
    remove: async (id) => removeWithDrafts(pathOf(id), id),
    async check() {
      const probe = join(root, `.probe-${process.pid}`);
      try {
        await mkdir(root, { recursive: true });
        const file = await open(probe, 'w', 0o600);
        await file.close();
        await rm(probe, { force: true });
      } catch (error) {
        throw unreadable(error);
      }
    },
  };
};

/** Written beside its place and renamed, so that a reader sees it whole or not at all; fsynced, because it may have been paid for. */
const place = async <T>(path: string, write: (file: FileHandle) => Promise<T>): Promise<T> => {
  // Random: a process that starts again may have the number of the one that left a draft here.
  const draft = `${path}.${randomBytes(6).toString('hex')}.part`;
  try {
    await step(mkdir(dirname(path), { recursive: true }));
    const file = await step(open(draft, 'wx', 0o600));
    let written: T;
    try {
      written = await write(file);
      await step(file.sync());
    } finally {
      await step(file.close());
    }
    await step(rename(draft, path));
    return written;
  } catch (error) {
    // What is told is the first failure; a draft that cannot be removed either is no news.
    await rm(draft, { force: true }).catch(() => undefined);
    throw error;
  }
};

/** Small pieces (the lines of a file) are written together: each write is a trip to another thread. */
const WRITE_BYTES = 65_536;

const fill = async (file: FileHandle, source: AsyncIterable<Uint8Array>): Promise<{ bytes: number; sha256: string }> => {
  const hash = createHash('sha256');
  let bytes = 0;
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  const flush = async (): Promise<void> => {
    const [only] = held;
    await step(file.writeFile(held.length === 1 && only ? only : Buffer.concat(held)));
    held = [];
    heldBytes = 0;
  };
  for await (const chunk of source) {
    hash.update(chunk);
    bytes += chunk.byteLength;
    heldBytes += chunk.byteLength;
    held.push(chunk);
    if (heldBytes >= WRITE_BYTES) await flush();
  }
  await flush();
  return { bytes, sha256: hash.digest('hex') };
};

const readRange = (path: string, range: ByteRange | undefined): Readable => {
  if (range === undefined) return createReadStream(path);
  const { start, end = Number.POSITIVE_INFINITY } = range;
  // Of fs, `end` is the last byte read: it cannot say "none".
  return start >= end ? Readable.from([]) : createReadStream(path, { start, end: end - 1 });
};

/** A writer that died leaves its draft; it is looked for whenever its blob is removed, which the expiry sees to. */
const removeWithDrafts = async (path: string, id: string): Promise<void> => {
  const folder = dirname(path);
  try {
    const names = await readdir(folder);
    await Promise.all(
      names.filter((name) => name === id || (name.startsWith(`${id}.`) && name.endsWith('.part'))).map((name) => rm(join(folder, name), { force: true })),
    );
  } catch (error) {
    if (!isMissing(error)) throw unreadable(error);
  }
};

/** The ids of the blobs in a local folder; none when there is no folder. @throws AppError `storage_error`. */
export const listLocalBlobs = async (root: string): Promise<string[]> => {
  try {
    return (await readdir(root, { recursive: true })).map((path) => basename(path)).filter((name) => isId('blob', name));
  } catch (error) {
    if (isMissing(error)) return [];
    throw unreadable(error);
  }
};
