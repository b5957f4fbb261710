import { Readable } from 'node:stream';
import type { ByteRange } from '@fana/core/blobs/blob.ts';
import { AppError } from '@fana/core/errors.ts';
import { FILE_PURPOSES, type FileRecord } from '@fana/core/files/file.ts';
import { findFile, listFiles, openFile, removeFile } from '@fana/core/files/store.ts';
import { parseWith } from '@fana/core/parse.ts';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { Environment } from '../environment.ts';
import { listPage, listQuery } from '../list-page.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { limits } from '../middleware/limits.ts';
import { type FileDeps, receiveUpload } from './upload.ts';

/** OpenAI's own page of files may be larger than any other. */
const filesQuery = z.strictObject({
  ...listQuery.shape,
  limit: z
    .string()
    .regex(/^\d{1,5}$/, 'must be a whole number from 1 to 10000')
    .transform(Number)
    .pipe(z.number().min(1, 'must be at least 1').max(10_000, 'must be at most 10000'))
    .default(20),
  order: z.enum(['asc', 'desc']).default('desc'),
  purpose: z.enum(FILE_PURPOSES).optional(),
});

const view = (file: FileRecord) => ({
  id: file.id,
  object: 'file' as const,
  bytes: file.bytes,
  created_at: Math.floor(file.createdMs / 1000),
  expires_at: Math.floor(file.expiresMs / 1000),
  filename: file.filename,
  purpose: file.purpose,
  status: file.status,
});

/** @throws AppError `not_found`, for another tenant's file too. */
const fileOf = async (deps: FileDeps, c: Context<Environment>): Promise<FileRecord> => {
  const file = await findFile(deps, c.var.caller.tenant, c.req.param('id') ?? '');
  if (!file) throw new AppError('not_found', 'There is no such file.', { param: 'id' });
  return file;
};

/** Whatever a tenant has uploaded is downloaded, never shown: it may be a page. */
const headersOf = (file: FileRecord): Record<string, string> => ({
  'content-type': file.mediaType,
  'content-length': String(file.bytes),
  'content-disposition': disposition(file.filename),
  'content-security-policy': "sandbox; default-src 'none'",
  'cache-control': 'private, no-cache',
  'accept-ranges': 'bytes',
  etag: `"${file.sha256}"`,
});

/** RFC 6266: a name in ASCII for those who read no other, and the true one. */
const disposition = (filename: string): string => {
  const plain = filename.replace(/[^\x20-\x7e]/g, '_').replace(/["\\%]/g, '_');
  const encoded = encodeURIComponent(filename).replace(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
};

/**
 * The one range that is asked for (RFC 9110 14.2); several, or none that can be read, mean the whole file, as does an `If-Range` of other bytes.
 * @throws AppError `range_not_satisfiable`.
 */
const rangeOf = (c: Context, file: FileRecord): Required<ByteRange> | undefined => {
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(c.req.header('range') ?? '') ?? [];
  const ifRange = c.req.header('if-range');
  if ((first === '' && last === '') || (ifRange !== undefined && ifRange !== `"${file.sha256}"`)) return undefined;
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  const start = first === '' ? Math.max(0, file.bytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? file.bytes : Math.min(file.bytes, Number(last) + 1);
  if (start < end) return { start, end };
  c.header('content-range', `bytes */${file.bytes}`);
  throw new AppError('range_not_satisfiable', `The file has ${file.bytes} bytes.`, { param: 'Range' });
};

const content = async (deps: FileDeps, c: Context<Environment>): Promise<Response> => {
  const file = await fileOf(deps, c);
  const headers = headersOf(file);
  // hono answers HEAD with the headers of GET; the file is not opened for it.
  if (c.req.method === 'HEAD') return c.body(null, 200, headers);
  const range = rangeOf(c, file);
  const bytes = Readable.toWeb(await openFile(deps, file, range)) as ReadableStream<Uint8Array>;
  if (!range) return c.body(bytes, 200, headers);
  const { start, end } = range;
  return c.body(bytes, 206, { ...headers, 'content-length': String(end - start), 'content-range': `bytes ${start}-${end - 1}/${file.bytes}` });
};

/** `/v1/files`. */
export const fileRoutes = (deps: FileDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  routes.use(authenticate(deps.keys, 'files'), limits(deps));

  routes.post('/', async (c) => c.json(view(await receiveUpload(deps, c))));
  routes.get('/', async (c) => {
    const { files, hasMore } = await listFiles(deps, c.var.caller.tenant, parseWith(filesQuery, c.req.query()));
    return c.json(listPage(files.map(view), hasMore));
  });
  routes.get('/:id', async (c) => c.json(view(await fileOf(deps, c))));
  routes.get('/:id/content', (c) => content(deps, c));
  routes.delete('/:id', async (c) => {
    const file = await fileOf(deps, c);
    await removeFile(deps, file);
    return c.json({ id: file.id, object: 'file', deleted: true });
  });

  routes.all('/', allowOnly('GET', 'POST'));
  routes.all('/:id', allowOnly('GET', 'DELETE'));
  routes.all('/:id/content', allowOnly('GET'));
  return routes;
};
