import { z } from 'zod';
import { signedBlobUrl } from '../blobs/signed-url.ts';
import type { ImageOutput, StoredImage } from '../jobs/job.ts';
import { parseWith } from '../parse.ts';
import type { Endpoint, EndpointCall, Finished, PresentDeps } from './endpoint.ts';

const body = z.looseObject({
  model: z.string().min(1).max(200).default('image-default'),
  prompt: z.string().min(1).max(32_000),
  response_format: z.enum(['url', 'b64_json']).nullish(),
});

/** Contract 5: gpt-image models answer base64, DALL·E and our alias answer links, unless the request says otherwise. */
const defaultFormat = (model: string): 'url' | 'b64_json' => (/^(chat)?gpt-image-/.test(model) ? 'b64_json' : 'url');

const parse = async (given: Record<string, unknown>): Promise<EndpointCall> => {
  const { model, prompt, response_format, user: _user, ...parameters } = parseWith(body, given);
  for (const [name, value] of Object.entries(parameters)) if (value === null) delete parameters[name];
  return {
    type: 'image',
    model,
    input: { text: prompt, images: [] },
    parameters,
    echo: { response_format: response_format ?? defaultFormat(model) },
    metadata: {},
  };
};

const presentImage = async (deps: PresentDeps, image: StoredImage, format: unknown): Promise<Record<string, unknown>> => ({
  ...(format === 'url'
    ? { url: signedBlobUrl(deps.config, image.blobId, image.expiresMs) }
    : { b64_json: (await deps.blobs.read(image.blobId)).toString('base64') }),
  ...(image.revisedPrompt !== undefined && { revised_prompt: image.revisedPrompt }),
});

const present = async (deps: PresentDeps, finished: Finished): Promise<Record<string, unknown>> => {
  const { images } = finished.output as ImageOutput;
  const { inputTokens, outputTokens, imageInputTokens = 0 } = finished.usage ?? {};
  return {
    created: Math.floor(finished.createdMs / 1000),
    data: await Promise.all(images.map((image) => presentImage(deps, image, finished.spec.echo?.['response_format']))),
    ...(inputTokens !== undefined &&
      outputTokens !== undefined && {
        usage: {
          input_tokens: inputTokens,
          input_tokens_details: { text_tokens: inputTokens - imageInputTokens, image_tokens: imageInputTokens },
          output_tokens: outputTokens,
          total_tokens: inputTokens + outputTokens,
        },
      }),
  };
};

/** `POST /v1/images/generations`. */
export const imageGenerations: Endpoint = {
  name: 'images.generations',
  url: '/v1/images/generations',
  parse: (_, _tenant, given) => parse(given),
  present,
};
