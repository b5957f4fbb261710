import { signedBlobUrl } from '../blobs/signed-url.ts';
import { findBlob } from '../blobs/store.ts';
import { renameId } from '../ids.ts';
import type { InputMessage, JobRecord, MessagePart } from '../jobs/job.ts';
import type { PresentDeps } from './endpoint.ts';
import { conversationOf } from './find-response.ts';
import { refusalPart, textPart } from './response-output.ts';

type Item = Record<string, unknown> & { id: string };

const pictureUrl = async (deps: PresentDeps, part: Extract<MessagePart, { type: 'image' }>): Promise<string | null> => {
  const { image } = part;
  if (image.kind !== 'blob') return image.url;
  const blob = await findBlob(deps, image.blobId);
  return blob ? signedBlobUrl(deps.config, blob.id, blob.expiresMs) : null;
};

const partOf = async (deps: PresentDeps, part: MessagePart, isAnswer: boolean): Promise<Record<string, unknown>> => {
  if (part.type === 'text') return isAnswer ? textPart(part.text) : { type: 'input_text', text: part.text };
  if (part.type === 'image') return { type: 'input_image', detail: part.detail ?? 'auto', file_id: null, image_url: await pictureUrl(deps, part) };
  const { file } = part.part as { file?: Record<string, unknown> };
  return file ? { type: 'input_file', ...file } : part.part;
};

const contentOf = async (deps: PresentDeps, { role, content, other }: InputMessage): Promise<Record<string, unknown>[]> => {
  const isAnswer = role === 'assistant';
  if (content === null) return typeof other?.['refusal'] === 'string' ? [refusalPart(other['refusal'])] : [];
  if (typeof content === 'string') return [isAnswer ? textPart(content) : { type: 'input_text', text: content }];
  return Promise.all(content.map((part) => partOf(deps, part, isAnswer)));
};

type Call = { id: string; function: { name: string; arguments: string } };

const callItem = ({ id, function: { name, arguments: said } }: Call): Record<string, unknown> => ({
  type: 'function_call',
  status: 'completed',
  call_id: id,
  name,
  arguments: said,
});

/** One message of a chat completion is one item, or several when an answer called functions. */
const itemsOf = async (deps: PresentDeps, message: InputMessage): Promise<Record<string, unknown>[]> => {
  const content = await contentOf(deps, message);
  const { role, other } = message;
  if (role === 'tool') {
    const output = typeof message.content === 'string' ? message.content : content;
    return [{ type: 'function_call_output', status: 'completed', call_id: other?.['tool_call_id'], output }];
  }
  const calls = ((other?.['tool_calls'] ?? []) as Call[]).map(callItem);
  if (content.length === 0) return calls;
  return [{ type: 'message', status: 'completed', role, content }, ...calls];
};

const PREFIX: Readonly<Record<string, 'fc' | 'msg'>> = { function_call: 'fc', function_call_output: 'fc' };

/**
 * Everything a response was asked with, oldest first: its own input behind that of the responses before it. Ids follow from the place.
 * @throws AppError `storage_error`, `not_found` when its long texts are gone.
 */
export const responseInputItems = async (deps: PresentDeps, job: JobRecord): Promise<Item[]> => {
  const messages = await conversationOf(deps, job.spec);
  const items = (await Promise.all(messages.map((message) => itemsOf(deps, message)))).flat();
  return items.map((item, at) => ({ id: `${renameId(PREFIX[String(item['type'])] ?? 'msg', job.id)}in${at}`, ...item }));
};
