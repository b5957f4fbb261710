import type { Usage } from '../jobs/job.ts';
import type { CallState } from './call.ts';
import { type Account, badResponse, refusedInWords } from './errors.ts';
import type { CallOptions, ChatMessage, ChatPart, ChatRequest, ChatResult, PictureBytes } from './provider.ts';

/** What OpenAI and Groq both send, as far as it is read. */
export type ChatChunk = {
  model?: string;
  choices?: readonly { delta?: { content?: string | null; refusal?: string | null }; finish_reason?: string | null }[];
  usage?: ChunkUsage | null;
  /** Groq's place for usage, and for why a stream was stopped early. */
  x_groq?: { usage?: ChunkUsage | null; error?: string | null } | null;
};
type ChunkUsage = { prompt_tokens?: number; completion_tokens?: number; prompt_tokens_details?: { cached_tokens?: number | undefined } | null };

const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

const usageOf = (raw: ChunkUsage | null | undefined): Usage => {
  const cached = raw?.prompt_tokens_details?.cached_tokens;
  return {
    ...(isCount(raw?.prompt_tokens) && { inputTokens: raw.prompt_tokens }),
    ...(isCount(raw?.completion_tokens) && { outputTokens: raw.completion_tokens }),
    ...(isCount(cached) && { cachedInputTokens: cached }),
  };
};

/** Raised inside a call whose stream ended before its answer did: a cut body, whatever the transport says. */
class CutStream extends Error {
  constructor() {
    super('the stream ended before the answer did');
    this.name = 'CutStream';
  }
}

type Reading = { account: Account; state: CallState; request: ChatRequest; options: CallOptions };

/**
 * Reads a streamed answer to its end. One that stops without a finish reason is a cut body (outcome unknown), even if the
 * connection was closed in good order.
 * @throws AppError `provider_refused` (an answer of refusal alone, or filtered away), `provider_bad_response` (no event at all)
 */
export const readChatStream = async (chunks: AsyncIterable<ChatChunk>, { account, state, request, options }: Reading): Promise<ChatResult> => {
  let text = '';
  let refusal = '';
  let finishReason: string | undefined;
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
    const choice = chunk.choices?.[0];
    if (!choice) continue;
    const piece = choice.delta?.content;
    if (typeof piece === 'string' && piece !== '') {
      text += piece;
      options.onDelta?.(piece);
    }
    refusal += choice.delta?.refusal ?? '';
    finishReason = choice.finish_reason ?? finishReason;
  }
  if (count === 0 && state.complete) throw badResponse(account, 'a reply that holds no answer', state.reply?.status);
  if (finishReason === undefined) {
    state.complete = false;
    throw new CutStream();
  }
  if (text === '' && refusal !== '') throw refusedInWords(account, refusal);
  if (text === '' && finishReason === 'content_filter') throw refusedInWords(account, 'its content filter took the whole answer away.');
  return { text, finishReason, usage, model: model ?? request.model };
};

const dataUrl = ({ bytes, mediaType }: PictureBytes): string => `data:${mediaType};base64,${bytes.toString('base64')}`;

/** A message as both vendors take it; loose, because parts and fields of compatible requests are passed on as they came. */
type WireMessage = { role: ChatMessage['role']; content: string | Record<string, unknown>[] | null };

const toWirePart = (part: ChatPart): Record<string, unknown> => {
  if (part.type === 'other') return part.part;
  if (part.type === 'text') return part;
  return { type: 'image_url', image_url: { url: dataUrl(part.picture), ...(part.detail && { detail: part.detail }) } };
};

/** Our messages in the words of both vendors; pictures as data URLs. */
export const toWireMessages = (messages: ChatMessage[]): WireMessage[] =>
  messages.map(({ role, content, other }): WireMessage => ({ ...other, role, content: Array.isArray(content) ? content.map(toWirePart) : content }));
