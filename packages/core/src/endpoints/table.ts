import type { EndpointName } from '../jobs/job.ts';
import { chatCompletions } from './chat-completions.ts';
import { embeddings } from './embeddings.ts';
import type { Endpoint } from './endpoint.ts';
import { imageGenerations } from './image-generations.ts';
import { responses } from './responses.ts';

/** The endpoints whose requests a batch can hold (contract 5); edits need bytes beside their fields and have a route alone. */
export const ENDPOINTS = {
  'chat.completions': chatCompletions,
  'images.generations': imageGenerations,
  embeddings,
  responses,
} as const satisfies Partial<Record<EndpointName, Endpoint>>;

export type BatchEndpointName = keyof typeof ENDPOINTS;
