import { refuseWhileAway } from '@fana/core/blobs/aside.ts';
import type { Deps } from '@fana/core/deps.ts';
import { AppError } from '@fana/core/errors.ts';
import type { ImageRef, Source, StoredImage } from '@fana/core/jobs/job.ts';
import type { MadePicture } from '@fana/core/providers/provider.ts';
import { inspectPicture } from '@fana/core/web/inspect-picture.ts';
import type { ReadPicture } from '@fana/core/web/read-picture.ts';
import { readPictures } from '@fana/core/web/read-pictures.ts';
import { savePaid } from '../persist.ts';
import type { Processor, Run } from './processor.ts';

type Stored = { image: StoredImage; isAside: boolean };

const store = async (deps: Deps, run: Run, made: MadePicture): Promise<Stored> => {
  const { tenant } = run.job.spec;
  const { mediaType, width, height } = await inspectMade(made.bytes);
  const blob = { tenant, bytes: made.bytes, mediaType, width, height };
  const { record, isAside } = await savePaid(deps, run.persist, blob, 'The picture was made, but it could not be stored.');
  const { id: blobId, bytes, sha256, expiresMs } = record;
  const image: StoredImage = { blobId, mediaType, width, height, bytes, sha256, expiresMs };
  return { image: made.revisedPrompt === undefined ? image : { ...image, revisedPrompt: made.revisedPrompt }, isAside };
};

/** What a provider sent as a picture may be none: that is its bad reply, not the user's bad picture. */
const inspectMade = async (bytes: Buffer): ReturnType<typeof inspectPicture> => {
  try {
    return await inspectPicture(bytes);
  } catch (cause) {
    throw new AppError('provider_bad_response', 'The provider answered, but what it sent is not a picture.', { provider: { outcome: 'known' }, cause });
  }
};

/** The field of the request that its pictures came in. */
const fieldOf = ({ job }: Run): string => (job.spec.endpoint === 'images.edits' ? 'image' : 'input');

/** The pictures to edit and their mask, read and checked. @throws AppError `image_unreadable`, `invalid_request` (param `mask`). */
const readGiven = async (deps: Deps, run: Run, images: ImageRef[]): Promise<{ pictures: ReadPicture[]; mask?: ReadPicture }> => {
  const owner = { tenant: run.job.spec.tenant, ...(run.pictures && { kept: run.pictures }) };
  const { mask: given } = run.input;
  let read: ReadPicture[];
  try {
    read = await readPictures(deps, owner, given ? [...images, given] : images, run.signal);
  } catch (thrown) {
    if (!(thrown instanceof AppError) || thrown.code !== 'image_unreadable') throw thrown;
    throw new AppError(thrown.code, thrown.message, { param: fieldOf(run), cause: thrown });
  }
  const [first] = read;
  const mask = given && read.pop();
  if (!mask || !first) return { pictures: read };
  if (mask.mediaType !== 'image/png' || mask.width !== first.width || mask.height !== first.height) {
    throw new AppError('invalid_request', `mask: must be a PNG of the size of the first picture, ${first.width} × ${first.height}.`, { param: 'mask' });
  }
  return { pictures: read, mask };
};

/**
 * Makes pictures, or edits the ones attached or linked. They are stored before the job ends, and none is paid for that could not be: while
 * this machine keeps one aside, the store must answer first. Their bytes never enter Redis.
 * A picture to edit that cannot be used fails the job `image_unreadable` before any provider call.
 */
export const processImage: Processor = async (deps, run) => {
  const { job, input } = run;
  const linked = job.spec.urls.flatMap(({ url, kind }): ImageRef[] => (kind === 'image' ? [{ kind: 'url', url }] : []));
  const { pictures, mask } = await readGiven(deps, run, [...input.images, ...(run.session?.pictures ?? []), ...linked]);
  await refuseWhileAway(deps);
  const { result, target } = await run.call(deps.providers.targets(job.spec.model, 'image'), (to, options) => {
    if (!to.provider.image) throw new Error(`provider ${to.provider.name} makes no pictures`);
    return to.provider.image({ model: to.model, prompt: input.text, pictures, ...(mask && { mask }), parameters: job.spec.parameters }, options);
  });
  const stored = await Promise.all(result.images.map((made) => store(deps, run, made)));
  const images = stored.map(({ image }) => image);
  const asideBlobIds = stored.flatMap(({ image, isAside }) => (isAside ? [image.blobId] : []));
  const { background, quality } = result;
  const usage = { ...result.usage, images: images.length };
  const sources: Source[] = job.spec.urls.map(({ url, kind }) => ({ url, kind, status: kind === 'image' ? 'read' : 'not_read' }));
  return {
    output: { kind: 'images', images, ...(background !== undefined && { background }), ...(quality !== undefined && { quality }) },
    usage,
    servedBy: { provider: target.provider.name, model: result.model },
    warnings: target.warnings,
    costUsd: deps.providers.costUsd(target.provider.name, target.model, usage),
    ...(sources.length > 0 && { sources }),
    ...(asideBlobIds.length > 0 && { asideBlobIds }),
  };
};
