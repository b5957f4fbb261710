import { AppError } from '../errors.ts';
import type { AnswerChoice, ImageRef, InputMessage, MessagePart, TextOutput, Usage } from '../jobs/job.ts';
import { parseWith } from '../parse.ts';
import { type ChatBodyMessage, type ChatBodyPart, chatBody } from './chat-body.ts';
import type { Endpoint, EndpointCall, Finished } from './endpoint.ts';

const toPart = (given: ChatBodyPart): MessagePart => {
  if (given.type === 'text') return { type: 'text', text: String(given['text']) };
  if (given.type !== 'image_url') return { type: 'other', part: given };
  const { url, detail } = given['image_url'] as { url: string; detail?: 'auto' | 'low' | 'high' };
  const image: ImageRef = url.startsWith('data:') ? { kind: 'data', url } : { kind: 'url', url };
  return { type: 'image', image, ...(detail && { detail }) };
};

const toMessage = ({ role, content, ...other }: ChatBodyMessage): InputMessage => ({
  role,
  content: Array.isArray(content) ? content.map(toPart) : (content ?? null),
  ...(Object.keys(other).length > 0 && { other }),
});

/** The text of the last user message: what a job is known by. */
export const lastUserText = (messages: InputMessage[]): string => {
  const content = messages.findLast(({ role }) => role === 'user')?.content ?? '';
  return typeof content === 'string' ? content : content.flatMap((given) => (given.type === 'text' ? [given.text] : [])).join('\n');
};

/** What the model is told: null is as good as nothing; the two names of the limit of an answer are one parameter. */
const toParameters = ({ max_completion_tokens: limit, ...said }: Record<string, unknown>): Record<string, unknown> => {
  if (limit !== undefined && limit !== null) {
    if (said['max_tokens'] !== undefined && said['max_tokens'] !== null) {
      throw new AppError('invalid_request', 'max_tokens: cannot be set together with max_completion_tokens.', { param: 'max_tokens' });
    }
    said['max_tokens'] = limit;
  }
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== null && value !== undefined));
};

const parse = async (given: Record<string, unknown>): Promise<EndpointCall> => {
  const { model, messages, metadata, stream, stream_options, ...said } = parseWith(chatBody, given);
  if (stream_options && !stream) throw new AppError('invalid_request', 'stream_options: is only for streams.', { param: 'stream_options' });
  const input = messages.map(toMessage);
  const images = input.flatMap(({ content }) => (Array.isArray(content) ? content.flatMap((one) => (one.type === 'image' ? [one.image] : [])) : []));
  const parameters = toParameters(said);
  // Stored completions are found by it at the provider, too.
  if (parameters['store'] === true && metadata) parameters['metadata'] = metadata;
  return {
    type: images.length > 0 ? 'vision' : 'chat',
    model,
    input: { text: lastUserText(input), images: [], messages: input },
    parameters,
    echo: { ...(stream && { stream: true }), ...(stream_options?.include_usage && { include_usage: true }) },
    metadata: metadata ?? {},
  };
};

/** OpenAI's count of tokens; unknown ones are 0 there, which is why the native job is the place to ask. */
export const completionUsage = (usage: Usage = {}): Record<string, unknown> => {
  const { inputTokens = 0, outputTokens = 0, cachedInputTokens, reasoningTokens, acceptedPredictionTokens, rejectedPredictionTokens } = usage;
  const details = {
    ...(reasoningTokens !== undefined && { reasoning_tokens: reasoningTokens }),
    ...(acceptedPredictionTokens !== undefined && { accepted_prediction_tokens: acceptedPredictionTokens }),
    ...(rejectedPredictionTokens !== undefined && { rejected_prediction_tokens: rejectedPredictionTokens }),
  };
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    ...(cachedInputTokens !== undefined && { prompt_tokens_details: { cached_tokens: cachedInputTokens } }),
    ...(Object.keys(details).length > 0 && { completion_tokens_details: details }),
  };
};

/** Every answer of an output; most have one, of text alone. */
export const choicesOf = ({ text, finishReason, choices }: TextOutput): AnswerChoice[] => choices ?? [{ message: { content: text }, finishReason }];

const presentChoice = ({ message, finishReason, logprobs }: AnswerChoice, index: number): Record<string, unknown> => {
  const { content = null, refusal = null, ...other } = message;
  return {
    index,
    message: { role: 'assistant', content, refusal, ...other },
    finish_reason: finishReason,
    logprobs: logprobs ? { content: null, refusal: null, ...logprobs } : null,
  };
};

/** `job_X` and `chatcmpl-X` share their random part. */
export const completionId = (jobId: string): string => `chatcmpl-${jobId.slice(jobId.lastIndexOf('_') + 1)}`;

const present = async (finished: Finished): Promise<Record<string, unknown>> => {
  const output = finished.output as TextOutput;
  return {
    id: completionId(finished.id),
    object: 'chat.completion',
    created: Math.floor(finished.createdMs / 1000),
    model: finished.servedBy?.model ?? finished.spec.model,
    choices: choicesOf(output).map(presentChoice),
    usage: completionUsage(finished.usage),
    ...output.envelope,
  };
};

/** `POST /v1/chat/completions`. */
export const chatCompletions: Endpoint = {
  name: 'chat.completions',
  url: '/v1/chat/completions',
  parse: (_, _tenant, given) => parse(given),
  present: (_, finished) => present(finished),
};
