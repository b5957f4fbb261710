import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { findFile } from '../files/store.ts';
import type { ImageRef, InputMessage, MessagePart } from '../jobs/job.ts';
import { parseWith } from '../parse.ts';
import { findOutputItem } from './find-response.ts';
import { withoutNulls } from './without-nulls.ts';

/** The one who reads an input: whose files it may name, and what is to be told of parts that nobody can be given. */
export type Reading = { deps: Pick<Deps, 'redis' | 'blobs' | 'now'>; tenant: string; warnings: Set<string> };
type Given = Record<string, unknown>;
/** A path in the body. */
type Place = string[];

const unsupported = (place: Place, what: string): AppError => {
  const param = place.join('.');
  return new AppError('unsupported_parameter', `${param}: ${what} is not supported here.`, { param });
};

const status = z.enum(['in_progress', 'completed', 'incomplete']).optional();
const id = z.string().max(200).optional();
const phase = z.enum(['commentary', 'final_answer']).optional();
const imageUrl = z
  .string()
  .refine((url) => url.startsWith('data:') || (/^https?:\/\//i.test(url) && url.length <= 8192 && URL.canParse(url)), 'must be an http, https or data URL');

const typed = z.looseObject({ type: z.string().max(100) });
// `parsed` and `parsed_arguments` are what an SDK reads out of the text beside them: items come back with it.
const textPart = z.strictObject({
  type: z.string(),
  text: z.string(),
  annotations: z.array(z.unknown()).optional(),
  logprobs: z.array(z.unknown()).optional(),
  parsed: z.unknown().optional(),
});
const refusalPart = z.strictObject({ type: z.string(), refusal: z.string() });
const imagePart = z.strictObject({
  type: z.string(),
  image_url: imageUrl.optional(),
  file_id: z.string().optional(),
  detail: z.enum(['auto', 'low', 'high']).optional(),
});
const filePart = z.strictObject({
  type: z.string(),
  file_data: z.string().optional(),
  filename: z.string().max(255).optional(),
  file_id: z.string().optional(),
  file_url: z.string().optional(),
});

const message = z.strictObject({
  type: z.literal('message').optional(),
  id,
  status,
  phase,
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content: z.union([z.string(), z.array(typed).max(1000)], { error: 'must be a string or a list of content parts' }),
});
const functionCall = z.strictObject({
  type: z.string(),
  id,
  status,
  call_id: z.string().min(1).max(200),
  name: z.string().min(1).max(200),
  arguments: z.string(),
  parsed_arguments: z.unknown().optional(),
});
const functionCallOutput = z.strictObject({
  type: z.string(),
  id,
  status,
  call_id: z.string().min(1).max(200),
  output: z.union([z.string(), z.array(typed).max(1000)], { error: 'must be a string or a list of content parts' }),
});

const readImage = async (reading: Reading, given: Given, place: Place): Promise<MessagePart> => {
  const { image_url: url, file_id: fileId, detail } = parseWith(imagePart, given, place);
  const shown = { type: 'image' as const, ...(detail && { detail }) };
  if (url) return { ...shown, image: url.startsWith('data:') ? { kind: 'data', url } : { kind: 'url', url } };
  const param = [...place, fileId ? 'file_id' : 'image_url'].join('.');
  if (!fileId) throw new AppError('invalid_request', `${param}: a picture needs an image_url or a file_id.`, { param });
  const file = await findFile(reading.deps, reading.tenant, fileId);
  if (!file) throw new AppError('not_found', `${param}: there is no such file.`, { param });
  return { ...shown, image: { kind: 'blob', blobId: file.blobId } };
};

const readFilePart = (given: Given, place: Place): MessagePart => {
  const { file_data, filename, file_id, file_url } = parseWith(filePart, given, place);
  // A provider knows neither our files nor, in a chat completion, the address of one.
  if (file_id) throw unsupported([...place, 'file_id'], 'a document by its id');
  if (file_url) throw unsupported([...place, 'file_url'], 'a document by its address');
  return { type: 'other', part: { type: 'file', file: { ...(filename && { filename }), ...(file_data && { file_data }) } } };
};

const readPart = async (reading: Reading, given: Given & { type: string }, place: Place): Promise<MessagePart> => {
  switch (given.type) {
    case 'input_text':
    case 'output_text':
      return { type: 'text', text: parseWith(textPart, given, place).text };
    case 'refusal':
      return { type: 'other', part: parseWith(refusalPart, given, place) };
    case 'input_image':
      return readImage(reading, given, place);
    case 'input_file':
      return readFilePart(given, place);
    default:
      throw unsupported([...place, 'type'], given.type);
  }
};

const readParts = async (reading: Reading, parts: z.output<typeof typed>[], place: Place): Promise<MessagePart[]> => {
  const read: MessagePart[] = [];
  for (const [at, part] of parts.entries()) read.push(await readPart(reading, { ...withoutNulls(part), type: part.type }, [...place, String(at)]));
  return read;
};

/** A chat completion has the calls of one answer in one message, beside its text. */
const addCall = (messages: InputMessage[], { call_id, name, arguments: said }: z.output<typeof functionCall>): void => {
  const call = { id: call_id, type: 'function', function: { name, arguments: said } };
  const last = messages.at(-1);
  if (last?.role !== 'assistant') {
    messages.push({ role: 'assistant', content: null, other: { tool_calls: [call] } });
    return;
  }
  const calls = (last.other?.['tool_calls'] ?? []) as unknown[];
  last.other = { ...last.other, tool_calls: [...calls, call] };
};

const addMessage = async (reading: Reading, messages: InputMessage[], given: Given, place: Place): Promise<void> => {
  const { role, content, phase: said } = parseWith(message, given, place);
  if (said) reading.warnings.add('The phase of a message is not passed on: chat completions have no word for it.');
  const parts = typeof content === 'string' ? content : await readParts(reading, content, [...place, 'content']);
  // Of an assistant, vendors take pieces of text as one text.
  const isText = role === 'assistant' && typeof parts !== 'string' && parts.every(({ type }) => type === 'text');
  messages.push({ role, content: isText ? parts.map((part) => ('text' in part ? part.text : '')).join('') : parts });
};

const addCallOutput = async (reading: Reading, messages: InputMessage[], given: Given, place: Place): Promise<void> => {
  const { call_id, output } = parseWith(functionCallOutput, given, place);
  const content = typeof output === 'string' ? output : await readParts(reading, output, [...place, 'output']);
  const other = typeof content === 'string' ? -1 : content.findIndex(({ type }) => type !== 'text');
  if (other >= 0) throw unsupported([...place, 'output', String(other), 'type'], 'anything but text as the output of a function');
  messages.push({ role: 'tool', content, other: { tool_call_id: call_id } });
};

const reference = z.strictObject({ type: z.literal('item_reference').optional(), id: z.string().max(200) });

/** An item of an earlier answer stands where it is named. */
const addReferenced = async (reading: Reading, messages: InputMessage[], given: Given, place: Place): Promise<void> => {
  const { id: named } = parseWith(reference, given, place);
  const item = await findOutputItem(reading.deps, reading.tenant, named, [...place, 'id'].join('.'));
  await readItem(reading, messages, item, place);
};

/** OpenAI lets a message and a reference go without their type. */
const typeOf = (given: Given): unknown => given['type'] ?? ('id' in given && !('role' in given) ? 'item_reference' : 'message');

const readItem = async (reading: Reading, messages: InputMessage[], given: Given, place: Place): Promise<void> => {
  const type = typeOf(given);
  if (type === 'item_reference') return addReferenced(reading, messages, given, place);
  if (type === 'message') return addMessage(reading, messages, given, place);
  if (type === 'function_call') return addCall(messages, parseWith(functionCall, given, place));
  if (type === 'function_call_output') return addCallOutput(reading, messages, given, place);
  if (type !== 'reasoning') throw unsupported([...place, 'type'], String(type));
  reading.warnings.add('Reasoning items of the input are not passed on: a chat completion cannot be given what was thought before.');
};

/**
 * The messages that the items of an input are in a chat completion, behind those of `before`.
 * @throws AppError `invalid_request`, `unsupported_parameter`, `not_found` (a file), with the path of the item as `param`.
 */
export const readResponseInput = async (reading: Reading, input: string | Given[], before: InputMessage[]): Promise<InputMessage[]> => {
  if (typeof input === 'string') return [...before, { role: 'user', content: input }];
  const messages = [...before];
  for (const [at, item] of input.entries()) await readItem(reading, messages, withoutNulls(item), ['input', String(at)]);
  return messages;
};

/** The pictures of some messages. */
export const picturesOf = (messages: InputMessage[]): ImageRef[] =>
  messages.flatMap(({ content }) => (Array.isArray(content) ? content.flatMap((part) => (part.type === 'image' ? [part.image] : [])) : []));
