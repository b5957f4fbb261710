import { removeBlobs } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import type { ImageRef } from '../jobs/job.ts';
import { keepPicture, type ReadPicture, readPicture } from './read-picture.ts';

/** All pictures of one job: more would fit no provider's request, and cost this process too much memory. */
const MAX_PICTURES = 64;
const MAX_TOTAL_BYTES = 100_000_000;
/** How many pictures of one job are fetched at once. */
const LANES = 4;

/** What a job remembers of its linked pictures. `note` is to make the job the owner of the blob, and to throw if it cannot. */
export type KeptPictures = { blobIdOf: (url: string) => string | undefined; note: (url: string, blobId: string) => Promise<void> };

/** Whose pictures they are. Without `kept`, linked pictures are fetched at every attempt and not stored. */
export type PictureOwner = { tenant: string; kept?: KeptPictures };

type PictureDeps = Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>;

const keyOf = (image: ImageRef): string => (image.kind === 'blob' ? image.blobId : image.url);

/** A blob that is gone meanwhile is no failure: the picture is fetched again. */
const readKept = async (deps: PictureDeps, tenant: string, blobId: string, signal: AbortSignal): Promise<ReadPicture | undefined> => {
  try {
    return await readPicture(deps, tenant, { kind: 'blob', blobId }, signal);
  } catch (thrown) {
    if (!signal.aborted && thrown instanceof AppError && thrown.code === 'image_unreadable') return undefined;
    throw thrown;
  }
};

const readOnce = async (deps: PictureDeps, { tenant, kept }: PictureOwner, image: ImageRef, signal: AbortSignal): Promise<ReadPicture> => {
  if (!kept || image.kind !== 'url') return readPicture(deps, tenant, image, signal);
  const known = kept.blobIdOf(image.url);
  const earlier = known === undefined ? undefined : await readKept(deps, tenant, known, signal);
  if (earlier) return earlier;
  const picture = await readPicture(deps, tenant, image, signal);
  const blobId = await keepPicture(deps, tenant, picture);
  try {
    await kept.note(image.url, blobId);
  } catch (thrown) {
    await removeBlobs(deps, [blobId]);
    throw thrown;
  }
  return picture;
};

/**
 * Reads the pictures of a job, in their order, each one once however often it is named. The first failure stops the others.
 * With `owner.kept`, linked pictures are stored as blobs of the job at their first reading and come from there afterwards.
 * @throws AppError as `readPicture`; `image_unreadable` also for more than 64 pictures or 100 MB together.
 */
export const readPictures = async (deps: PictureDeps, owner: PictureOwner, images: ImageRef[], signal: AbortSignal): Promise<ReadPicture[]> => {
  const waiting = new Map(images.map((image) => [keyOf(image), image]));
  if (waiting.size > MAX_PICTURES)
    throw new AppError('image_unreadable', `There are ${waiting.size} pictures; at most ${MAX_PICTURES} are read.`, { param: 'input' });
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const read = new Map<string, ReadPicture>();
  let bytes = 0;
  const lane = async (queue: Iterator<[string, ImageRef]>): Promise<void> => {
    for (let next = queue.next(); !next.done; next = queue.next()) {
      const [key, image] = next.value;
      const picture = await readOnce(deps, owner, image, either);
      read.set(key, picture);
      bytes += picture.bytes.length;
      if (bytes > MAX_TOTAL_BYTES)
        throw new AppError('image_unreadable', `The pictures are too large together: at most ${MAX_TOTAL_BYTES} bytes are read.`, { param: 'input' });
    }
  };
  const queue = waiting.entries();
  try {
    await Promise.all(Array.from({ length: Math.min(LANES, waiting.size) }, () => lane(queue)));
  } catch (thrown) {
    failed.abort();
    throw thrown;
  }
  return images.flatMap((image) => read.get(keyOf(image)) ?? []);
};
