import { findBlob, readBlob, saveBlob } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { isId } from '../ids.ts';
import { decodeDataUrl } from '../web/data-url.ts';
import type { ImageRef, InputMessage, JobInput, MessagePart } from './job.ts';
import type { Submission, SubmittedImage } from './submission.ts';

// C0 and C1 control characters but tab, line feed and carriage return, and lone surrogates.
// biome-ignore lint/suspicious/noControlCharactersInRegex: removing them is the purpose
const UNWANTED = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
// Nearly every message is printable ASCII, which is in NFC already: one cheap test spares two passes.
const PLAIN = /^[\t\n\r\x20-\x7e]*$/;

/** NFC without control characters: what is stored, classified and sent to providers. */
export const cleanText = (text: string): string => (PLAIN.test(text) ? text : text.normalize('NFC').replace(UNWANTED, ''));

type Build = { deps: Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>; tenant: string; ownedBlobIds: string[] };

/** Keeps attached bytes as a blob: image bytes never enter Redis (promise 6). */
const keepBytes = async (build: Build, data: string, mediaType: string | undefined, param: string): Promise<ImageRef> => {
  const { bytes, mediaType: said } = decodeDataUrl(data, param);
  const blob = await saveBlob(build.deps, { tenant: build.tenant, bytes, mediaType: mediaType ?? said ?? 'application/octet-stream' });
  build.ownedBlobIds.push(blob.id);
  return { kind: 'blob', blobId: blob.id };
};

const imageRef = async (build: Build, image: SubmittedImage, param: string): Promise<ImageRef> => {
  if (image.url !== undefined) return { kind: 'url', url: image.url };
  if (image.data !== undefined) return keepBytes(build, image.data, image.media_type, `${param}.data`);
  const id = image.blob_id ?? '';
  const blob = isId('blob', id) ? await findBlob(build.deps, id, build.tenant) : undefined;
  if (!blob) throw new AppError('not_found', `${param}.blob_id: there is no such blob.`, { param: `${param}.blob_id` });
  return { kind: 'blob', blobId: id };
};

const buildMessages = async (build: Build, messages: Extract<Submission['input'], { messages: unknown }>['messages']): Promise<InputMessage[]> => {
  const built: InputMessage[] = [];
  for (const [at, { role, content }] of messages.entries()) {
    if (typeof content === 'string') {
      built.push({ role, content: cleanText(content) });
      continue;
    }
    const parts: MessagePart[] = [];
    for (const [partAt, part] of content.entries()) {
      if (part.type === 'text') {
        parts.push({ type: 'text', text: cleanText(part.text) });
        continue;
      }
      const { url } = part.image_url;
      const param = `input.messages.${at}.content.${partAt}.image_url.url`;
      const image: ImageRef = url.startsWith('data:') ? await keepBytes(build, url, undefined, param) : { kind: 'url', url };
      parts.push({ type: 'image', image });
    }
    built.push({ role, content: parts });
  }
  return built;
};

/** What is classified of a list of messages: the text and pictures of the last user message. */
const lastUserMessage = (messages: InputMessage[]): { text: string; images: ImageRef[] } => {
  const last = messages.findLast(({ role }) => role === 'user');
  if (!last) throw new AppError('invalid_request', 'input.messages: must hold a user message.', { param: 'input.messages' });
  if (last.content === null || typeof last.content === 'string') return { text: last.content ?? '', images: [] };
  const texts = last.content.flatMap((part) => (part.type === 'text' ? [part.text] : []));
  return { text: texts.join('\n'), images: last.content.flatMap((part) => (part.type === 'image' ? [part.image] : [])) };
};

/** A copy of a stored picture that is not the job's own: what it belonged to may be erased before the job runs. */
const copyPicture = async ({ deps, tenant, ownedBlobIds }: Build, blobId: string): Promise<ImageRef> => {
  if (ownedBlobIds.includes(blobId)) return { kind: 'blob', blobId };
  const { record, bytes } = await readBlob(deps, blobId, tenant);
  const { id } = await saveBlob(deps, { tenant, bytes, mediaType: record.mediaType });
  ownedBlobIds.push(id);
  return { kind: 'blob', blobId: id };
};

/**
 * The same input with every picture it brings, as bytes or by the blob of something else, stored as a blob of its own (their ids are
 * added to `ownedBlobIds`).
 * @throws AppError `invalid_request` with `param`, `not_found`, `storage_error`.
 */
export const keepPictures = async (build: Build, given: JobInput, param: string): Promise<JobInput> => {
  const keep = async (image: ImageRef): Promise<ImageRef> => {
    if (image.kind === 'url') return image;
    return image.kind === 'data' ? keepBytes(build, image.url, undefined, param) : copyPicture(build, image.blobId);
  };
  const images: ImageRef[] = [];
  for (const image of given.images) images.push(await keep(image));
  const input: JobInput = given.mask ? { ...given, mask: await keep(given.mask) } : given;
  if (!input.messages) return { ...input, images };
  const messages: InputMessage[] = [];
  for (const message of input.messages) {
    if (message.content === null || typeof message.content === 'string') {
      messages.push(message);
      continue;
    }
    const content: MessagePart[] = [];
    for (const part of message.content) content.push(part.type === 'image' ? { ...part, image: await keep(part.image) } : part);
    messages.push({ ...message, content });
  }
  return { ...input, images, messages };
};

/**
 * Normalises what was submitted: NFC, no control characters, attached bytes stored as blobs (their ids are added to `ownedBlobIds`).
 * @throws AppError `invalid_request` with `param`, `storage_error`.
 */
export const buildInput = async (build: Build, input: Submission['input']): Promise<JobInput> => {
  if ('messages' in input) {
    const messages = await buildMessages(build, input.messages);
    const { text, images } = lastUserMessage(messages);
    if (text.trim() === '' && images.length === 0)
      throw new AppError('invalid_request', 'input.messages: the last user message is empty.', { param: 'input.messages' });
    return { text, images, messages };
  }
  const text = cleanText(input.text ?? '');
  const images: ImageRef[] = [];
  for (const [at, image] of (input.images ?? []).entries()) images.push(await imageRef(build, image, `input.images.${at}`));
  if (text.trim() === '' && images.length === 0) throw new AppError('invalid_request', 'input: must not be empty.', { param: 'input' });
  return { text, images };
};
