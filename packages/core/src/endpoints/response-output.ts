import { renameId } from '../ids.ts';
import type { AnswerChoice, InputMessage, TextOutput, ToolCall } from '../jobs/job.ts';

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';
type Item = Record<string, unknown>;

/** What an answer says, and why it ended: a response has one. */
const answerOf = ({ text, finishReason, choices }: TextOutput): AnswerChoice => choices?.[0] ?? { message: { content: text }, finishReason };

export const textPart = (text: string, logprobs: unknown[] = []): Item => ({ type: 'output_text', text, annotations: [], logprobs });
export const refusalPart = (refusal: string): Item => ({ type: 'refusal', refusal });

// Ids follow from the response's, so that every read and every stream gives the same.
/** `id` is that of the response or its job. */
export const messageItem = (id: string, content: Item[], status: ItemStatus): Item & { id: string } => ({
  id: renameId('msg', id),
  type: 'message',
  status,
  role: 'assistant',
  content,
});

/** `at`: the number of the call in its answer. Servers that give calls no ids are given one here. */
export const callItem = (id: string, at: number, call: ToolCall, status: ItemStatus): Item & { id: string } => ({
  id: `${renameId('fc', id)}at${at}`,
  type: 'function_call',
  status,
  call_id: call.id ?? `${renameId('call', id)}at${at}`,
  name: call.function?.name ?? '',
  arguments: call.function?.arguments ?? '',
});

/** Why an answer is not whole, if it is not. */
export const incompleteReason = ({ finishReason }: TextOutput): 'max_output_tokens' | 'content_filter' | undefined => {
  if (finishReason === 'length') return 'max_output_tokens';
  return finishReason === 'content_filter' ? 'content_filter' : undefined;
};

const contentOf = ({ message: { content = '', refusal = '', tool_calls: calls = [] }, logprobs }: AnswerChoice): Item[] => [
  ...(content !== '' || (refusal === '' && calls.length === 0) ? [textPart(content, logprobs?.content ?? [])] : []),
  ...(refusal === '' ? [] : [refusalPart(refusal)]),
];

/** The items of an answer: its message, then the functions it calls. */
export const outputItems = (id: string, output: TextOutput): Item[] => {
  const answer = answerOf(output);
  const status = incompleteReason(output) ? 'incomplete' : 'completed';
  const content = contentOf(answer);
  const calls = (answer.message.tool_calls ?? []).map((call, at) => callItem(id, at, call, status));
  return content.length > 0 ? [messageItem(id, content, status), ...calls] : calls;
};

/** An answer as a message of the conversation that goes on from it. */
export const answerMessage = (id: string, output: TextOutput): InputMessage => {
  const { content = '', refusal = '', tool_calls: calls = [] } = answerOf(output).message;
  const toldCalls = calls.map((call, at) => {
    const { call_id, name, arguments: said } = callItem(id, at, call, 'completed');
    return { id: call_id, type: 'function', function: { name, arguments: said } };
  });
  const other = { ...(refusal !== '' && { refusal }), ...(toldCalls.length > 0 && { tool_calls: toldCalls }) };
  if (Object.keys(other).length === 0) return { role: 'assistant', content };
  return { role: 'assistant', content: content === '' ? null : content, other };
};
