import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { AppError } from '../../errors.ts';
import type { Usage } from '../../jobs/job.ts';
import { badResponse, refusedInWords } from '../errors.ts';
import type { ImageResult, MadePicture } from '../provider.ts';
import type { OpenaiAccount } from './account.ts';

const count = z.int().min(0).optional().catch(undefined);
const words = z.string().optional().catch(undefined);

// Loose, because compatible servers differ; what is not understood is left out.
const imageSchema = z.object({ b64_json: words, url: words, revised_prompt: words, refusal: words, text: words, content: words }).catch({});
const replySchema = z.object({
  data: z.array(imageSchema).optional().catch(undefined),
  usage: z
    .object({
      input_tokens: count,
      output_tokens: count,
      input_tokens_details: z.object({ image_tokens: count }).optional().catch(undefined),
      output_tokens_details: z.object({ image_tokens: count }).optional().catch(undefined),
    })
    .optional()
    .catch(undefined),
  background: words,
  quality: words,
  error: z.unknown().optional(),
  refusal: words,
  text: words,
  content: words,
});
type Reply = z.output<typeof replySchema>;
type Image = z.output<typeof imageSchema>;

/** A picture that is paid for is worth asking for again. */
const DOWNLOAD_ROUNDS = 3;
const DOWNLOAD_WAIT_MS = 300;

export type ImageCall = { account: OpenaiAccount; n: number; signal: AbortSignal };

const fetchLink = async ({ account, n, signal }: ImageCall, url: string): Promise<Buffer> => {
  const { fetch } = account.upstream.begin(account.limits.image(n), { signal });
  const reply = await fetch(url);
  if (!reply.ok) throw badResponse(account, `a picture link that answers ${reply.status}`);
  return Buffer.from(await reply.arrayBuffer());
};

/** A compatible server may answer with a link: it is fetched through the operator's upstream, under the same limits. */
const download = async (call: ImageCall, url: string): Promise<Buffer> => {
  const inline = /^data:[^,]*;base64,(.+)$/s.exec(url)?.[1];
  if (inline !== undefined) return Buffer.from(inline, 'base64');
  if (!/^https?:\/\//.test(url)) throw badResponse(call.account, 'a picture link of an unknown kind');
  for (let round = 1; ; round++) {
    try {
      return await fetchLink(call, url);
    } catch (thrown) {
      if (call.signal.aborted)
        throw new AppError('cancelled', 'The call was stopped while its picture was fetched.', { provider: { outcome: 'known' }, cause: thrown });
      if (round === DOWNLOAD_ROUNDS) throw thrown instanceof AppError ? thrown : badResponse(call.account, 'a picture link that cannot be read');
    }
    await sleep(DOWNLOAD_WAIT_MS * round);
  }
};

const pictureOf = async (call: ImageCall, { b64_json: inline, url, revised_prompt: revisedPrompt }: Image): Promise<MadePicture> => {
  const bytes = inline ? Buffer.from(inline, 'base64') : await download(call, url ?? '');
  if (bytes.length === 0) throw badResponse(call.account, 'an empty picture');
  return { bytes, ...(revisedPrompt !== undefined && { revisedPrompt }) };
};

/** What a complete 200 without a picture means: an error in its own words, a refusal, or nothing that can be understood. */
const withoutPicture = ({ account }: ImageCall, reply: Reply): Error => {
  if (reply.error) return Object.assign(new Error('an error in a reply of status 200'), { error: reply.error });
  const said = [reply, ...(reply.data ?? [])]
    .map(({ refusal, text, content }) => refusal ?? text ?? content)
    .find((one) => one !== undefined && one.trim() !== '');
  if (said !== undefined) return refusedInWords(account, said);
  // Some filters answer with an empty list and no word; asking again would only be filtered, and billed, again.
  if (reply.data?.length === 0) return refusedInWords(account, 'it answered without a picture and without a reason.');
  return badResponse(account, 'a reply that holds no picture');
};

// Without a split of the output all of it is picture.
const usageOf = (raw: Reply['usage'], images: number): Usage => {
  const imageTokens = raw?.input_tokens_details?.image_tokens;
  const imageOutputTokens = raw?.output_tokens_details?.image_tokens;
  return {
    images,
    ...(raw?.input_tokens !== undefined && { inputTokens: raw.input_tokens }),
    ...(raw?.output_tokens !== undefined && { outputTokens: raw.output_tokens }),
    ...(imageTokens !== undefined && { imageInputTokens: imageTokens }),
    ...(imageOutputTokens !== undefined && { imageOutputTokens }),
  };
};

/**
 * The pictures of a complete reply.
 * @throws AppError `provider_refused` (words, or an empty list, instead of pictures), `provider_bad_response`; an Error with the
 * provider's `error` object for `toProviderError`
 */
export const readImageReply = async (call: ImageCall, raw: unknown): Promise<Omit<ImageResult, 'model'>> => {
  const parsed = replySchema.safeParse(raw);
  if (!parsed.success) throw badResponse(call.account, 'a reply that is not what its interface promises');
  const made = (parsed.data.data ?? []).filter(({ b64_json: inline, url }) => inline || url);
  if (made.length === 0) throw withoutPicture(call, parsed.data);
  const images = await Promise.all(made.map((image) => pictureOf(call, image)));
  const { background, quality, usage } = parsed.data;
  return { images, usage: usageOf(usage, images.length), ...(background !== undefined && { background }), ...(quality !== undefined && { quality }) };
};
