import { z } from 'zod';
import { AppError } from '../errors.ts';
import { findFile } from '../files/store.ts';
import type { ImageRef } from '../jobs/job.ts';
import { parseWith } from '../parse.ts';
import { decodeDataUrl } from '../web/data-url.ts';
import { inspectPicture } from '../web/inspect-picture.ts';
import type { Endpoint, EndpointCall, ParseDeps } from './endpoint.ts';
import { imageBody, presentImages, toImageCall } from './image-parameters.ts';

/** OpenAI's limit of one request. */
export const MAX_EDITED_PICTURES = 16;
/** Of each of them (contract 3). */
export const MAX_PICTURE_BYTES = 50 * 1024 * 1024;

const fields = z.looseObject({ ...imageBody, input_fidelity: z.enum(['high', 'low']).nullish() });

/** The pictures of a request, wherever they are; `ownedBlobIds` are those that came with it. */
export type EditedPictures = { images: ImageRef[]; mask?: ImageRef | undefined; ownedBlobIds?: string[] };

const invalid = (param: string, problem: string): AppError => new AppError('invalid_request', `${param}: ${problem}.`, { param });

/** The call of an edit whose pictures are known. @throws AppError `invalid_request`, `unsupported_parameter`. */
const toEditCall = (given: Record<string, unknown>, { images, mask, ownedBlobIds }: EditedPictures, param: string): EndpointCall => {
  const parsed = parseWith(fields, given);
  if (images.length === 0) throw invalid(param, 'is required');
  if (images.length > MAX_EDITED_PICTURES) throw invalid(param, `must be at most ${MAX_EDITED_PICTURES} pictures`);
  return { ...toImageCall(parsed), input: { text: parsed.prompt, images, ...(mask && { mask }) }, ...(ownedBlobIds && { ownedBlobIds }) };
};

const NUMBERS: ReadonlySet<string> = new Set(['n', 'output_compression', 'partial_images', 'frame_count', 'frame_duration_ms']);
const FLAGS: Readonly<Record<string, boolean>> = { true: true, false: false };

/** A field of a form is text; what is to be a number or a flag is read as one, or stays text and is refused as such. */
const fromText = (name: string, text: string): unknown => {
  if (NUMBERS.has(name) && /^-?\d{1,9}(\.\d{1,9})?$/.test(text)) return Number(text);
  return name === 'stream' && Object.hasOwn(FLAGS, text) ? FLAGS[text] : text;
};

/** The call of a multipart request: its fields as texts, its pictures stored as blobs of its own. @throws AppError `invalid_request`, `unsupported_parameter`. */
export const formEditCall = (form: ReadonlyMap<string, string>, pictures: EditedPictures): EndpointCall =>
  toEditCall(Object.fromEntries([...form].map(([name, text]) => [name, fromText(name, text)])), pictures, 'image');

const reference = z.looseObject({ image_url: z.string().min(1).nullish(), file_id: z.string().min(1).nullish() });
const pictures = z.looseObject({
  images: z.array(reference).min(1, 'is required').max(MAX_EDITED_PICTURES, `must be at most ${MAX_EDITED_PICTURES} pictures`),
  mask: reference.nullish(),
});

/** A picture in a data URL is checked here, before there is a job. */
const checkInline = async (url: string, param: string): Promise<ImageRef> => {
  const { bytes } = decodeDataUrl(url, param);
  try {
    await inspectPicture(bytes);
  } catch (thrown) {
    if (thrown instanceof AppError) throw new AppError(thrown.code, `${param}: ${thrown.message}`, { param, cause: thrown });
    throw thrown;
  }
  return { kind: 'data', url };
};

const toRef = async (deps: ParseDeps, tenant: string, { image_url: url, file_id: fileId }: z.output<typeof reference>, path: string): Promise<ImageRef> => {
  if (url && fileId) throw invalid(path, 'must have one of image_url and file_id');
  if (fileId) {
    const file = await findFile(deps, tenant, fileId);
    if (!file) throw new AppError('not_found', `${path}.file_id: there is no such file.`, { param: `${path}.file_id` });
    if (file.bytes > MAX_PICTURE_BYTES) throw new AppError('payload_too_large', `${path}.file_id: the picture is too large.`, { param: `${path}.file_id` });
    return { kind: 'blob', blobId: file.blobId };
  }
  if (!url) throw invalid(path, 'must have one of image_url and file_id');
  const param = `${path}.image_url`;
  if (url.startsWith('data:')) return checkInline(url, param);
  if (!/^https?:\/\//i.test(url) || url.length > 8192 || !URL.canParse(url)) throw invalid(param, 'must be an http, https or data URL');
  return { kind: 'url', url };
};

/** The JSON form: `images` and `mask` name their pictures. */
const parse = async (deps: ParseDeps, tenant: string, { images, mask, ...given }: Record<string, unknown>): Promise<EndpointCall> => {
  const named = parseWith(pictures, { images, mask });
  const refs: ImageRef[] = [];
  for (const [at, one] of named.images.entries()) refs.push(await toRef(deps, tenant, one, `images.${at}`));
  return toEditCall(given, { images: refs, mask: named.mask ? await toRef(deps, tenant, named.mask, 'mask') : undefined }, 'images');
};

/** `POST /v1/images/edits`, in its JSON form; `formEditCall` is for forms. */
export const imageEdits: Endpoint = { name: 'images.edits', url: '/v1/images/edits', parse, present: presentImages };
