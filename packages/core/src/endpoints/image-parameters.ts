import { z } from 'zod';
import { signedBlobUrl } from '../blobs/signed-url.ts';
import { AppError } from '../errors.ts';
import type { ImageOutput, StoredImage, Usage } from '../jobs/job.ts';
import { readParameters } from '../jobs/long-texts.ts';
import type { EndpointCall, Finished, PresentDeps } from './endpoint.ts';
import { withoutNulls } from './without-nulls.ts';

/**
 * What the bodies of both picture endpoints have in common, value by value; whether the model can do it is for `checkCall`. Fields that
 * are not here go to servers of the operator's own, and catalogue models refuse them.
 */
export const imageBody = {
  model: z.string().min(1).max(200).nullish(),
  prompt: z.string({ error: 'must be a string' }).min(1, 'must not be empty').max(32_000, 'must have at most 32000 characters'),
  n: z.int().min(1).max(10).nullish(),
  size: z.union([z.literal('auto'), z.string().regex(/^[1-9]\d{1,4}x[1-9]\d{1,4}$/)], { error: 'must be WIDTHxHEIGHT or auto' }).nullish(),
  quality: z.enum(['low', 'medium', 'high', 'xhigh', 'max', 'auto', 'standard', 'hd']).nullish(),
  background: z.enum(['transparent', 'opaque', 'auto']).nullish(),
  output_format: z.enum(['png', 'jpeg', 'webp', 'gif', 'svg']).nullish(),
  output_compression: z.int().min(0).max(100).nullish(),
  complexity: z.enum(['low', 'medium', 'high']).nullish(),
  frame_count: z.int().min(2).max(16).nullish(),
  frame_duration_ms: z.int().min(0).nullish(),
  partial_images: z.int().min(0).max(3).nullish(),
  response_format: z.enum(['url', 'b64_json']).nullish(),
  stream: z.boolean().nullish(),
  user: z.string().nullish(),
  safety_identifier: z.string().nullish(),
};

type Body = z.output<z.ZodObject<typeof imageBody, z.core.$loose>>;

/** Contract 5: gpt-image models answer base64, DALL·E and our alias answer links, unless the request says otherwise. */
const defaultFormat = (model: string): 'url' | 'b64_json' => (/^(chat)?gpt-image-/.test(model) ? 'b64_json' : 'url');

/**
 * The parts of a call that both endpoints make alike.
 * @throws AppError `unsupported_parameter`: pictures are not streamed here yet, and drawings in SVG, which may hold scripts, are not kept.
 */
export const toImageCall = (given: Body): Omit<EndpointCall, 'input'> => {
  const { model: named, prompt: _prompt, response_format, stream, partial_images, ...parameters } = given;
  if (stream) throw new AppError('unsupported_parameter', 'stream is not supported for pictures yet.', { param: 'stream' });
  if (partial_images) throw new AppError('unsupported_parameter', 'partial_images is for streams, which pictures have not yet.', { param: 'partial_images' });
  if (parameters.output_format === 'svg') throw new AppError('unsupported_parameter', 'output_format = svg is not supported.', { param: 'output_format' });
  const model = named ?? 'image-default';
  return { type: 'image', model, parameters: withoutNulls(parameters), echo: { response_format: response_format ?? defaultFormat(model) }, metadata: {} };
};

const presentImage = async (deps: PresentDeps, image: StoredImage, format: unknown): Promise<Record<string, unknown>> => ({
  ...(format === 'url'
    ? { url: signedBlobUrl(deps.config, image.blobId, image.expiresMs) }
    : { b64_json: (await deps.blobs.read(image.blobId)).toString('base64') }),
  ...(image.revisedPrompt !== undefined && { revised_prompt: image.revisedPrompt }),
});

const presentUsage = ({ inputTokens, outputTokens, imageInputTokens = 0, imageOutputTokens }: Usage) =>
  inputTokens !== undefined &&
  outputTokens !== undefined && {
    usage: {
      input_tokens: inputTokens,
      input_tokens_details: { text_tokens: inputTokens - imageInputTokens, image_tokens: imageInputTokens },
      output_tokens: outputTokens,
      ...(imageOutputTokens !== undefined && { output_tokens_details: { image_tokens: imageOutputTokens, text_tokens: outputTokens - imageOutputTokens } }),
      total_tokens: inputTokens + outputTokens,
    },
  };

/** A value that was asked for, unless it leaves the choice to the model. */
const chosen = (value: unknown): string | undefined => (typeof value === 'string' && value !== 'auto' ? value : undefined);

/** What GPT image models tell of the pictures they made, as far as it is known: what they said, what the stored bytes are, what was asked for. */
const presentFacts = async (deps: PresentDeps, { output, spec }: Finished): Promise<Record<string, unknown>> => {
  const { images, background, quality } = output as ImageOutput;
  const [first] = images;
  const parameters = await readParameters(deps, spec);
  const facts = {
    background: background ?? chosen(parameters['background']),
    output_format: first?.mediaType.replace('image/', ''),
    quality: quality ?? chosen(parameters['quality']),
    size: first && `${first.width}x${first.height}`,
    safety_identifier: parameters['safety_identifier'] || parameters['user'] || undefined,
  };
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
};

/** The reply of both picture endpoints. @throws AppError `storage_error`, `not_found` when the bytes are gone. */
export const presentImages = async (deps: PresentDeps, finished: Finished): Promise<Record<string, unknown>> => {
  const { images } = finished.output as ImageOutput;
  const isDalle = (finished.servedBy?.model ?? finished.spec.model).startsWith('dall-e-');
  const data: Record<string, unknown>[] = [];
  // One after another: ten pictures at once would be ten pictures in memory twice.
  for (const image of images) data.push(await presentImage(deps, image, finished.spec.echo?.['response_format']));
  return {
    created: Math.floor((finished.finishedMs ?? finished.createdMs) / 1000),
    data,
    ...(!isDalle && (await presentFacts(deps, finished))),
    ...presentUsage(finished.usage ?? {}),
  };
};
