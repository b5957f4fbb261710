import { setTimeout as sleep } from 'node:timers/promises';
import type { CallOptions, ChatMessage, ChatPart, ChatRequest, ChatResult, PictureBytes } from '../provider.ts';
import { describePicture } from './describe.ts';
import { throwIfStopped } from './stop.ts';

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

const compose = async (messages: ChatMessage[]): Promise<string> => {
  const last = messages.findLast(({ role }) => role === 'user');
  const asked = last ? quote(textOf(last)) : '';
  const opening = 'This answer is simulated, because no provider key is set.';
  const pictures = last ? picturesOf(last) : [];
  if (pictures.length === 0) return `${opening} You wrote: “${asked}”. A real model would answer here; set GROQ_API_KEY or OPENAI_API_KEY to ask one.`;
  const seen = await Promise.all(pictures.map(describePicture));
  const list = seen.map((text, at) => (seen.length === 1 ? text : `Picture ${at + 1}: ${text}`)).join(' ');
  return `${opening} ${list}${asked === '' ? '' : ` You asked: “${asked}”.`} A real model would say what it shows; set OPENAI_API_KEY to ask one.`;
};

/** Chat and vision: streams, word by word, an answer that says it is simulated and names what it was asked. Usage is estimated. */
export const simulatedChat = async ({ model, messages, parameters }: ChatRequest, { signal, onDelta }: CallOptions): Promise<ChatResult> => {
  throwIfStopped(signal);
  const pieces = (await compose(messages)).match(/\S+\s*/g) ?? [];
  const limit = typeof parameters['max_tokens'] === 'number' ? parameters['max_tokens'] : Number.POSITIVE_INFINITY;
  let text = '';
  for (const piece of pieces) {
    if (tokensIn(text + piece) > limit && text !== '') break;
    if (text !== '') await sleep(PIECE_MS);
    throwIfStopped(signal);
    text += piece;
    onDelta?.(piece);
  }
  const whole = pieces.join('');
  return {
    text,
    finishReason: text === whole ? 'stop' : 'length',
    usage: { inputTokens: tokensIn(messages.map(textOf).join('')), outputTokens: tokensIn(text) },
    model,
  };
};
