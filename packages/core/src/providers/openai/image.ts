import type OpenAI from 'openai';
import { toProviderError } from '../errors.ts';
import { familyOf } from '../models.ts';
import { translateParameters } from '../parameters.ts';
import type { CallOptions, ImageRequest, ImageResult, PictureBytes } from '../provider.ts';
import type { OpenaiAccount } from './account.ts';
import { readImageReply } from './image-reply.ts';

type Said = { prompt: string; parameters: Record<string, unknown>; n: number };

/** The request in the words of its model. */
const say = ({ model, prompt, parameters, pictures }: ImageRequest): Said => {
  const family = familyOf('openai', model, 'any-image');
  const { promptSuffix, ...said } = translateParameters(family, model, parameters, pictures.length > 0 ? 'edit' : 'make');
  // Only the old models know the choice; the others answer base64 always.
  if (family === 'dall-e-3' || family === 'dall-e-2') said['response_format'] = 'b64_json';
  return {
    prompt: typeof promptSuffix === 'string' ? `${prompt}\n\n${promptSuffix}` : prompt,
    parameters: said,
    n: typeof said['n'] === 'number' ? said['n'] : 1,
  };
};

// The bytes are not copied once more on their way into the form: there may be 100 MB of them, and no Buffer here lies in shared memory.
const toUpload = ({ bytes, mediaType }: PictureBytes, name: string): File =>
  new File([bytes as Buffer<ArrayBuffer>], `${name}.${mediaType.split('/')[1] ?? 'png'}`, { type: mediaType });

const post = (client: OpenAI, { model, pictures, mask }: ImageRequest, { prompt, parameters }: Said): Promise<unknown> => {
  if (pictures.length === 0) return client.images.generate({ ...parameters, model, prompt });
  const uploads = pictures.map((picture, at) => toUpload(picture, `picture-${at + 1}`));
  const [first] = uploads;
  const image = uploads.length === 1 && first ? first : uploads;
  return client.images.edit({ ...parameters, model, prompt, image, ...(mask && { mask: toUpload(mask, 'mask') }) });
};

/** One `POST /images/generations`, or `/images/edits` when pictures are given. See `Provider.image` for what it throws. */
export const openaiImage = async (account: OpenaiAccount, request: ImageRequest, options: CallOptions): Promise<ImageResult> => {
  const said = say(request);
  const { client, state } = account.begin(account.limits.image(said.n), options);
  try {
    const reply = await post(client, request, said);
    return { ...(await readImageReply({ account, n: said.n, signal: options.signal }, reply)), model: request.model };
  } catch (thrown) {
    throw toProviderError(thrown, state, account);
  }
};
