import type { Deps } from '@fana/core/deps.ts';
import { AppError } from '@fana/core/errors.ts';
import type { Source } from '@fana/core/jobs/job.ts';
import type { PictureBytes } from '@fana/core/providers/provider.ts';
import { readPicture } from '@fana/core/web/read-picture.ts';
import type { Processor, Run } from './processor.ts';
import { callForText, conversation, type MessagePictures, pictureKey } from './text-call.ts';

/** Reads every picture of the conversation's messages. */
const readMessagePictures = async (deps: Deps, run: Run): Promise<MessagePictures> => {
  const wanted = (run.input.messages ?? []).flatMap(({ content }, at) =>
    typeof content === 'string' ? [] : content.flatMap((part, partAt) => (part.type === 'image' ? [{ key: pictureKey(at, partAt), image: part.image }] : [])),
  );
  const pictures = await Promise.all(wanted.map(({ image }) => readPicture(deps, run.job.spec.tenant, image, run.signal)));
  return new Map(wanted.map(({ key }, at) => [key, pictures[at] as PictureBytes]));
};

/**
 * Answers a question about pictures: attached ones, those in the messages and those linked in the text.
 * A picture that cannot be used fails the job `image_unreadable` before any provider call.
 */
export const processVision: Processor = async (deps, run) => {
  const { job, input } = run;
  const linked = job.spec.urls.filter(({ kind }) => kind === 'image');
  const [inMessages, attached, byLink] = await Promise.all([
    readMessagePictures(deps, run),
    Promise.all((input.messages ? [] : input.images).map((image) => readPicture(deps, job.spec.tenant, image, run.signal))),
    Promise.all(linked.map(({ url }) => readPicture(deps, job.spec.tenant, { kind: 'url', url }, run.signal))),
  ]);
  const extra = [...attached, ...byLink];
  if (inMessages.size + extra.length === 0) throw new AppError('image_unreadable', 'There is no picture to look at.', { param: 'input' });
  const sources: Source[] = job.spec.urls.map(({ url, kind }) => ({ url, kind, status: kind === 'image' ? 'read' : 'not_read' }));
  const result = await callForText(deps, run, conversation(deps, run, inMessages, extra));
  return sources.length > 0 ? { ...result, sources } : result;
};
