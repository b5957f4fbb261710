import { setTimeout as sleep } from 'node:timers/promises';
import type { AnswerChoice } from '../../jobs/job.ts';
import { translateParameters } from '../parameters.ts';
import type { CallOptions, ChatMessage, ChatPart, ChatRequest, ChatResult, PictureBytes } from '../provider.ts';
import { describePicture } from './describe.ts';
import { instanceOf } from './schema-instance.ts';
import { throwIfStopped } from './stop.ts';
import { forcedCall } from './tool-call.ts';

/** Between two pieces, so that a stream can be seen as one. */
const PIECE_MS = 8;
const QUOTE_CHARACTERS = 200;
/** A usual guess for Latin text. */
const CHARACTERS_PER_TOKEN = 4;

const partsOf = ({ content }: ChatMessage): ChatPart[] => (typeof content === 'string' ? [{ type: 'text', text: content }] : (content ?? []));
const textOf = (message: ChatMessage): string =>
  partsOf(message)
    .flatMap((part) => (part.type === 'text' ? [part.text] : []))
    .join(' ');
const picturesOf = (message: ChatMessage): PictureBytes[] => partsOf(message).flatMap((part) => (part.type === 'image' ? [part.picture] : []));

const tokensIn = (text: string): number => Math.ceil(text.length / CHARACTERS_PER_TOKEN);

const quote = (text: string): string => {
  const characters = [...text.replace(/\s+/g, ' ').trim()];
  return characters.length <= QUOTE_CHARACTERS ? characters.join('') : `${characters.slice(0, QUOTE_CHARACTERS - 1).join('')}…`;
};

const OPENING = 'This answer is simulated, because no provider key is set.';

const compose = async (messages: ChatMessage[]): Promise<string> => {
  const last = messages.findLast(({ role }) => role === 'user');
  const asked = last ? quote(textOf(last)) : '';
  const pictures = last ? picturesOf(last) : [];
  const result = messages.at(-1);
  const heard = result?.role === 'tool' ? ` A tool answered: “${quote(textOf(result))}”.` : '';
  if (pictures.length === 0) return `${OPENING} You wrote: “${asked}”.${heard} A real model would answer here; set GROQ_API_KEY or OPENAI_API_KEY to ask one.`;
  const seen = await Promise.all(pictures.map(describePicture));
  const list = seen.map((text, at) => (seen.length === 1 ? text : `Picture ${at + 1}: ${text}`)).join(' ');
  return `${OPENING} ${list}${asked === '' ? '' : ` You asked: “${asked}”.`}${heard} A real model would say what it shows; set OPENAI_API_KEY to ask one.`;
};

/** JSON where JSON was asked for: an instance of the schema, or an object that says what it is. */
const composeJson = (format: unknown): string | undefined => {
  if (typeof format !== 'object' || format === null) return undefined;
  const { type, json_schema: named } = format as { type?: string; json_schema?: { schema?: unknown } };
  if (type === 'json_schema') return JSON.stringify(instanceOf(named?.schema, 'response_format'));
  return type === 'json_object' ? JSON.stringify({ simulated: true, answer: OPENING }) : undefined;
};

type Cut = { text: string; finishReason: 'stop' | 'length' };

/** The answer as far as `stop` and `max_tokens` let it go; a stop sequence is not part of it. */
const cut = (whole: string, { stop, max_tokens: limit }: Record<string, unknown>): Cut => {
  const ends = (Array.isArray(stop) ? stop : [stop]).flatMap((word) => (typeof word === 'string' && word !== '' ? [whole.indexOf(word)] : []));
  const end = Math.min(whole.length, ...ends.filter((at) => at >= 0));
  const said = whole.slice(0, end);
  if (typeof limit !== 'number' || tokensIn(said) <= limit) return { text: said, finishReason: 'stop' };
  return { text: said.slice(0, limit * CHARACTERS_PER_TOKEN), finishReason: 'length' };
};

const piecesOf = (text: string): string[] => text.match(/\s*\S+\s*?|\s+/g) ?? [];

/** Several answers to one question differ in their number alone. */
const answersTo = async ({ messages, parameters }: ChatRequest): Promise<AnswerChoice[]> => {
  const call = forcedCall(parameters);
  const n = typeof parameters['n'] === 'number' ? parameters['n'] : 1;
  const whole = call ? '' : (composeJson(parameters['response_format']) ?? (await compose(messages)));
  return Array.from({ length: n }, (_, at): AnswerChoice => {
    if (call) return { message: { tool_calls: [{ ...call, id: `call_simulated_${at + 1}` }] }, finishReason: 'tool_calls' };
    const numbered = at === 0 || parameters['response_format'] !== undefined ? whole : `Answer ${at + 1} of ${n}. ${whole}`;
    const { text, finishReason } = cut(numbered, parameters);
    return { message: { content: text }, finishReason };
  });
};

/** Streams an answer word by word; a tool call comes whole. */
const say = async (index: number, { message }: AnswerChoice, { signal, onDelta }: CallOptions): Promise<void> => {
  if (message.tool_calls) onDelta?.({ index, delta: { tool_calls: message.tool_calls.map((call, at) => ({ index: at, ...call })) } });
  for (const [at, piece] of piecesOf(message.content ?? '').entries()) {
    if (at > 0) await sleep(PIECE_MS);
    throwIfStopped(signal);
    onDelta?.({ index, delta: { content: piece } });
  }
};

/**
 * Chat and vision: streams an answer that says it is simulated and names what it was asked. Usage is estimated. Of the parameters what
 * shows in an answer is done (`n`, `stop`, `max_tokens`, JSON, tools that must be called), what cannot be done is refused.
 * @throws AppError `unsupported_parameter`, `cancelled`.
 */
export const simulatedChat = async (request: ChatRequest, options: CallOptions): Promise<ChatResult> => {
  const { model, messages, parameters } = request;
  throwIfStopped(options.signal);
  translateParameters('simulated-chat', `The simulated ${model}`, parameters);
  const choices = await answersTo(request);
  await Promise.all(choices.map((choice, index) => say(index, choice, options)));
  const [first] = choices;
  const text = first?.message.content ?? '';
  const isPlain = choices.length === 1 && first?.message.tool_calls === undefined;
  const outputTokens = choices.reduce((sum, { message }) => sum + tokensIn(message.content ?? '') + tokensIn(JSON.stringify(message.tool_calls ?? '')), 0);
  return {
    text,
    finishReason: first?.finishReason ?? 'stop',
    ...(!isPlain && { choices }),
    usage: { inputTokens: tokensIn(messages.map(textOf).join('')), outputTokens: isPlain ? tokensIn(text) : outputTokens },
    model,
  };
};
