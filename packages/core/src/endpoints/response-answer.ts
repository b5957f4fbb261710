import type { JobEvent } from '../jobs/events.ts';
import type { ToolCall } from '../jobs/job.ts';
import { mergeDelta } from '../providers/chat-answer.ts';
import { callItem, type ItemStatus, messageItem, refusalPart, textPart } from './response-output.ts';

/** An event of a response's stream, before it has its number. */
export type AnswerEvent = { type: string } & Record<string, unknown>;

type Part = { kind: 'text' | 'refusal'; said: string; logprobs: unknown[] };
type OpenMessage = { outputIndex: number; parts: Part[] };
type OpenCall = { outputIndex: number; call: ToolCall };

/** An answer while it comes, piece by piece. */
export type StreamedAnswer = {
  add: (piece: Pick<JobEvent, 'delta' | 'choices'>) => AnswerEvent[];
  /** Everything that began is done, in its order; an answer without a word is an empty message. */
  close: (status: ItemStatus) => AnswerEvent[];
  hasBegun: () => boolean;
};

const WORDS = { text: 'response.output_text', refusal: 'response.refusal' } as const;

const partItem = ({ kind, said, logprobs }: Part): Record<string, unknown> => (kind === 'text' ? textPart(said, logprobs) : refusalPart(said));

/** Adds to the message of an answer, opening it and its part when they are not yet there. */
const addToMessage = (id: string, message: OpenMessage, isNew: boolean, piece: Part): AnswerEvent[] => {
  const { kind, said, logprobs } = piece;
  const events: AnswerEvent[] = [];
  const at = { output_index: message.outputIndex };
  if (isNew) events.push({ type: 'response.output_item.added', ...at, item: messageItem(id, [], 'in_progress') });
  let part = message.parts.find((open) => open.kind === kind);
  const place = { ...at, item_id: messageItem(id, [], 'in_progress').id, content_index: part ? message.parts.indexOf(part) : message.parts.length };
  if (!part) {
    part = { kind, said: '', logprobs: [] };
    message.parts.push(part);
    events.push({ type: 'response.content_part.added', ...place, part: partItem({ ...part, logprobs: [] }) });
  }
  part.said += said;
  part.logprobs.push(...logprobs);
  if (said !== '') events.push({ type: `${WORDS[kind]}.delta`, ...place, delta: said, ...(kind === 'text' && { logprobs }) });
  return events;
};

const closeMessage = (id: string, { outputIndex, parts }: OpenMessage, status: ItemStatus): AnswerEvent[] => {
  const at = { output_index: outputIndex };
  const item = messageItem(id, parts.map(partItem), status);
  const closed = parts.flatMap((part, index): AnswerEvent[] => {
    const place = { ...at, item_id: item.id, content_index: index };
    const done = part.kind === 'text' ? { text: part.said, logprobs: part.logprobs } : { refusal: part.said };
    return [
      { type: `${WORDS[part.kind]}.done`, ...place, ...done },
      { type: 'response.content_part.done', ...place, part: partItem(part) },
    ];
  });
  return [...closed, { type: 'response.output_item.done', ...at, item }];
};

const closeCall = (id: string, at: number, { outputIndex, call }: OpenCall, status: ItemStatus): AnswerEvent[] => {
  const item = callItem(id, at, call, status);
  return [
    { type: 'response.function_call_arguments.done', output_index: outputIndex, item_id: item.id, arguments: item.arguments },
    { type: 'response.output_item.done', output_index: outputIndex, item },
  ];
};

/** Tells an answer as items and parts of a response. `id` is that of the response or its job. */
export const createStreamedAnswer = (id: string): StreamedAnswer => {
  let message: OpenMessage | undefined;
  const calls = new Map<number, OpenCall>();
  const nextIndex = (): number => calls.size + (message ? 1 : 0);

  const say = (piece: Part): AnswerEvent[] => {
    const isNew = message === undefined;
    message ??= { outputIndex: nextIndex(), parts: [] };
    return addToMessage(id, message, isNew, piece);
  };

  const addCall = (at: number, piece: ToolCall): AnswerEvent[] => {
    const known = calls.get(at);
    const open: OpenCall = known ?? { outputIndex: nextIndex(), call: {} };
    calls.set(at, open);
    mergeDelta(open.call, piece);
    const { id: itemId, ...item } = callItem(id, at, open.call, 'in_progress');
    const said = piece.function?.arguments ?? '';
    return [
      ...(known ? [] : [{ type: 'response.output_item.added', output_index: open.outputIndex, item: { id: itemId, ...item, arguments: '' } }]),
      ...(said === '' ? [] : [{ type: 'response.function_call_arguments.delta', output_index: open.outputIndex, item_id: itemId, delta: said }]),
    ];
  };

  return {
    add({ delta = '', choices = [] }) {
      const { delta: more = {}, logprobs } = choices.find(({ index }) => index === 0) ?? {};
      const events = delta === '' && !logprobs?.content ? [] : say({ kind: 'text', said: delta, logprobs: logprobs?.content ?? [] });
      if (more.refusal) events.push(...say({ kind: 'refusal', said: more.refusal, logprobs: [] }));
      for (const [at, { index = at, ...call }] of (more.tool_calls ?? []).entries()) events.push(...addCall(index, call));
      return events;
    },
    close(status) {
      const opened = message || calls.size > 0 ? [] : say({ kind: 'text', said: '', logprobs: [] });
      const closed: [number, AnswerEvent[]][] = [...calls].map(([at, call]) => [call.outputIndex, closeCall(id, at, call, status)]);
      if (message) closed.push([message.outputIndex, closeMessage(id, message, status)]);
      return [...opened, ...closed.sort(([a], [b]) => a - b).flatMap(([, events]) => events)];
    },
    hasBegun: () => message !== undefined || calls.size > 0,
  };
};
