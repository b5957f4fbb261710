import type { Usage } from '../../jobs/job.ts';
import { createAnswers } from '../chat-answer.ts';
import { CutStream, isCount, type Reading, refuseIfRefused } from '../chat-stream.ts';
import { badResponse } from '../errors.ts';
import type { AnswerDelta, ChatResult } from '../provider.ts';

type ClaudeUsage = {
  input_tokens?: number | null;
  output_tokens?: number | null;
  cache_read_input_tokens?: number | null;
  cache_creation_input_tokens?: number | null;
  output_tokens_details?: { thinking_tokens?: number | null } | null;
};
type Block = { type?: string; id?: string; name?: string; text?: string; thinking?: string; signature?: string; data?: string; input?: unknown };
type BlockDelta = { type?: string; text?: string; partial_json?: string; thinking?: string; signature?: string };
type MessageDelta = { stop_reason?: string | null; stop_details?: { explanation?: string | null } | null };

/** The events of `POST /v1/messages`, as far as they are read. Nothing is taken for granted. */
type ClaudeEvent = {
  type?: string;
  index?: number;
  message?: { model?: string; usage?: ClaudeUsage | null } | null;
  content_block?: Block | null;
  delta?: object | null;
  usage?: ClaudeUsage | null;
};

/** OpenAI's words for why an answer ended. A turn that Claude paused is one that is not whole: it, too, can be gone on with. */
const FINISH: Readonly<Record<string, string>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  tool_use: 'tool_calls',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  pause_turn: 'length',
  refusal: 'content_filter',
};

/** Claude counts what it read from its cache and wrote there apart; here they are parts of the input, as at OpenAI. */
const usageOf = (seen: ClaudeUsage): Usage => {
  const { input_tokens: input, output_tokens: output, cache_read_input_tokens: read, cache_creation_input_tokens: written } = seen;
  const thought = seen.output_tokens_details?.thinking_tokens;
  const part = (count: unknown): number => (isCount(count) ? count : 0);
  return {
    ...(isCount(input) && { inputTokens: input + part(read) + part(written) }),
    ...(isCount(output) && { outputTokens: output }),
    ...(isCount(read) && { cachedInputTokens: read }),
    ...(part(written) > 0 && { cacheWriteInputTokens: part(written) }),
    ...(isCount(thought) && { reasoningTokens: thought }),
  };
};

/** What is told later overrides what was told first, but for what is not told again. */
const mergeUsage = (into: ClaudeUsage, said: ClaudeUsage | null | undefined): void => {
  for (const [name, value] of Object.entries(said ?? {})) if (value !== null && value !== undefined) Object.assign(into, { [name]: value });
};

/** A block that has begun: what came of it. `call` is its number among the calls of tools. */
type OpenBlock = { block: Block; call?: number; arguments: string };

/** Turns blocks into pieces of OpenAI's one message. */
const createBlocks = (emit: (delta: AnswerDelta) => void) => {
  const open = new Map<number, OpenBlock>();
  const thoughts: Block[] = [];
  let calls = 0;
  const callPiece = (index: number, said: object): void => emit({ tool_calls: [{ index, ...said }] });
  return {
    begin(at: number, block: Block): void {
      const begun: OpenBlock = { block: { ...block }, arguments: '' };
      open.set(at, begun);
      if (block.type === 'text') emit({ content: block.text ?? '' });
      if (block.type === 'thinking' && block.thinking) emit({ reasoning: block.thinking });
      if (block.type !== 'tool_use') return;
      begun.call = calls++;
      callPiece(begun.call, { id: block.id ?? '', type: 'function', function: { name: block.name ?? '', arguments: '' } });
    },
    add(at: number, { type, text, partial_json: json, thinking, signature }: BlockDelta): void {
      const begun = open.get(at);
      if (type === 'text_delta') emit({ content: text ?? '' });
      if (!begun) return;
      if (type === 'thinking_delta' && thinking) {
        begun.block.thinking = (begun.block.thinking ?? '') + thinking;
        emit({ reasoning: thinking });
      }
      if (type === 'signature_delta') begun.block.signature = (begun.block.signature ?? '') + (signature ?? '');
      if (type !== 'input_json_delta' || begun.call === undefined || !json) return;
      begun.arguments += json;
      callPiece(begun.call, { function: { arguments: json } });
    },
    end(at: number): void {
      const begun = open.get(at);
      open.delete(at);
      if (begun?.block.type === 'thinking' || begun?.block.type === 'redacted_thinking') thoughts.push(begun.block);
      // A call without arguments says nothing; a server may also have said them with the beginning.
      if (begun?.call !== undefined && begun.arguments === '') callPiece(begun.call, { function: { arguments: JSON.stringify(begun.block.input ?? {}) } });
    },
    /** What was thought before calls: it has to come back with their results, as it is. */
    thoughts: (): Block[] => (calls > 0 ? thoughts : []),
  };
};

const isFilled = (delta: AnswerDelta): boolean => Object.values(delta).some((value) => value !== '');

/**
 * Reads a streamed reply to its end. One that stops without a reason is a cut body (outcome unknown), even if the connection was closed in
 * good order.
 * @throws AppError `provider_refused` (a refusal alone, unless it is kept), `provider_bad_response` (no event at all)
 */
export const readClaudeStream = async (events: AsyncIterable<unknown>, { account, state, request, options }: Reading): Promise<ChatResult> => {
  const answers = createAnswers();
  const usage: ClaudeUsage = {};
  let model: string | undefined;
  let count = 0;
  const emit = (delta: AnswerDelta, finishReason?: string): void => {
    answers.add({ index: 0, delta }, finishReason);
    if (isFilled(delta)) options.onDelta?.({ index: 0, delta });
  };
  const blocks = createBlocks(emit);
  const end = ({ stop_reason: reason, stop_details: details }: MessageDelta): void => {
    if (!reason) return;
    const thoughts = blocks.thoughts();
    const refusal = reason === 'refusal' && { refusal: details?.explanation ?? 'Claude refused to answer.' };
    emit({ ...(thoughts.length > 0 && { thinking_blocks: thoughts }), ...refusal }, FINISH[reason] ?? 'stop');
  };
  for await (const given of events) {
    count += 1;
    if (typeof given !== 'object' || given === null) throw badResponse(account, 'an event that is no object');
    const event: ClaudeEvent = given;
    const at = event.index ?? 0;
    model ??= event.message?.model;
    mergeUsage(usage, event.message?.usage ?? event.usage);
    if (event.type === 'content_block_start' && event.content_block) blocks.begin(at, event.content_block);
    if (event.type === 'content_block_delta' && event.delta) blocks.add(at, event.delta);
    if (event.type === 'content_block_stop') blocks.end(at);
    if (event.type === 'message_delta' && event.delta) end(event.delta);
  }
  if (count === 0 && state.complete) throw badResponse(account, 'a reply that holds no answer', state.reply?.status);
  if (!answers.isWhole()) {
    state.complete = false;
    throw new CutStream();
  }
  const result = answers.result();
  if (!request.keepRefusals) refuseIfRefused(account, result);
  return { ...result, usage: usageOf(usage), model: model ?? request.model };
};
