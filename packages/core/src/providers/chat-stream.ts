import type { Logprobs, Usage } from '../jobs/job.ts';
import type { CallState } from './call.ts';
import { createAnswers } from './chat-answer.ts';
import { type Account, badResponse, refusedInWords } from './errors.ts';
import type { CallOptions, ChatMessage, ChatPart, ChatRequest, ChatResult, ChoiceDelta, PictureBytes } from './provider.ts';

/** What OpenAI and Groq both send, as far as it is read. Of a choice and its delta nothing is taken for granted. */
export type ChatChunk = {
  model?: string;
  choices?: readonly { index?: number; delta?: object | null; logprobs?: object | null; finish_reason?: string | null }[];
  usage?: ChunkUsage | null;
  /** Groq's place for usage, and for why a stream was stopped early. */
  x_groq?: { usage?: ChunkUsage | null; error?: string | null } | null;
};
type ChunkUsage = {
  prompt_tokens?: number;
  completion_tokens?: number;
  prompt_tokens_details?: { cached_tokens?: number | undefined } | null;
  completion_tokens_details?: {
    reasoning_tokens?: number | undefined;
    accepted_prediction_tokens?: number | undefined;
    rejected_prediction_tokens?: number | undefined;
  } | null;
};

/** A number of tokens. */
export const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

const usageOf = (raw: ChunkUsage): Usage => {
  const counts: Partial<Record<keyof Usage, unknown>> = {
    inputTokens: raw.prompt_tokens,
    outputTokens: raw.completion_tokens,
    cachedInputTokens: raw.prompt_tokens_details?.cached_tokens,
    reasoningTokens: raw.completion_tokens_details?.reasoning_tokens,
    acceptedPredictionTokens: raw.completion_tokens_details?.accepted_prediction_tokens,
    rejectedPredictionTokens: raw.completion_tokens_details?.rejected_prediction_tokens,
  };
  return Object.fromEntries(Object.entries(counts).filter((entry): entry is [string, number] => isCount(entry[1])));
};

/** Said of a reply as a whole, in any of its events; shown to compatible clients as it came. */
const ENVELOPE = ['system_fingerprint', 'service_tier', 'moderation'] as const;

/** Raised inside a call whose stream ended before its answer did: a cut body, whatever the transport says. */
export class CutStream extends Error {
  constructor() {
    super('the stream ended before the answer did');
    this.name = 'CutStream';
  }
}

/** One streamed reply: whose it is, what is known of its call, what was asked and who listens. */
export type Reading = { account: Account; state: CallState; request: ChatRequest; options: CallOptions };

const fieldsOf = (value: unknown): Record<string, unknown> => (typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {});

/** Nulls say nothing, and the role is that of every answer. */
const pieceOf = ({ index = 0, delta, logprobs }: NonNullable<ChatChunk['choices']>[number]): ChoiceDelta => {
  const said = Object.entries(fieldsOf(delta)).filter(([name, value]) => value !== null && value !== undefined && name !== 'role');
  return { index, delta: Object.fromEntries(said), ...(logprobs && { logprobs: logprobs as Logprobs }) };
};

/** Whether a piece adds anything: the first one often brings an empty text, the last one nothing at all. */
const isFilled = ({ delta, logprobs }: ChoiceDelta): boolean => logprobs !== undefined || Object.values(delta).some((value) => value !== '');

/** @throws AppError `provider_refused` when an answer is a refusal alone, or was filtered away whole. */
export const refuseIfRefused = (account: Account, { text, finishReason, choices }: Pick<ChatResult, 'text' | 'finishReason' | 'choices'>): void => {
  const { refusal, tool_calls: calls } = choices?.[0]?.message ?? {};
  if (text !== '' || calls) return;
  if (refusal) throw refusedInWords(account, refusal);
  if (finishReason === 'content_filter') throw refusedInWords(account, 'its content filter took the whole answer away.');
};

/**
 * Reads a streamed reply to its end: every answer with all that was added to it. One that stops without a finish reason is a cut body
 * (outcome unknown), even if the connection was closed in good order.
 * @throws AppError `provider_refused` (an answer of refusal alone, or filtered away, unless these are kept), `provider_bad_response` (no event at all)
 */
export const readChatStream = async (chunks: AsyncIterable<ChatChunk>, { account, state, request, options }: Reading): Promise<ChatResult> => {
  const answers = createAnswers();
  const envelope: Record<string, unknown> = {};
  let usage: Usage = {};
  let model: string | undefined;
  let count = 0;
  for await (const chunk of chunks) {
    count += 1;
    if (typeof chunk !== 'object' || chunk === null) throw badResponse(account, 'an event that is no object');
    if (chunk.x_groq?.error) throw Object.assign(new Error('the stream was stopped early'), { error: chunk.x_groq.error });
    if (chunk.model) model = chunk.model;
    const reported = chunk.usage ?? chunk.x_groq?.usage;
    if (reported) usage = usageOf(reported);
    for (const name of ENVELOPE) envelope[name] = fieldsOf(chunk)[name] ?? envelope[name];
    for (const choice of chunk.choices ?? []) {
      const piece = answers.add(pieceOf(choice), choice.finish_reason);
      if (isFilled(piece)) options.onDelta?.(piece);
    }
  }
  if (count === 0 && state.complete) throw badResponse(account, 'a reply that holds no answer', state.reply?.status);
  if (!answers.isWhole()) {
    state.complete = false;
    throw new CutStream();
  }
  const result = answers.result();
  if (!request.keepRefusals) refuseIfRefused(account, result);
  const said = Object.entries(envelope).filter(([, value]) => value !== undefined);
  return { ...result, ...(said.length > 0 && { envelope: Object.fromEntries(said) }), usage, model: model ?? request.model };
};

const dataUrl = ({ bytes, mediaType }: PictureBytes): string => `data:${mediaType};base64,${bytes.toString('base64')}`;

/** A message as both vendors take it; loose, because parts and fields of compatible requests are passed on as they came. */
type WireMessage = { role: ChatMessage['role']; content: string | Record<string, unknown>[] | null };

const toWirePart = (part: ChatPart): Record<string, unknown> => {
  if (part.type === 'other') return part.part;
  if (part.type === 'text') return part;
  return { type: 'image_url', image_url: { url: dataUrl(part.picture), ...(part.detail && { detail: part.detail }) } };
};

/** Our messages in the words of both vendors; pictures as data URLs. `developer` is said as the word the vendor has for it. */
export const toWireMessages = (messages: ChatMessage[], developer: 'developer' | 'system' = 'developer'): WireMessage[] =>
  messages.map(
    ({ role, content, other }): WireMessage => ({
      ...other,
      role: role === 'developer' ? developer : role,
      content: Array.isArray(content) ? content.map(toWirePart) : content,
    }),
  );
