import type { AnswerChoice, AnswerMessage, Logprobs, TextOutput } from '../jobs/job.ts';
import type { AnswerDelta, ChoiceDelta } from './provider.ts';

type Fields = Record<string, unknown>;

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Said whole, once: everything else that is a text comes in pieces. */
const WHOLE = new Set(['id', 'type', 'name', 'role', 'object', 'format', 'status']);

/** Tool calls come in pieces that name their place. */
const mergeToolCalls = (into: unknown, pieces: unknown[]): unknown[] => {
  const calls = Array.isArray(into) ? into : [];
  for (const piece of pieces.filter(isFields)) {
    const known = calls.find((call) => isFields(call) && call['index'] === piece['index']);
    if (isFields(known)) mergeDelta(known, piece);
    else calls.push(mergeDelta({}, piece));
  }
  return calls;
};

/** Servers that leave the place of a tool call out send each call whole: it stands behind those there are. */
const placeToolCalls = (before: AnswerDelta, delta: AnswerDelta): AnswerDelta => {
  const { tool_calls: calls } = delta;
  if (!Array.isArray(calls) || calls.every(({ index }) => typeof index === 'number')) return delta;
  const taken = before.tool_calls?.length ?? 0;
  return { ...delta, tool_calls: calls.map((call, at) => (typeof call.index === 'number' ? call : { ...call, index: taken + at })) };
};

const mergeField = (name: string, had: unknown, value: unknown): unknown => {
  if (name === 'tool_calls' && Array.isArray(value)) return mergeToolCalls(had, value);
  if (typeof value === 'string') return typeof had === 'string' && !WHOLE.has(name) ? had + value : WHOLE.has(name) && value === '' ? (had ?? value) : value;
  if (Array.isArray(value)) return Array.isArray(had) ? [...had, ...value] : value;
  if (isFields(value)) return mergeDelta(isFields(had) ? had : {}, value);
  return value;
};

/** Adds a piece to what came before it (`into` is changed): texts and lists grow, tool calls by their place. Null says nothing. */
export const mergeDelta = <T extends Fields>(into: T, piece: Fields): T => {
  for (const [name, value] of Object.entries(piece)) {
    if (value !== null && value !== undefined) (into as Fields)[name] = mergeField(name, into[name], value);
  }
  return into;
};

/** One of the answers of a reply, as far as it was read. */
type OpenChoice = { delta: AnswerDelta; logprobs?: Logprobs; finishReason?: string };

/** Collects the answers of a streamed reply. */
export type Answers = {
  /** Adds a piece and returns it with the place of each of its tool calls, which some servers leave out. */
  add: (piece: ChoiceDelta, finishReason?: string | null) => ChoiceDelta;
  /** Whether every answer that began has ended, and there is one. */
  isWhole: () => boolean;
  result: () => Omit<TextOutput, 'kind' | 'envelope'>;
};

const withoutPlace = ({ index: _index, ...call }: Fields): Fields => call;

const closeMessage = ({ role: _role, ...delta }: AnswerDelta): AnswerMessage => {
  const message: AnswerMessage = {};
  for (const [name, value] of Object.entries(delta)) {
    if (value === '' && name !== 'content') continue;
    if (Array.isArray(value) && value.length === 0) continue;
    message[name] = name === 'tool_calls' && Array.isArray(value) ? value.map(withoutPlace) : value;
  }
  return message;
};

const closeChoice = ({ delta, logprobs, finishReason = 'stop' }: OpenChoice): AnswerChoice => ({
  message: closeMessage(delta),
  finishReason,
  ...(logprobs && { logprobs }),
});

/** An answer that `text` and `finishReason` tell whole. */
const isPlain = ({ message, logprobs }: AnswerChoice): boolean => logprobs === undefined && Object.keys(message).every((name) => name === 'content');

export const createAnswers = (): Answers => {
  const open = new Map<number, OpenChoice>();
  return {
    add(piece, finishReason) {
      const { index, logprobs } = piece;
      const choice: OpenChoice = open.get(index) ?? { delta: {} };
      open.set(index, choice);
      const delta = placeToolCalls(choice.delta, piece.delta);
      mergeDelta(choice.delta, delta);
      if (logprobs) choice.logprobs = mergeDelta(choice.logprobs ?? {}, logprobs);
      if (finishReason) choice.finishReason = finishReason;
      return { ...piece, delta };
    },
    isWhole: () => open.size > 0 && [...open.values()].every(({ finishReason }) => finishReason !== undefined),
    result() {
      const choices = [...open].sort(([a], [b]) => a - b).map(([, choice]) => closeChoice(choice));
      const [first] = choices;
      const text = first?.message.content ?? '';
      const finishReason = first?.finishReason ?? 'stop';
      return first && choices.length === 1 && isPlain(first) ? { text, finishReason } : { text, finishReason, choices };
    },
  };
};
