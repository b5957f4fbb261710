import { renameId } from '../ids.ts';
import type { InputMessage, TextOutput } from '../jobs/job.ts';

type Item = Record<string, unknown>;

const outputText = (text: string): Item => ({ type: 'output_text', text, annotations: [], logprobs: [] });

/** The one message of an answer. Its id follows from the response's, so that every read and every stream gives the same. */
const messageItem = (id: string, text: string | undefined, status: 'in_progress' | 'completed' | 'incomplete'): Item => ({
  id: renameId('msg', id),
  type: 'message',
  status,
  role: 'assistant',
  content: text === undefined ? [] : [outputText(text)],
});

/** Why an answer is not whole, if it is not. */
export const incompleteReason = ({ finishReason }: TextOutput): 'max_output_tokens' | 'content_filter' | undefined => {
  if (finishReason === 'length') return 'max_output_tokens';
  return finishReason === 'content_filter' ? 'content_filter' : undefined;
};

/** The items of an answer. `id` is that of the response or its job. */
export const outputItems = (id: string, output: TextOutput): Item[] => [messageItem(id, output.text, incompleteReason(output) ? 'incomplete' : 'completed')];

/** An answer as a message of the conversation that goes on from it. */
export const answerMessage = ({ text }: TextOutput): InputMessage => ({ role: 'assistant', content: text });
