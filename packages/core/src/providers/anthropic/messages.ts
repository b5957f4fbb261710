import type Anthropic from '@anthropic-ai/sdk';
import { AppError } from '../../errors.ts';
import type { ChatMessage, ChatPart } from '../provider.ts';

type Block = Anthropic.ContentBlockParam;
type Fields = Record<string, unknown>;
/** A conversation as `POST /v1/messages` takes it: instructions apart, users and Claude by turns. */
export type ClaudeMessages = { system?: string; messages: Anthropic.MessageParam[] };

/** A message and where it stands, for messages about it. */
type Placed = { model: string; place: string; message: ChatMessage };

const unsupported = ({ model }: Placed, place: string, what: string): AppError =>
  new AppError('unsupported_parameter', `${model} does not support ${what}.`, { param: place });
const invalid = (place: string, what: string): AppError => new AppError('invalid_request', `${place}: ${what}`, { param: place });

const PDF = /^data:application\/pdf;base64,/;

/** A file as OpenAI's clients send it: a PDF in a data URL is what Claude reads too. */
const toFile = (file: unknown): Block | undefined => {
  const { file_data: data, filename } = (file ?? {}) as Fields;
  if (typeof data !== 'string' || !PDF.test(data)) return undefined;
  const source = { type: 'base64' as const, media_type: 'application/pdf' as const, data: data.replace(PDF, '') };
  return { type: 'document', source, ...(typeof filename === 'string' && { title: filename }) };
};

const toOther = (placed: Placed, part: Fields, place: string): Block[] => {
  if (part['type'] === 'refusal' && typeof part['refusal'] === 'string') return [{ type: 'text', text: part['refusal'] }];
  const block = part['type'] === 'file' ? toFile(part['file']) : undefined;
  if (!block) throw unsupported(placed, place, `content parts of this ${String(part['type'])}`);
  return [block];
};

const toBlock = (placed: Placed, part: ChatPart, place: string): Block[] => {
  // It takes no text that is empty.
  if (part.type === 'text') return part.text === '' ? [] : [{ type: 'text', text: part.text }];
  if (part.type === 'other') return toOther(placed, part.part, place);
  // It sees pictures as they are, which is what `high` asks for.
  if (part.detail === 'low') throw unsupported(placed, `${place}.image_url.detail`, 'detail = "low"');
  const media_type = part.picture.mediaType as Anthropic.Base64ImageSource['media_type'];
  return [{ type: 'image', source: { type: 'base64', media_type, data: part.picture.bytes.toString('base64') } }];
};

const toBlocks = (placed: Placed): Block[] => {
  const { content } = placed.message;
  if (content === null || content === '') return [];
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  return content.flatMap((part, at) => toBlock(placed, part, `${placed.place}.content.${at}`));
};

const parseArguments = (text: unknown, place: string): Fields => {
  if (text === '' || text === undefined) return {};
  try {
    const input: unknown = JSON.parse(String(text));
    if (typeof input === 'object' && input !== null && !Array.isArray(input)) return input as Fields;
  } catch {
    // Said below, with its place.
  }
  throw invalid(place, 'must be a JSON object.');
};

const toToolUse = (placed: Placed, call: unknown, at: number): Block => {
  const place = `${placed.place}.tool_calls.${at}`;
  const { id, function: named } = (call ?? {}) as { id?: unknown; function?: { name?: unknown; arguments?: unknown } };
  if (typeof id !== 'string' || typeof named?.name !== 'string') throw unsupported(placed, place, 'calls of anything but functions');
  return { type: 'tool_use', id, name: named.name, input: parseArguments(named.arguments, `${place}.function.arguments`) };
};

/** What it thought comes first, as it was given out; then its words, then its calls. */
const toAssistant = (placed: Placed): Block[] => {
  const { thinking_blocks: thoughts, tool_calls: calls } = placed.message.other ?? {};
  return [
    ...(Array.isArray(thoughts) ? (thoughts as Block[]) : []),
    ...toBlocks(placed),
    ...(Array.isArray(calls) ? calls.map((call, at) => toToolUse(placed, call, at)) : []),
  ];
};

const toToolResult = (placed: Placed): Block => {
  const id = placed.message.other?.['tool_call_id'];
  if (typeof id !== 'string') throw invalid(`${placed.place}.tool_call_id`, 'must name the call it answers.');
  return { type: 'tool_result', tool_use_id: id, content: toBlocks(placed) as Anthropic.TextBlockParam[] };
};

const instructions = (placed: Placed): string =>
  toBlocks(placed)
    .map((block) => {
      if (block.type !== 'text') throw unsupported(placed, placed.place, `a ${block.type} in instructions`);
      return block.text;
    })
    .join('\n');

const spoken = (placed: Placed): Block[] => {
  const { role } = placed.message;
  if (role === 'function') throw unsupported(placed, `${placed.place}.role`, 'the role function; tool is its successor');
  if (role === 'assistant') return toAssistant(placed);
  return role === 'tool' ? [toToolResult(placed)] : toBlocks(placed);
};

/**
 * Our messages in Claude's words: every system and developer message together, in their order, is the system prompt; the results of tools are
 * said by the user; what one side says in a row is one message.
 * @throws AppError `unsupported_parameter`, `invalid_request`, with `param`, for what has no word there.
 */
export const toClaudeMessages = (model: string, given: ChatMessage[]): ClaudeMessages => {
  const system: string[] = [];
  const turns: { role: 'user' | 'assistant'; content: Block[] }[] = [];
  for (const [at, message] of given.entries()) {
    const placed: Placed = { model, place: `messages.${at}`, message };
    if (message.role === 'system' || message.role === 'developer') {
      const text = instructions(placed);
      if (text !== '') system.push(text);
      continue;
    }
    const role = message.role === 'assistant' ? 'assistant' : 'user';
    const blocks = spoken(placed);
    const last = turns.at(-1);
    if (last?.role === role) last.content.push(...blocks);
    else if (blocks.length > 0) turns.push({ role, content: blocks });
  }
  if (turns.length === 0) throw invalid('messages', `${model} needs a message of the user.`);
  return { ...(system.length > 0 && { system: system.join('\n\n') }), messages: turns };
};
