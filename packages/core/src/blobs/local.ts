import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError } from '../errors.ts';
import { isId } from '../ids.ts';
import type { BlobStore } from './blob.ts';

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';
const unreadable = (cause: unknown): AppError => new AppError('storage_error', 'The blob store cannot be read or written right now.', { cause });

/** Blobs as files under `root`, spread over 3,844 folders by two characters of their id. */
export const createLocalBlobs = (root: string): BlobStore => {
  const pathOf = (id: string): string => {
    // The id becomes a path: nothing but an id of ours may.
    if (!isId('blob', id)) throw new AppError('not_found', 'There is no such blob.');
    return join(root, id.slice(5, 7), id);
  };

  /** Written beside its place and renamed, so that a reader sees it whole or not at all; fsynced, because it may have been paid for. */
  const put: BlobStore['put'] = async (id, bytes) => {
    const path = pathOf(id);
    const draft = `${path}.${process.pid}.part`;
    try {
      await mkdir(dirname(path), { recursive: true });
      const file = await open(draft, 'wx', 0o600);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(draft, path);
    } catch (error) {
      // What is told is the first failure; a draft that cannot be removed either is no news.
      await rm(draft, { force: true }).catch(() => undefined);
      throw unreadable(error);
    }
  };

  return {
    put,
    async read(id) {
      try {
        return await readFile(pathOf(id));
      } catch (error) {
        if (error instanceof AppError) throw error;
        throw isMissing(error) ? new AppError('not_found', 'The bytes of this blob are gone.') : unreadable(error);
      }
    },
    async stream(id) {
      const path = pathOf(id);
      try {
        await stat(path);
      } catch (error) {
        throw isMissing(error) ? new AppError('not_found', 'The bytes of this blob are gone.') : unreadable(error);
      }
      return createReadStream(path);
    },
    async remove(id) {
      const path = pathOf(id);
      try {
        await rm(path, { force: true });
      } catch (error) {
        throw unreadable(error);
      }
    },
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
