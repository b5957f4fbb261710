import { z } from 'zod';
import type { QueueName } from '../config.ts';
import type { PictureTask } from '../providers/parameters.ts';
import type { JobInput, JobType } from './job.ts';

const textParameters = {
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  max_tokens: z.int().min(1).max(1_000_000).optional(),
  stop: z.union([z.string().max(500), z.array(z.string().max(500)).max(4)]).optional(),
  seed: z.int().optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
  reasoning_effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh']).optional(),
};

const imageParameters = {
  size: z.union([z.literal('auto'), z.string().regex(/^[1-9]\d{1,3}x[1-9]\d{1,3}$/, 'must be WIDTHxHEIGHT or auto')]).optional(),
  n: z.int().min(1).max(10).optional(),
  quality: z.enum(['low', 'medium', 'high', 'auto', 'standard', 'hd', 'xhigh', 'max']).optional(),
  style: z.enum(['vivid', 'natural']).optional(),
  background: z.enum(['transparent', 'opaque', 'auto']).optional(),
  output_format: z.enum(['png', 'jpeg', 'webp']).optional(),
  output_compression: z.int().min(0).max(100).optional(),
  moderation: z.enum(['low', 'auto']).optional(),
};

const visionParameters = { ...textParameters, detail: z.enum(['auto', 'low', 'high']).optional() };

/** The policy and the parameters of each job type: adding a type is one entry here, and the compiler asks for its processor. */
export const JOB_CATALOG = {
  chat: { queue: 'chat', defaultModel: 'chat-default', parameters: z.strictObject(textParameters) },
  image: { queue: 'image', defaultModel: 'image-default', parameters: z.strictObject(imageParameters) },
  vision: { queue: 'vision', defaultModel: 'vision-default', parameters: z.strictObject(visionParameters) },
  embedding: { queue: 'embedding', defaultModel: 'embedding-default', parameters: z.strictObject({ dimensions: z.int().min(1).max(100_000).optional() }) },
  ingest: { queue: 'ingest', defaultModel: 'embedding-default', parameters: z.strictObject({}) },
} as const satisfies Record<JobType, { queue: QueueName; defaultModel: string; parameters: z.ZodType }>;

/** Every parameter of every type of message: what a submission may carry before its type is known. */
export const anyParameters = z.strictObject({ ...visionParameters, ...imageParameters });

/** Splits `parameters` into those of `type` and the names of the others, which are reported on the job, never dropped in silence. */
export const parametersOf = (type: JobType, parameters: Record<string, unknown>): { known: Record<string, unknown>; other: string[] } => {
  const shape: Record<string, unknown> = JOB_CATALOG[type].parameters.shape;
  const known: Record<string, unknown> = {};
  const other: string[] = [];
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) continue;
    if (name in shape) known[name] = value;
    else other.push(name);
  }
  return { known, other };
};

/** What a job asks of its model: a picture job with pictures edits them. */
export const pictureTask = (type: JobType, { images }: Pick<JobInput, 'images'>): PictureTask => (type === 'image' && images.length > 0 ? 'edit' : 'make');
