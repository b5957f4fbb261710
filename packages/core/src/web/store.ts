import { hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { readBlob, removeBlobs, saveBlobStream } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { execute } from '../redis.ts';

/** How long a page is remembered: long enough for the next questions about it, short enough to be true. */
const TTL_MS = 600_000;
/** Its blob outlives its key, so that a reader who has the key finds it. */
const BLOB_GRACE_MS = 60_000;
/** Texts longer than this live in the blob store. */
const INLINE_BYTES = 8192;

/** A page or document that was read. */
export type KeptPage = { title: string; text: string; isTruncated: boolean };
type Line = Omit<KeptPage, 'text'> & { text?: string; blobId?: string };

type StoreDeps = Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>;

/** What a server is asked for: the part behind `#` is not. */
export const addressOf = (url: string): string => url.replace(/#.*$/s, '');

/** A page of one tenant: neither its text nor the fact that it was read is another one's to know. The address may hold a key: only its hash is kept. */
const pageKey = (tenant: string, url: string): string => `fana:page:${tenant}:${hash('sha256', addressOf(url), 'base64url')}`;

/** What a tenant read at this address in the last 10 minutes. @throws AppError `storage_error`, `unavailable`. */
export const findPage = async (deps: StoreDeps, tenant: string, url: string): Promise<KeptPage | undefined> => {
  const line = await deps.redis.get(pageKey(tenant, url));
  if (line === null) return undefined;
  const { text, blobId, title, isTruncated }: Line = JSON.parse(line);
  if (blobId === undefined) return { title, isTruncated, text: text ?? '' };
  try {
    const { bytes } = await readBlob(deps, blobId, tenant);
    return { title, isTruncated, text: bytes.toString() };
  } catch (error) {
    if (error instanceof AppError && error.code === 'not_found') return undefined;
    throw error;
  }
};

/** Keeps what was read for 10 minutes. @throws AppError `storage_error`, `unavailable`. */
export const keepPage = async (deps: StoreDeps, tenant: string, url: string, { title, text, isTruncated }: KeptPage): Promise<void> => {
  const bytes = Buffer.from(text);
  const line: Line = { title, isTruncated };
  if (bytes.length <= INLINE_BYTES) line.text = text;
  else {
    const blob = { tenant, source: Readable.from([bytes]), mediaType: 'text/plain; charset=utf-8', expiresMs: deps.now() + TTL_MS + BLOB_GRACE_MS };
    line.blobId = (await saveBlobStream(deps, blob)).id;
  }
  await deps.redis.set(pageKey(tenant, url), JSON.stringify(line), 'PX', TTL_MS);
};

/** Erases what is kept of these addresses: with the job or session that named them. @throws AppError `storage_error`, `unavailable`. */
export const forgetPages = async (deps: Pick<Deps, 'redis' | 'blobs'>, tenant: string, urls: string[]): Promise<void> => {
  if (urls.length === 0) return;
  const keys = urls.map((url) => pageKey(tenant, url));
  const lines = await deps.redis.mget(keys);
  await execute(deps.redis.pipeline().del(keys));
  await removeBlobs(
    deps,
    lines.flatMap((line) => (line === null ? [] : ((JSON.parse(line) as Line).blobId ?? []))),
  );
};
