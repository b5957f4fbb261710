import { removeBlobs, saveBlobStream } from '@fana/core/blobs/store.ts';
import type { EndpointCall } from '@fana/core/endpoints/endpoint.ts';
import { formEditCall, MAX_EDITED_PICTURES, MAX_PICTURE_BYTES } from '@fana/core/endpoints/image-edits.ts';
import { AppError } from '@fana/core/errors.ts';
import type { ImageRef } from '@fana/core/jobs/job.ts';
import { pictureTypeOf } from '@fana/core/web/inspect-picture.ts';
import type { Context } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { type FormPart, formParts } from '../middleware/multipart.ts';

/** Together no more than a worker reads for one job, and some fields beside them. */
const LIMITS = { maxFileBytes: MAX_PICTURE_BYTES, maxBodyBytes: 101_000_000 };
/** What tells a picture, and what people take for one. */
const HEAD_BYTES = 1024;

type PictureDeps = Pick<ApiDeps, 'redis' | 'blobs' | 'config' | 'now' | 'logger'>;
type FilePart = Extract<FormPart, { kind: 'file' }>;

/** What has come so far; blobs stay here when a later part is refused, so that they can be taken back. */
type Received = { fields: Map<string, string>; images: ImageRef[]; mask?: ImageRef; blobIds: string[]; hashes: string[] };

const invalid = (param: string, problem: string): AppError => new AppError('invalid_request', `${param}: ${problem}.`, { param });

/** The beginning of a stream, and the whole of it to be read once. */
const peek = async (bytes: AsyncIterable<Uint8Array>): Promise<{ head: Buffer; whole: AsyncIterable<Uint8Array> }> => {
  const iterator = bytes[Symbol.asyncIterator]();
  const chunks: Uint8Array[] = [];
  let length = 0;
  while (length < HEAD_BYTES) {
    const { done, value } = await iterator.next();
    if (done) break;
    chunks.push(value);
    length += value.byteLength;
  }
  const whole = async function* (): AsyncGenerator<Uint8Array, void, void> {
    yield* chunks;
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
  };
  return { head: Buffer.concat(chunks).subarray(0, HEAD_BYTES), whole: whole() };
};

/** `image`, `image[]`, and `image[0]`: as the SDKs of several languages name one of many. */
const isImageField = (name: string): boolean => /^image(\[\d{0,3}\])?$/.test(name);

/** Streams a picture into a blob; what is no picture by its first bytes is not stored. */
const receivePicture = async (deps: PictureDeps, tenant: string, received: Received, { name, bytes }: FilePart): Promise<void> => {
  const isMask = name === 'mask';
  const param = isMask ? 'mask' : 'image';
  if (!isMask && !isImageField(name)) throw new AppError('unsupported_parameter', `${name}: files are not taken here.`, { param: name });
  if (isMask && received.mask) throw invalid(param, 'must not be sent twice');
  if (!isMask && received.images.length === MAX_EDITED_PICTURES) throw invalid(param, `must be at most ${MAX_EDITED_PICTURES} pictures`);
  const { head, whole } = await peek(bytes);
  let mediaType: string;
  try {
    mediaType = pictureTypeOf(head);
  } catch (thrown) {
    if (!(thrown instanceof AppError)) throw thrown;
    throw new AppError(thrown.code, `${param}: ${thrown.message}`, { param, cause: thrown });
  }
  const blob = await saveBlobStream(deps, { tenant, source: whole, mediaType });
  received.blobIds.push(blob.id);
  received.hashes.push(`${param} ${blob.sha256}`);
  const ref: ImageRef = { kind: 'blob', blobId: blob.id };
  if (isMask) received.mask = ref;
  else received.images.push(ref);
};

const receiveField = ({ fields }: Received, name: string, value: string): void => {
  if (name === 'mask' || isImageField(name)) throw invalid(name === 'mask' ? 'mask' : 'image', 'must be sent as a file, with a filename');
  if (fields.has(name)) throw invalid(name, 'must not be sent twice');
  fields.set(name, value);
};

const takeBack = async (deps: PictureDeps, blobIds: string[]): Promise<void> => {
  try {
    await removeBlobs(deps, blobIds);
  } catch (error) {
    deps.logger.warn({ err: error }, 'the pictures of a refused request are left to the sweep');
  }
};

/**
 * Reads the form of an edit; its pictures go to the blob store as they come. `fingerprint` is the same for the same fields and pictures,
 * whatever the boundary. What a refused request has stored is removed.
 * @throws AppError `image_unreadable`, `payload_too_large`, `invalid_request`, `unsupported_parameter`, each with `param`.
 */
export const readPictureForm = async (deps: PictureDeps, c: Context<Environment>): Promise<{ call: EndpointCall; fingerprint: string }> => {
  const { tenant } = c.var.caller;
  const received: Received = { fields: new Map(), images: [], blobIds: [], hashes: [] };
  try {
    for await (const part of formParts(c, LIMITS)) {
      if (part.kind === 'field') receiveField(received, part.name, part.value);
      else await receivePicture(deps, tenant, received, part);
    }
    const { fields, images, mask, blobIds, hashes } = received;
    const call = formEditCall(fields, { images, mask, ownedBlobIds: blobIds });
    return { call, fingerprint: JSON.stringify([[...fields].sort(), hashes]) };
  } catch (error) {
    await takeBack(deps, received.blobIds);
    throw error;
  }
};
