import { AppError } from '@fana/core/errors.ts';
import type { ImageRef } from '@fana/core/jobs/job.ts';
import type { ReadPicture } from '@fana/core/web/read-picture.ts';
import { readPictures } from '@fana/core/web/read-pictures.ts';
import { buildConversation, type MessagePictures, pictureKey } from './conversation.ts';
import { readNamedPages } from './named-pages.ts';
import type { Processor, Run } from './processor.ts';
import { cited, retrieve } from './retrieve.ts';
import { callForText } from './text-call.ts';

/** The pictures inside the conversation's messages, by their place. */
const messagePictures = (run: Run): { key: string; image: ImageRef }[] =>
  (run.input.messages ?? []).flatMap(({ content }, at) =>
    content === null || typeof content === 'string'
      ? []
      : content.flatMap((part, partAt) => (part.type === 'image' ? [{ key: pictureKey(at, partAt), image: part.image }] : [])),
  );

/**
 * Answers a question about pictures: attached ones, those in the messages and those linked in the text. Pages it names are read, too.
 * A picture that cannot be used fails the job `image_unreadable` before any provider call.
 */
export const processVision: Processor = async (deps, run) => {
  const { job, input } = run;
  const linked = job.spec.urls.flatMap(({ url, kind }): ImageRef[] => (kind === 'image' ? [{ kind: 'url', url }] : []));
  const placed = messagePictures(run);
  const wanted = [...placed.map(({ image }) => image), ...(input.messages ? [] : input.images), ...(run.session?.pictures ?? []), ...linked];
  const pictures = await readPictures(deps, { tenant: job.spec.tenant, ...(run.pictures && { kept: run.pictures }) }, wanted, run.signal);
  const inMessages: MessagePictures = new Map(placed.map(({ key }, at) => [key, pictures[at] as ReadPicture]));
  const extra = pictures.slice(placed.length);
  if (pictures.length === 0) throw new AppError('image_unreadable', 'There is no picture to look at.', { param: 'input' });
  const known = new Set(wanted.flatMap((image) => (image.kind === 'blob' ? [image.blobId] : [])));
  const found = await retrieve(deps, run);
  const { blocks, sources } = await readNamedPages(deps, run, 'read');
  const context = [...(found.block === undefined ? [] : [found.block]), ...blocks];
  const result = cited(await callForText(deps, run, await buildConversation(deps, run, { inMessages, extra, known, blocks: context })), found);
  return sources.length > 0 ? { ...result, sources } : result;
};
