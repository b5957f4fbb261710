import { readBlob, saveBlob } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import type { ImageRef } from '../jobs/job.ts';
import type { PictureBytes } from '../providers/provider.ts';
import { decodeDataUrl } from './data-url.ts';
import { inspectPicture, type PictureFacts } from './inspect-picture.ts';
import { safeFetch } from './safe-fetch.ts';

/** Of a linked picture, and of one that came with a request (contract 3). */
const MAX_LINKED_BYTES = 20_000_000;
const MAX_GIVEN_BYTES = 50 * 1024 * 1024;
const TIMEOUT_MS = 20_000;
const MAX_NAME_CHARS = 200;

type ReadDeps = Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>;

/** A picture that was read and found good. */
export type ReadPicture = PictureBytes & PictureFacts;

/** How a message calls a picture: by what the client gave, without the query, which may hold a key. */
const nameOf = (image: ImageRef): string => {
  if (image.kind === 'blob') return image.blobId;
  if (image.kind === 'data') return 'in the request';
  const bare = image.url.replace(/[?#].*$/s, '');
  return bare.length > MAX_NAME_CHARS ? `${bare.slice(0, MAX_NAME_CHARS)}…` : bare;
};

const fetchPicture = async (deps: ReadDeps, url: string, signal: AbortSignal): Promise<Buffer> => {
  const { status, body } = await safeFetch(url, {
    headers: { accept: 'image/png,image/jpeg,image/webp,image/gif' },
    timeoutMs: TIMEOUT_MS,
    maxBytes: MAX_LINKED_BYTES,
    allowPrivateNetwork: deps.config.web.allowPrivateNetwork,
    signal,
  });
  if (status < 200 || status > 299) throw new AppError('fetch_failed', `The server answered ${status}.`);
  return body;
};

const readBytes = async (deps: ReadDeps, tenant: string, image: ImageRef, signal: AbortSignal): Promise<Buffer> => {
  if (image.kind === 'url') return fetchPicture(deps, image.url, signal);
  const { bytes } = image.kind === 'data' ? decodeDataUrl(image.url, 'input') : await readBlob(deps, image.blobId, tenant);
  if (bytes.length > MAX_GIVEN_BYTES) throw new AppError('payload_too_large', `The picture is too large: at most ${MAX_GIVEN_BYTES} bytes are read.`);
  return bytes;
};

/** Failures that say nothing of the picture: they stay what they are, and another attempt may help. */
const OURS = new Set(['storage_error', 'unavailable', 'internal_error']);

/**
 * Reads a picture that a job was given, from its blob or its URL, and checks what it is.
 * @throws AppError `image_unreadable` naming the picture and the reason; `storage_error` and `unavailable` as they are; the reason of
 *   `signal` when it aborts.
 */
export const readPicture = async (deps: ReadDeps, tenant: string, image: ImageRef, signal: AbortSignal): Promise<ReadPicture> => {
  try {
    const bytes = await readBytes(deps, tenant, image, signal);
    return { bytes, ...(await inspectPicture(bytes)) };
  } catch (thrown) {
    if (signal.aborted || !(thrown instanceof AppError) || OURS.has(thrown.code)) throw thrown;
    throw new AppError('image_unreadable', `The picture ${nameOf(image)} cannot be used. ${thrown.message}`, { param: 'input', cause: thrown });
  }
};

/**
 * Keeps a linked picture as a blob, so that a later attempt or turn sees the same bytes. Returns the id of the blob, which the job is to own.
 * @throws AppError `storage_error`, `unavailable`.
 */
export const keepPicture = async (deps: ReadDeps, tenant: string, picture: ReadPicture): Promise<string> => {
  const { bytes, mediaType, width, height } = picture;
  return (await saveBlob(deps, { tenant, bytes, mediaType, width, height })).id;
};
