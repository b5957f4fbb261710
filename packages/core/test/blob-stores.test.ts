import { hash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createAzureBlobs } from '@fana/core/blobs/azure.ts';
import type { BlobStore } from '@fana/core/blobs/blob.ts';
import { createLocalBlobs } from '@fana/core/blobs/local.ts';
import { AppError } from '@fana/core/errors.ts';
import { newId } from '@fana/core/ids.ts';
import { startAzurite, type TestAzurite } from '@fana/testkit/azurite.ts';
import { startProxy } from '@fana/testkit/tcp-proxy.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

let azurite: TestAzurite;
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fana-blobs-'));
  azurite = await startAzurite();
}, 60_000);
afterAll(async () => {
  await azurite.stop();
  await rm(folder, { recursive: true, force: true });
});

const azure = (container = 'fana-tests'): BlobStore => createAzureBlobs({ account: { connectionString: azurite.connectionString }, container });

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  return thrown instanceof AppError ? thrown.code : String(thrown);
};
const from = async function* (...pieces: string[]) {
  for (const piece of pieces) yield Buffer.from(piece);
};

/** What every store promises (blobs/blob.ts). */
describe.each<[string, () => BlobStore]>([
  ['a local folder', () => createLocalBlobs(join(folder, 'made', 'when', 'needed'))],
  ['Azure Blob Storage', () => azure()],
])('blobs in %s', (_name, open) => {
  test('come back as they were put, whole and as a stream', async () => {
    const blobs = open();
    const id = newId('blob');
    const bytes = Buffer.from('some bytes \0 ü');
    await blobs.put(id, bytes, 'image/png');
    expect(await blobs.read(id)).toEqual(bytes);
    const chunks: Buffer[] = [];
    for await (const chunk of await blobs.stream(id)) chunks.push(chunk);
    expect(Buffer.concat(chunks)).toEqual(bytes);
    await blobs.put(id, Buffer.from('others'), 'image/png');
    expect((await blobs.read(id)).toString()).toBe('others');
  });

  test('may be empty', async () => {
    const blobs = open();
    const [put, written] = [newId('blob'), newId('blob')];
    await blobs.put(put, Buffer.alloc(0), 'text/plain');
    expect(await blobs.write(written, from(), 'text/plain')).toEqual({ bytes: 0, sha256: hash('sha256', '') });
    for (const id of [put, written]) {
      expect(await blobs.read(id)).toEqual(Buffer.alloc(0));
      expect(await text(await blobs.stream(id))).toBe('');
    }
  });

  test('are not_found when they were never there or were removed; removing twice is no error', async () => {
    const blobs = open();
    const id = newId('blob');
    expect(await codeOf(blobs.read(id))).toBe('not_found');
    expect(await codeOf(blobs.stream(id))).toBe('not_found');
    expect(await codeOf(blobs.stream(id, { start: 0, end: 0 }))).toBe('not_found');
    await blobs.put(id, Buffer.from('x'), 'text/plain');
    await blobs.remove(id);
    await blobs.remove(id);
    expect(await codeOf(blobs.read(id))).toBe('not_found');
  });

  test.each(['../../etc/passwd', 'blob_../../../../etc/x', 'blob_', 'job_0123456789ABCDEFGHIJKL', 'blob_0123456789ABCDEFGHIJK/', ''])(
    'are named by nothing but an id: %j',
    async (id) => {
      const blobs = open();
      expect(await codeOf(blobs.put(id, Buffer.from('x'), 'text/plain'))).toBe('not_found');
      expect(await codeOf(blobs.write(id, from('x'), 'text/plain'))).toBe('not_found');
      expect(await codeOf(blobs.read(id))).toBe('not_found');
      expect(await codeOf(blobs.stream(id))).toBe('not_found');
      expect(await codeOf(blobs.remove(id))).toBe('not_found');
    },
  );

  test('are written piece by piece, counted and hashed, whole or not at all', async () => {
    const blobs = open();
    const id = newId('blob');
    // More than two blocks of Azure's.
    const pieces = [Buffer.from('first '), Buffer.alloc(0), ...Array.from({ length: 90 }, (_, at) => Buffer.alloc(100_000, at)), new Uint8Array([0, 255])];
    const seen = new Set<string>();
    const source = async function* () {
      for (const [at, piece] of pieces.entries()) {
        if (at % 30 === 0) seen.add(await codeOf(blobs.read(id)));
        yield piece;
      }
    };
    const bytes = Buffer.concat(pieces);
    expect(await blobs.write(id, source(), 'application/jsonl')).toEqual({ bytes: bytes.length, sha256: hash('sha256', bytes) });
    expect([...seen]).toEqual(['not_found']);
    expect(hash('sha256', await blobs.read(id))).toBe(hash('sha256', bytes));
    expect(await blobs.write(id, from('other'), 'text/plain')).toMatchObject({ bytes: 5 });
    expect((await blobs.read(id)).toString()).toBe('other');
  });

  test('of a source that fails leave nothing, its own error is told, and earlier bytes stay', async () => {
    const blobs = open();
    const id = newId('blob');
    const failing = async function* () {
      yield Buffer.alloc(5_000_000, 1);
      throw new AppError('payload_too_large', 'too much');
    };
    expect(await codeOf(blobs.write(id, failing(), 'text/plain'))).toBe('payload_too_large');
    expect(await codeOf(blobs.read(id))).toBe('not_found');
    await blobs.put(id, Buffer.from('before'), 'text/plain');
    expect(await codeOf(blobs.write(id, failing(), 'text/plain'))).toBe('payload_too_large');
    expect((await blobs.read(id)).toString()).toBe('before');
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
    const blobs = open();
    const id = newId('blob');
    await blobs.put(id, Buffer.from('0123456789'), 'text/plain');
    expect(await text(await blobs.stream(id, range))).toBe(expected);
  });

  test('of two writers at once are those of one of them', async () => {
    const blobs = open();
    const id = newId('blob');
    const slow = async function* (letter: string) {
      for (let at = 0; at < 3; at++) yield Buffer.alloc(3_000_000, letter);
    };
    const ends = await Promise.allSettled([blobs.write(id, slow('a'), 'text/plain'), blobs.write(id, slow('b'), 'text/plain')]);
    expect(ends.some(({ status }) => status === 'fulfilled')).toBe(true);
    const read = await blobs.read(id);
    expect(read.length).toBe(9_000_000);
    expect(new Set(read).size).toBe(1);
  });

  test('pass the check of a store that works', async () => {
    await open().check();
  });
});

describe('Azure Blob Storage', () => {
  const properties = async (container: string, id: string) => {
    const { connectContainer } = await import('@fana/core/blobs/azure-client.ts');
    const client = await connectContainer({ connectionString: azurite.connectionString }, container);
    return client.getBlobClient(id).getProperties();
  };

  test('is told the type and the sum of what is put and written, in a container that is made at the first use', async () => {
    const blobs = azure('fana-made-here');
    const [put, written] = [newId('blob'), newId('blob')];
    await blobs.put(put, Buffer.from('png'), 'image/png');
    await blobs.write(written, from('li', 'nes'), 'application/jsonl');
    expect(await properties('fana-made-here', put)).toMatchObject({ contentType: 'image/png', metadata: { sha256: hash('sha256', 'png') } });
    expect(await properties('fana-made-here', written)).toMatchObject({ contentType: 'application/jsonl', metadata: { sha256: hash('sha256', 'lines') } });
  });

  test('gives links to one blob, which end, and say how to show it', async () => {
    const blobs = azure();
    const id = newId('blob');
    await blobs.put(id, Buffer.from('<svg/>'), 'image/svg+xml');
    const link = (await blobs.link?.(id, { expiresMs: Date.now() + 60_000, disposition: 'attachment' })) ?? '';
    const response = await fetch(link);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-disposition')).toBe('attachment');
    expect(await response.text()).toBe('<svg/>');
    expect((await fetch(link.replace(id, newId('blob')))).status).toBe(403);
    expect((await fetch(link, { method: 'DELETE' })).status).toBe(403);
    expect((await fetch(link.split('?')[0] ?? '')).status).not.toBe(200);
    const ended = (await blobs.link?.(id, { expiresMs: Date.now() - 60_000 })) ?? '';
    expect((await fetch(ended)).status).toBe(403);
  });

  test('that is away is a storage_error in a moment, and is there again when it is', async () => {
    const other = await startAzurite();
    try {
      const blobs = createAzureBlobs({ account: { connectionString: other.connectionString }, container: 'fana' });
      const id = newId('blob');
      await blobs.put(id, Buffer.from('kept'), 'text/plain');
      await other.kill();
      const started = performance.now();
      const away = [blobs.put(id, Buffer.from('x'), 'text/plain'), blobs.write(id, from('x'), 'text/plain'), blobs.read(id), blobs.stream(id)];
      expect(await Promise.all([...away, blobs.remove(id), blobs.check()].map(codeOf))).toEqual(Array(6).fill('storage_error'));
      const unopened = createAzureBlobs({ account: { connectionString: other.connectionString }, container: 'fana' });
      expect(await codeOf(unopened.check())).toBe('storage_error');
      expect(performance.now() - started).toBeLessThan(15_000);
      await other.restart();
      await unopened.check();
      expect((await blobs.read(id)).toString()).toBe('kept');
    } finally {
      await other.stop();
    }
  }, 60_000);

  test('that takes connections and says nothing is a storage_error before a process has to end', async () => {
    const proxy = await startProxy(azurite.port);
    const behind = azurite.connectionString.replaceAll(`:${azurite.port}/`, `:${proxy.port}/`);
    const blobs = createAzureBlobs({ account: { connectionString: behind }, container: 'fana-tests' });
    await blobs.check();
    proxy.setMode('blackHole');
    const started = performance.now();
    expect(await codeOf(blobs.put(newId('blob'), Buffer.from('x'), 'text/plain'))).toBe('storage_error');
    expect(performance.now() - started).toBeLessThan(22_000);
    await proxy.stop();
  }, 60_000);

  test('that does not know us is a storage_error, no missing blob', async () => {
    const stranger = azurite.connectionString.replace(/AccountKey=[^;]+/, `AccountKey=${Buffer.alloc(64, 1).toString('base64')}`);
    const blobs = createAzureBlobs({ account: { connectionString: stranger }, container: 'fana-tests' });
    expect(await codeOf(blobs.read(newId('blob')))).toBe('storage_error');
    expect(await codeOf(blobs.check())).toBe('storage_error');
  });
});
