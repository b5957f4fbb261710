import type OpenAI from 'openai';
import { AppError } from '../../errors.ts';
import type { Usage } from '../../jobs/job.ts';
import type { CallState } from '../call.ts';
import { badResponse, refusedInWords, toProviderError } from '../errors.ts';
import { familyOf } from '../models.ts';
import { type ParameterFamily, translateParameters } from '../parameters.ts';
import type { CallOptions, ImageRequest, ImageResult, MadePicture, PictureBytes } from '../provider.ts';
import type { OpenaiAccount } from './account.ts';

const DALL_E: readonly ParameterFamily[] = ['dall-e-3', 'dall-e-2'];

type Said = { family: ParameterFamily; prompt: string; parameters: Record<string, unknown>; n: number };

const say = ({ model, prompt, parameters, pictures }: ImageRequest): Said => {
  const family = familyOf('openai', model, 'any-image');
  if (family === 'dall-e-3' && pictures.length > 0) {
    throw new AppError('unsupported_parameter', 'dall-e-3 cannot edit pictures; image-default can.', { param: 'input.images' });
  }
  const { promptSuffix, ...said } = translateParameters(family, model, parameters);
  // Edits have no moderation level; `auto` is what they do.
  if (pictures.length > 0 && said['moderation'] !== undefined) {
    if (said['moderation'] !== 'auto')
      throw new AppError('unsupported_parameter', 'Edits of pictures have no moderation level.', { param: 'parameters.moderation' });
    delete said['moderation'];
  }
  // Only the old models know the choice; the others answer base64 always.
  if (DALL_E.includes(family)) said['response_format'] = 'b64_json';
  return {
    family,
    prompt: typeof promptSuffix === 'string' ? `${prompt}\n\n${promptSuffix}` : prompt,
    parameters: said,
    n: typeof said['n'] === 'number' ? said['n'] : 1,
  };
};

const toUpload = ({ bytes, mediaType }: PictureBytes, at: number): File =>
  new File([new Uint8Array(bytes)], `picture-${at + 1}.${mediaType.split('/')[1] ?? 'png'}`, { type: mediaType });

const post = (client: OpenAI, request: ImageRequest, { prompt, parameters }: Said): Promise<OpenAI.ImagesResponse> => {
  const { model, pictures } = request;
  if (pictures.length === 0) return client.images.generate({ ...parameters, model, prompt, stream: false });
  const uploads = pictures.map(toUpload);
  const [first] = uploads;
  return client.images.edit({ ...parameters, model, prompt, image: uploads.length === 1 && first ? first : uploads });
};

const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

// The images endpoints give no split of their output: all of it is picture.
const usageOf = (raw: OpenAI.ImagesResponse['usage'], images: number): Usage => ({
  images,
  ...(isCount(raw?.input_tokens) && { inputTokens: raw.input_tokens }),
  ...(isCount(raw?.output_tokens) && { outputTokens: raw.output_tokens }),
  ...(isCount(raw?.input_tokens_details?.image_tokens) && { imageInputTokens: raw.input_tokens_details.image_tokens }),
});

/** A compatible server may answer with a link: it is fetched through the operator's upstream, under the same limits. */
const download = async (account: OpenaiAccount, url: string, n: number, signal: AbortSignal): Promise<Buffer> => {
  const inline = /^data:[^,]*;base64,(.+)$/s.exec(url)?.[1];
  if (inline !== undefined) return Buffer.from(inline, 'base64');
  if (!/^https?:\/\//.test(url)) throw badResponse(account, 'a picture link of an unknown kind');
  const { fetch } = account.upstream.begin(account.limits.image(n), signal);
  const reply = await fetch(url);
  if (!reply.ok) throw badResponse(account, `a picture link that answers ${reply.status}`);
  return Buffer.from(await reply.arrayBuffer());
};

const pictureOf = async (account: OpenaiAccount, image: OpenAI.Image, n: number, signal: AbortSignal): Promise<MadePicture> => {
  let bytes: Buffer;
  if (typeof image.b64_json === 'string') bytes = Buffer.from(image.b64_json, 'base64');
  else if (typeof image.url === 'string') bytes = await download(account, image.url, n, signal);
  else throw badResponse(account, 'a picture without bytes');
  if (bytes.length === 0) throw badResponse(account, 'an empty picture');
  return { bytes, ...(typeof image.revised_prompt === 'string' && { revisedPrompt: image.revised_prompt }) };
};

/** What a 200 without a picture says instead, if anything. */
const wordsInstead = (reply: unknown): string | undefined => {
  if (typeof reply === 'string') return undefined;
  if (typeof reply !== 'object' || reply === null) return undefined;
  const data: unknown = Reflect.get(reply, 'data');
  const entries = Array.isArray(data) ? data : [];
  for (const from of [reply, ...entries]) {
    for (const name of ['refusal', 'text', 'message', 'content', 'error']) {
      const value: unknown = typeof from === 'object' && from !== null ? Reflect.get(from, name) : undefined;
      if (typeof value === 'string' && value.trim() !== '') return value;
    }
  }
  return undefined;
};

const hasPicture = ({ b64_json, url }: OpenAI.Image): boolean => Boolean(b64_json) || Boolean(url);

const read = async (account: OpenaiAccount, reply: OpenAI.ImagesResponse, n: number, signal: AbortSignal): Promise<MadePicture[]> => {
  const data: unknown = typeof reply === 'object' && reply !== null ? reply.data : undefined;
  const images = Array.isArray(data) ? (data as OpenAI.Image[]).filter((image) => typeof image === 'object' && image !== null && hasPicture(image)) : [];
  if (images.length === 0) {
    const words = wordsInstead(reply);
    if (words !== undefined) throw refusedInWords(account, words);
    throw badResponse(account, 'a reply that holds no picture');
  }
  return Promise.all(images.map((image) => pictureOf(account, image, n, signal)));
};

/** One `POST /images/generations`, or `/images/edits` when pictures are given. See `Provider.image` for what it throws. */
export const openaiImage = async (account: OpenaiAccount, request: ImageRequest, options: CallOptions): Promise<ImageResult> => {
  const said = say(request);
  const { client, state } = account.begin(account.limits.image(said.n), options.signal);
  const reply = await post(client, request, said).catch((thrown: unknown) => fail(thrown, state, account));
  try {
    const images = await read(account, reply, said.n, options.signal);
    return { images, usage: usageOf(reply.usage, images.length), model: request.model };
  } catch (thrown) {
    return fail(thrown, state, account);
  }
};

const fail = (thrown: unknown, state: CallState, account: OpenaiAccount): never => {
  throw toProviderError(thrown, state, account);
};
