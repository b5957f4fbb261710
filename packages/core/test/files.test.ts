import { hash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BLOB_EXPIRY, findBlob, openBlob, STREAM_MAX_MS, saveBlobStream } from '../src/blobs/store.ts';
import { AppError } from '../src/errors.ts';
import { cleanFilename, type FileRecord } from '../src/files/file.ts';
import { expireFile, FILE_EXPIRY, findFile, listFiles, type NewFile, openFile, removeFile, saveFile } from '../src/files/store.ts';
import { newId } from '../src/ids.ts';

let redis: TestRedis;
let deps: TestDeps;
beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url, { FANA_BLOB_TTL_SECONDS: '3600' });
});
afterAll(async () => {
  await deps.close();
  await redis.stop();
});
beforeEach(() => deps.redis.flushall());

const from = async function* (...pieces: string[]) {
  for (const piece of pieces) yield Buffer.from(piece);
};
const failing = async function* () {
  yield Buffer.from('half');
  throw new AppError('payload_too_large', 'too much');
};
const save = (settings: Partial<NewFile> = {}): Promise<FileRecord> =>
  saveFile(deps, { tenant: 'acme', filename: 'lines.jsonl', purpose: 'batch', source: from('{"a":1}\n', '{"b":2}\n'), ...settings });
const storedFiles = async (): Promise<string[]> =>
  (await readdir(join(deps.config.dataDir, 'blobs'), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => entry.name);
const later = (ms: number) => ({ ...deps, now: () => Date.now() + ms });

describe('a streamed blob', () => {
  test('is found with the number and hash of its bytes once it is whole, and not before', async () => {
    const id = newId('blob');
    const source = async function* () {
      expect(await findBlob(deps, id)).toBeUndefined();
      // A crash from here on leaves nothing that is never cleaned.
      expect(Number(await deps.redis.zscore(BLOB_EXPIRY, id)) - Date.now()).toBeGreaterThan(STREAM_MAX_MS - 60_000);
      yield* from('some ', 'bytes');
    };
    const record = await saveBlobStream(deps, { tenant: 'acme', source: source(), mediaType: 'text/plain', id });
    expect(record).toMatchObject({ id, tenant: 'acme', bytes: 10, sha256: hash('sha256', 'some bytes'), expiresMs: record.createdMs + 3_600_000 });
    expect(await findBlob(deps, id, 'acme')).toEqual(record);
    expect(await deps.redis.zscore(BLOB_EXPIRY, id)).toBe(String(record.expiresMs));
    const opened = await openBlob(deps, id, 'acme', { start: 5 });
    expect([opened.record, await text(opened.stream)]).toEqual([record, 'bytes']);
    await expect(openBlob(deps, id, 'other')).rejects.toMatchObject({ code: 'not_found' });
  });

  test('of a source that fails leaves nothing', async () => {
    const before = await storedFiles();
    await expect(saveBlobStream(deps, { tenant: 'acme', source: failing(), mediaType: 'text/plain' })).rejects.toMatchObject({ code: 'payload_too_large' });
    expect(await storedFiles()).toEqual(before);
    expect(await deps.redis.keys('*')).toEqual([]);
  });

  test('that replaces another keeps it, and its expiry, until the new one is whole', async () => {
    const old = await saveBlobStream(deps, { tenant: 'acme', source: from('old'), mediaType: 'text/plain' });
    const replace = saveBlobStream(deps, { tenant: 'acme', source: failing(), mediaType: 'text/plain', id: old.id });
    await expect(replace).rejects.toMatchObject({ code: 'payload_too_large' });
    expect(await findBlob(deps, old.id)).toEqual(old);
    expect(await deps.redis.zscore(BLOB_EXPIRY, old.id)).toBe(String(old.expiresMs));
    expect(await text((await openBlob(deps, old.id, 'acme')).stream)).toBe('old');
  });
});

describe('a file', () => {
  test('is found by its tenant alone, with its bytes and the default expiry', async () => {
    const file = await save();
    expect(file).toMatchObject({ filename: 'lines.jsonl', purpose: 'batch', bytes: 16, status: 'processed', sha256: hash('sha256', '{"a":1}\n{"b":2}\n') });
    expect(file.id).toMatch(/^file_[0-9A-Za-z]{22}$/);
    expect(file.expiresMs).toBe(file.createdMs + 3_600_000);
    expect(await findFile(deps, 'acme', file.id)).toEqual(file);
    expect(await findFile(deps, 'other', file.id)).toBeUndefined();
    expect(await findFile(deps, 'acme', 'file_short')).toBeUndefined();
    expect(await text(await openFile(deps, file))).toBe('{"a":1}\n{"b":2}\n');
    expect(await text(await openFile(deps, file, { start: 8, end: 15 }))).toBe('{"b":2}');
  });

  test('and its bytes have one expiry, after which it is gone before any sweep', async () => {
    const expiresMs = Date.now() + 7_200_000;
    const file = await save({ expiresMs });
    expect(await deps.redis.zscore(BLOB_EXPIRY, file.blobId)).toBe(String(expiresMs));
    expect(await deps.redis.zscore(FILE_EXPIRY, file.id)).toBe(String(expiresMs));
    expect((await findBlob(deps, file.blobId))?.expiresMs).toBe(expiresMs);
    expect(await findFile(later(7_100_000), 'acme', file.id)).toEqual(file);
    expect(await findFile(later(7_200_001), 'acme', file.id)).toBeUndefined();
    expect((await listFiles(later(7_200_001), 'acme', { limit: 10, order: 'desc' })).files).toEqual([]);
  });

  test('that is removed leaves nothing; what is expired is the same', async () => {
    const before = await storedFiles();
    const [removed, expired] = [await save(), await save()];
    await removeFile(deps, removed);
    await removeFile(deps, removed);
    await expireFile(deps, expired.id);
    await expireFile(deps, newId('file'));
    expect(await deps.redis.keys('*')).toEqual([]);
    expect(await storedFiles()).toEqual(before);
    await expect(openFile(deps, removed)).rejects.toMatchObject({ code: 'not_found' });
  });

  test('that is made again under its id is one file with the later bytes', async () => {
    const before = await storedFiles();
    const id = newId('file');
    await save({ id });
    const again = await save({ id, source: from('later') });
    expect((await listFiles(deps, 'acme', { limit: 10, order: 'desc' })).files).toEqual([again]);
    expect(await text(await openFile(deps, again))).toBe('later');
    expect((await storedFiles()).length).toBe(before.length + 1);
  });

  test('whose source fails is not made', async () => {
    await expect(save({ source: failing() })).rejects.toMatchObject({ code: 'payload_too_large' });
    expect(await deps.redis.keys('*')).toEqual([]);
  });
});

describe('the list of files', () => {
  const idsOf = async (query: Partial<Parameters<typeof listFiles>[2]>) => {
    const { files, hasMore } = await listFiles(deps, 'acme', { limit: 20, order: 'desc', ...query });
    return [files.map(({ id }) => id), hasMore];
  };

  test('goes page by page in both orders, of one purpose or all, of one tenant', async () => {
    const ids: string[] = [];
    for (const [at, purpose] of (['batch', 'vision', 'batch', 'vision', 'batch'] as const).entries()) {
      const file = await saveFile(later(at * 10), { tenant: 'acme', filename: 'x', purpose, source: from('x') });
      ids.push(file.id);
    }
    await save({ tenant: 'other' });
    const [a, b, c, d, e] = ids;
    expect(await idsOf({})).toEqual([[e, d, c, b, a], false]);
    expect(await idsOf({ limit: 2 })).toEqual([[e, d], true]);
    expect(await idsOf({ limit: 2, after: d })).toEqual([[c, b], true]);
    expect(await idsOf({ limit: 2, after: b })).toEqual([[a], false]);
    expect(await idsOf({ order: 'asc', limit: 3 })).toEqual([[a, b, c], true]);
    expect(await idsOf({ order: 'asc', after: c })).toEqual([[d, e], false]);
    expect(await idsOf({ purpose: 'vision' })).toEqual([[d, b], false]);
    expect(await idsOf({ purpose: 'batch', limit: 1, after: e })).toEqual([[c], true]);
    await expect(idsOf({ after: newId('file') })).rejects.toMatchObject({ code: 'invalid_request', param: 'after' });
  });

  test('of more files than one round trip reads is complete', async () => {
    const record = await save();
    const chain = deps.redis.pipeline();
    for (let at = 0; at < 1100; at++) {
      const id = newId('file');
      chain.set(`fana:file:${id}`, JSON.stringify({ ...record, id })).zadd('fana:tenant:acme:files', at, id);
    }
    await chain.exec();
    expect((await listFiles(deps, 'acme', { limit: 10_000, order: 'asc' })).files).toHaveLength(1101);
    const page = await listFiles(deps, 'acme', { limit: 1099, order: 'asc', purpose: 'batch' });
    expect([page.files.length, page.hasMore]).toEqual([1099, true]);
  });
});

test.each([
  ['lines.jsonl', 'lines.jsonl'],
  ['a\r\nset-cookie: x\0.txt', 'aset-cookie: x.txt'],
  ['\u202egnp.exe', 'gnp.exe'],
  ['  ', 'file'],
  ['', 'file'],
  ['\ud800x', '\ufffdx'],
  ['🦊'.repeat(300), '🦊'.repeat(255)],
  ['ünïcode 文件.jsonl', 'ünïcode 文件.jsonl'],
])('the file name %j becomes %j', (name, clean) => {
  expect(cleanFilename(name)).toBe(clean);
});
