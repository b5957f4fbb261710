import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AppError } from '../errors.ts';
import { newId } from '../ids.ts';
import { createLocalBlobs } from './local.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fana-blobs-'));
});
afterEach(async () => {
  await chmod(folder, 0o700);
  await rm(folder, { recursive: true, force: true });
});

const files = async (): Promise<string[]> =>
  (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => entry.name);

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  return thrown instanceof AppError ? thrown.code : String(thrown);
};

describe('blobs in a local folder', () => {
  test('come back as they were put, whole and as a stream, readable by their owner alone', async () => {
    const blobs = createLocalBlobs(join(folder, 'made', 'when', 'needed'));
    const id = newId('blob');
    const bytes = Buffer.from('some bytes \0 ü');
    await blobs.put(id, bytes, 'image/png');
    expect(await blobs.read(id)).toEqual(bytes);
    const chunks: Buffer[] = [];
    for await (const chunk of await blobs.stream(id)) chunks.push(chunk);
    expect(Buffer.concat(chunks)).toEqual(bytes);
    expect(await files()).toEqual([id]);
    const path = join(folder, 'made', 'when', 'needed', id.slice(5, 7), id);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test('are not_found when they were never there or were removed; removing twice is no error', async () => {
    const blobs = createLocalBlobs(folder);
    const id = newId('blob');
    expect(await codeOf(blobs.read(id))).toBe('not_found');
    expect(await codeOf(blobs.stream(id))).toBe('not_found');
    await blobs.put(id, Buffer.from('x'), 'text/plain');
    await blobs.remove(id);
    await blobs.remove(id);
    expect(await codeOf(blobs.read(id))).toBe('not_found');
  });

  test.each([
    '../../etc/passwd',
    '/etc/passwd',
    'blob_../../../../etc/x',
    'blob_',
    'job_0123456789ABCDEFGHIJKL',
    'blob_0123456789ABCDEFGHIJK/',
    'blob_0123456789ABCDEFGHIJKL\0',
    'blob_0123456789ABCDEFGHIJKL\n',
    '',
  ])('take nothing for a path but an id: %j', async (id) => {
    const blobs = createLocalBlobs(folder);
    expect(await codeOf(blobs.put(id, Buffer.from('x'), 'text/plain'))).toBe('not_found');
    expect(await codeOf(blobs.read(id))).toBe('not_found');
    expect(await codeOf(blobs.stream(id))).toBe('not_found');
    expect(await codeOf(blobs.remove(id))).toBe('not_found');
    expect(await files()).toEqual([]);
  });

  test('are seen whole or not at all while they are written', async () => {
    const blobs = createLocalBlobs(folder);
    const id = newId('blob');
    const bytes = Buffer.alloc(30_000_000, 7);
    let written = false;
    const writing = blobs.put(id, bytes, 'image/png').then(() => {
      written = true;
    });
    const sizes = new Set<number | string>();
    while (!written)
      sizes.add(
        await blobs.read(id).then(
          ({ length }) => length,
          (error: unknown) => (error instanceof AppError ? error.code : String(error)),
        ),
      );
    await writing;
    sizes.add((await blobs.read(id)).length);
    expect([...sizes].sort()).toEqual([bytes.length, 'not_found']);
    expect(await files()).toEqual([id]);
  });

  test('leave nothing behind when they cannot be put in place', async () => {
    const blobs = createLocalBlobs(folder);
    const id = newId('blob');
    // Something that a file cannot replace.
    await mkdir(join(folder, id.slice(5, 7), id, 'x'), { recursive: true });
    expect(await codeOf(blobs.put(id, Buffer.from('x'), 'text/plain'))).toBe('storage_error');
    expect(await files()).toEqual([]);
  });

  test('are a storage_error when the folder cannot be one', async () => {
    const file = join(folder, 'file');
    await writeFile(file, 'not a folder');
    const blobs = createLocalBlobs(file);
    expect(await codeOf(blobs.put(newId('blob'), Buffer.from('x'), 'text/plain'))).toBe('storage_error');
    expect(await codeOf(blobs.read(newId('blob')))).toBe('storage_error');
    expect(await codeOf(blobs.check())).toBe('storage_error');
    expect(await readFile(file, 'utf8')).toBe('not a folder');
  });

  // Permissions do not bind the superuser.
  test.skipIf(process.getuid?.() === 0)('are a storage_error in a folder that is read-only', async () => {
    const blobs = createLocalBlobs(folder);
    await chmod(folder, 0o500);
    expect(await codeOf(blobs.put(newId('blob'), Buffer.from('x'), 'text/plain'))).toBe('storage_error');
    expect(await codeOf(blobs.check())).toBe('storage_error');
  });

  test('pass the check of a folder that works, without a trace', async () => {
    await createLocalBlobs(join(folder, 'new')).check();
    expect(await files()).toEqual([]);
  });
});
