import { z } from 'zod';
import { AppError } from '../errors.ts';
import type { ImageRef, InputMessage, MessagePart, TextOutput, Usage } from '../jobs/job.ts';
import { parseWith } from '../parse.ts';
import type { Endpoint, EndpointCall, Finished } from './endpoint.ts';
import { callMetadata } from './metadata.ts';

const imageUrl = z
  .string()
  .refine((url) => url.startsWith('data:') || (/^https?:\/\//i.test(url) && url.length <= 8192 && URL.canParse(url)), 'must be an http, https or data URL');

const part = z.union([
  z.looseObject({ type: z.literal('text'), text: z.string() }),
  z.looseObject({ type: z.literal('image_url'), image_url: z.looseObject({ url: imageUrl, detail: z.enum(['auto', 'low', 'high']).optional() }) }),
  z.looseObject({ type: z.string() }),
]);

const message = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: z.union([z.string(), z.array(part).max(1000)], { error: 'must be a string or a list of content parts' }).nullish(),
});

const body = z.looseObject({
  model: z.string().min(1).max(200),
  messages: z.array(message).min(1).max(10_000),
  metadata: callMetadata,
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
});

const toPart = (given: z.output<typeof part>): MessagePart => {
  if (given.type === 'text') return { type: 'text', text: (given as { text: string }).text };
  if (given.type !== 'image_url') return { type: 'other', part: given };
  const { url, detail } = (given as { image_url: { url: string; detail?: 'auto' | 'low' | 'high' } }).image_url;
  const image: ImageRef = url.startsWith('data:') ? { kind: 'data', url } : { kind: 'url', url };
  return { type: 'image', image, ...(detail && { detail }) };
};

const toMessage = ({ role, content, ...other }: z.output<typeof message>): InputMessage => ({
  role,
  content: Array.isArray(content) ? content.map(toPart) : (content ?? null),
  ...(Object.keys(other).length > 0 && { other }),
});

/** The text of the last user message: what a job is known by. */
export const lastUserText = (messages: InputMessage[]): string => {
  const content = messages.findLast(({ role }) => role === 'user')?.content ?? '';
  return typeof content === 'string' ? content : content.flatMap((given) => (given.type === 'text' ? [given.text] : [])).join('\n');
};

const parse = async (given: Record<string, unknown>): Promise<EndpointCall> => {
  const { model, messages, metadata, stream, stream_options, ...parameters } = parseWith(body, given);
  const { max_completion_tokens: maxTokens, ...said } = parameters;
  if (maxTokens !== undefined && maxTokens !== null) said['max_tokens'] = maxTokens;
  for (const [name, value] of Object.entries(said)) if (value === null) delete said[name];
  if (stream_options && !stream) throw new AppError('invalid_request', 'stream_options: is only for streams.', { param: 'stream_options' });
  const input = messages.map(toMessage);
  const images = input.flatMap(({ content }) => (Array.isArray(content) ? content.flatMap((one) => (one.type === 'image' ? [one.image] : [])) : []));
  return {
    type: images.length > 0 ? 'vision' : 'chat',
    model,
    input: { text: lastUserText(input), images: [], messages: input },
    parameters: said,
    echo: { ...(stream && { stream: true }), ...(stream_options?.include_usage && { include_usage: true }) },
    metadata: metadata ?? {},
  };
};

/** OpenAI's count of tokens; unknown ones are 0 there, which is why the native job is the place to ask. */
const completionUsage = ({ inputTokens = 0, outputTokens = 0, cachedInputTokens }: Usage = {}) => ({
  prompt_tokens: inputTokens,
  completion_tokens: outputTokens,
  total_tokens: inputTokens + outputTokens,
  ...(cachedInputTokens !== undefined && { prompt_tokens_details: { cached_tokens: cachedInputTokens } }),
});

const present = async (finished: Finished): Promise<Record<string, unknown>> => {
  const output = finished.output as TextOutput;
  return {
    id: `chatcmpl-${finished.id.slice(finished.id.lastIndexOf('_') + 1)}`,
    object: 'chat.completion',
    created: Math.floor(finished.createdMs / 1000),
    model: finished.servedBy?.model ?? finished.spec.model,
    choices: [{ index: 0, message: { role: 'assistant', content: output.text, refusal: null }, finish_reason: output.finishReason, logprobs: null }],
    usage: completionUsage(finished.usage),
  };
};

/** `POST /v1/chat/completions`. */
export const chatCompletions: Endpoint = {
  name: 'chat.completions',
  url: '/v1/chat/completions',
  parse: (_, _tenant, given) => parse(given),
  present: (_, finished) => present(finished),
};
