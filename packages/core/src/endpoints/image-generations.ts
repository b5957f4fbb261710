import { z } from 'zod';
import { parseWith } from '../parse.ts';
import type { Endpoint, EndpointCall } from './endpoint.ts';
import { imageBody, presentImages, toImageCall } from './image-parameters.ts';

const body = z.looseObject({ ...imageBody, style: z.enum(['vivid', 'natural']).nullish(), moderation: z.enum(['low', 'auto']).nullish() });

const parse = async (given: Record<string, unknown>): Promise<EndpointCall> => {
  const parsed = parseWith(body, given);
  return { ...toImageCall(parsed), input: { text: parsed.prompt, images: [] } };
};

/** `POST /v1/images/generations`. */
export const imageGenerations: Endpoint = {
  name: 'images.generations',
  url: '/v1/images/generations',
  parse: (_, _tenant, given) => parse(given),
  present: presentImages,
};
