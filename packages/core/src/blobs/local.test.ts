import { hash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
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

const from = async function* (...pieces: string[]) {
  for (const piece of pieces) yield Buffer.from(piece);
};

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
    expect(await codeOf(blobs.write(id, from('x'), 'text/plain'))).toBe('not_found');
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

  test('are written piece by piece, counted and hashed, whole or not at all', async () => {
    const blobs = createLocalBlobs(folder);
    const id = newId('blob');
    const pieces = [Buffer.from('first '), Buffer.alloc(0), Buffer.alloc(100_000, 'x'), new Uint8Array([0, 255])];
    const seen: string[] = [];
    const source = async function* () {
      for (const piece of pieces) {
        seen.push(await codeOf(blobs.read(id)));
        yield piece;
      }
    };
    const bytes = Buffer.concat(pieces);
    expect(await blobs.write(id, source(), 'application/jsonl')).toEqual({ bytes: bytes.length, sha256: hash('sha256', bytes) });
    expect(seen).toEqual(pieces.map(() => 'not_found'));
    expect(await blobs.read(id)).toEqual(bytes);
    expect(await files()).toEqual([id]);
    expect(await blobs.write(id, from('other'), 'text/plain')).toMatchObject({ bytes: 5 });
    expect((await blobs.read(id)).toString()).toBe('other');
  });

  test('of a source that fails leave nothing, its own error is told, and earlier bytes stay', async () => {
    const blobs = createLocalBlobs(folder);
    const id = newId('blob');
    const failing = async function* () {
      yield Buffer.from('a piece');
      throw new AppError('payload_too_large', 'too much');
    };
    expect(await codeOf(blobs.write(id, failing(), 'text/plain'))).toBe('payload_too_large');
    expect(await files()).toEqual([]);
    await blobs.put(id, Buffer.from('before'), 'text/plain');
    expect(await codeOf(blobs.write(id, failing(), 'text/plain'))).toBe('payload_too_large');
    expect((await blobs.read(id)).toString()).toBe('before');
    expect(await files()).toEqual([id]);
  });

  test.each([
    [{ start: 0 }, '0123456789'],
    [{ start: 3 }, '3456789'],
    [{ start: 3, end: 5 }, '34'],
    [{ start: 0, end: 1 }, '0'],
    [{ start: 9, end: 50 }, '9'],
    [{ start: 4, end: 4 }, ''],
    [{ start: 10 }, ''],
    [{ start: 50, end: 60 }, ''],
  ])('come in the range %j', async (range, expected) => {
    const blobs = createLocalBlobs(folder);
    const id = newId('blob');
    await blobs.put(id, Buffer.from('0123456789'), 'text/plain');
    expect(await text(await blobs.stream(id, range))).toBe(expected);
  });

  test('are removed together with what writers left that died', async () => {
    const blobs = createLocalBlobs(folder);
    const [id, other] = [newId('blob'), newId('blob')];
    await blobs.put(other, Buffer.from('x'), 'text/plain');
    let stop = (): void => undefined;
    const stopped = new Promise<void>((resolve) => {
      stop = resolve;
    });
    const hanging = async function* () {
      yield Buffer.from('half');
      await stopped;
    };
    const writing = blobs.write(id, hanging(), 'text/plain');
    await expect.poll(files).toHaveLength(2);
    await blobs.remove(id);
    expect(await files()).toEqual([other]);
    stop();
    expect(await codeOf(writing)).toBe('storage_error');
    expect(await files()).toEqual([other]);
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
    expect(await codeOf(blobs.write(newId('blob'), from('x'), 'text/plain'))).toBe('storage_error');
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
