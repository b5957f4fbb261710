import { Readable } from 'node:stream';
import type { BlobRecord } from '@fana/core/blobs/blob.ts';
import { isSignedBlobUrl } from '@fana/core/blobs/signed-url.ts';
import { findBlob } from '@fana/core/blobs/store.ts';
import { AppError } from '@fana/core/errors.ts';
import { isId } from '@fana/core/ids.ts';
import { type Context, Hono } from 'hono';
import { createMiddleware } from 'hono/factory';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { authenticate } from '../middleware/authenticate.ts';

type BlobDeps = Pick<ApiDeps, 'keys' | 'redis' | 'blobs' | 'config' | 'now'>;

/** What a browser may show in its window; everything else, SVG and HTML above all, is only ever downloaded. */
const SHOWN = new Set(['image/png', 'image/jpeg', 'image/webp', 'image/gif', 'application/json']);
/** Inputs and results of jobs that were too long for Redis: no picture, so no link leads to them. */
const INTERNAL = 'application/json';
const MEDIA_TYPE = /^[a-z0-9][a-z0-9.+-]*\/[a-z0-9][a-z0-9.+-]*$/;

const noSuchBlob = (): AppError => new AppError('not_found', 'There is no such blob.');

/** Whether the request comes with a signed link, whatever it is worth. */
const isLink = (c: Context): boolean => c.req.query('sig') !== undefined || c.req.query('expires') !== undefined;

/** @throws AppError `invalid_signature` for a link that was changed, and for one whose time has passed. */
const checkLink = (deps: BlobDeps, c: Context, id: string): void => {
  const expires = c.req.query('expires') ?? '';
  const sig = c.req.query('sig') ?? '';
  if (isSignedBlobUrl(deps.config, { id, expires, sig }, deps.now())) return;
  // Only of a link that was ours is said that it has expired.
  const hasExpired = isSignedBlobUrl(deps.config, { id, expires, sig }, 0);
  throw new AppError('invalid_signature', hasExpired ? 'This link has expired.' : 'The signature of this link is not valid.', { param: 'sig' });
};

const headersOf = (record: BlobRecord, viaLink: boolean): Record<string, string> => {
  const mediaType = MEDIA_TYPE.test(record.mediaType.toLowerCase()) ? record.mediaType.toLowerCase() : 'application/octet-stream';
  const headers: Record<string, string> = {
    'content-type': mediaType,
    'content-length': String(record.bytes),
    etag: `"${record.sha256}"`,
    // The bytes never change, but a deleted blob must not live on unasked in a cache.
    'cache-control': 'private, no-cache',
  };
  if (!SHOWN.has(mediaType)) {
    headers['content-disposition'] = `attachment; filename="${record.id}"`;
    headers['content-security-policy'] = "sandbox; default-src 'none'";
  }
  // Whoever holds a link may show its picture on a page of another site.
  if (viaLink) headers['cross-origin-resource-policy'] = 'cross-origin';
  return headers;
};

/** How long a link of the store itself lives: to be followed, not to be kept. */
const STORE_LINK_MS = 3_600_000;

/** `?redirect=true`: where the store gives links, the bytes come from it and not through us. Undefined: it gives none. */
const redirect = async (deps: BlobDeps, c: Context, record: BlobRecord, headers: Record<string, string>): Promise<Response | undefined> => {
  const wanted = c.req.query('redirect');
  if (wanted === undefined || wanted === 'false') return undefined;
  if (wanted !== 'true') throw new AppError('invalid_request', 'redirect: must be true or false.', { param: 'redirect' });
  const disposition = headers['content-disposition'];
  const expiresMs = Math.min(record.expiresMs, deps.now() + STORE_LINK_MS);
  const link = await deps.blobs.link?.(record.id, { expiresMs, ...(disposition !== undefined && { disposition }) });
  return link === undefined ? undefined : c.body(null, 302, { location: link, 'cache-control': 'no-store' });
};

/** RFC 9110 13.1.2, weak comparison. */
const isUnchanged = (ifNoneMatch: string | undefined, etag: string): boolean =>
  ifNoneMatch !== undefined && (ifNoneMatch.trim() === '*' || ifNoneMatch.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag));

const send = async (deps: BlobDeps, c: Context<Environment>): Promise<Response> => {
  const id = c.req.param('id') ?? '';
  const viaLink = isLink(c);
  if (viaLink) checkLink(deps, c, id);
  const record = isId('blob', id) ? await findBlob(deps, id, viaLink ? undefined : c.var.caller.tenant) : undefined;
  if (!record || (viaLink && record.mediaType === INTERNAL)) throw noSuchBlob();
  const headers = headersOf(record, viaLink);
  if (isUnchanged(c.req.header('if-none-match'), headers['etag'] ?? '')) {
    const { 'content-length': _, ...rest } = headers;
    return c.body(null, 304, rest);
  }
  const elsewhere = await redirect(deps, c, record, headers);
  if (elsewhere) return elsewhere;
  // hono answers HEAD with the headers of GET; the file is not opened for it.
  if (c.req.method === 'HEAD') return c.body(null, 200, headers);
  return c.body(Readable.toWeb(await deps.blobs.stream(id)) as ReadableStream<Uint8Array>, 200, headers);
};

/** `/v1/blobs`: stored bytes, to the tenant's keys and to whoever holds a signed link. */
export const blobRoutes = (deps: BlobDeps): Hono<Environment> => {
  const routes = new Hono<Environment>();
  const auth = authenticate(deps.keys, 'jobs');
  // A link stands on its own: a key that comes with it is not looked at.
  const linkOrKey = createMiddleware<Environment>((c, next) => (isLink(c) ? next() : auth(c, next)));
  routes.get('/:id', linkOrKey, (c) => send(deps, c));
  routes.all('/:id', allowOnly('GET'));
  return routes;
};
