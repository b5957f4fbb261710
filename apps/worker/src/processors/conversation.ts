import type { Deps } from '@fana/core/deps.ts';
import type { InputMessage, JobRecord } from '@fana/core/jobs/job.ts';
import { contextSize, promptBudget } from '@fana/core/providers/context-size.ts';
import type { ChatMessage, ChatPart } from '@fana/core/providers/provider.ts';
import { languageInstruction } from '@fana/core/sessions/spoken.ts';
import { countTokens, MESSAGE_TOKENS, pictureTokens } from '@fana/core/sessions/tokens.ts';
import { buildWindow, type Window } from '@fana/core/sessions/window.ts';
import type { ReadPicture } from '@fana/core/web/read-picture.ts';
import type { Run } from './processor.ts';

/** Pictures of the conversation by their place: see `readPictures`. */
export type MessagePictures = Map<string, ReadPicture>;
/** The place of a picture: number of the message, number of the part in it. */
export const pictureKey = (message: number, part: number): string => `${message}.${part}`;

const toParts = (content: InputMessage['content'], at: number, pictures: MessagePictures): ChatMessage['content'] => {
  if (content === null || typeof content === 'string') return content;
  return content.flatMap((part, partAt): ChatPart[] => {
    if (part.type !== 'image') return [part];
    const picture = pictures.get(pictureKey(at, partAt));
    return picture ? [{ type: 'image', picture, ...(part.detail && { detail: part.detail }) }] : [];
  });
};

/** Only users show pictures: of everybody else the text is taken. */
const textOf = (content: ChatMessage['content']): string =>
  Array.isArray(content) ? content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n') : (content ?? '');

const nativeTurn = ({ role, content }: InputMessage, at: number, pictures: MessagePictures): ChatMessage => {
  const parts = toParts(content, at, pictures);
  return { role: role === 'developer' ? 'system' : role, content: role === 'user' ? parts : textOf(parts) };
};

/** The messages of a compatible request, as they came. The key's system prompt goes before them if they bring none of their own. */
const passedOn = (job: JobRecord, messages: InputMessage[], pictures: MessagePictures): ChatMessage[] => {
  const { source, text } = job.spec.system;
  const isInstructed = messages.some(({ role }) => role === 'system' || role === 'developer');
  const head: ChatMessage[] = source === 'key' && text !== undefined && !isInstructed ? [{ role: 'system', content: text }] : [];
  return [...head, ...messages.map(({ content, ...message }, at): ChatMessage => ({ ...message, content: toParts(content, at, pictures) }))];
};

/**
 * What goes into a conversation beside its messages: the pictures inside them by their place, those that go behind the last one (`extra`), the
 * ids of blobs that are shown that way (`known`), and blocks of text that were found for it (retrieved chunks, read pages), in their order.
 */
export type Context = { inMessages: MessagePictures; extra: ReadPicture[]; known: ReadonlySet<string>; blocks?: string[] };
/** The context of a conversation without pictures. */
export const NO_PICTURES: Context = { inMessages: new Map(), extra: [], known: new Set() };

/** A conversation as providers take it, and what was left out of it. */
export type Conversation = { messages: ChatMessage[]; warnings: string[] };

/** The system prompt that applies (the last one given wins: installation, key, session, job), and in which language to answer. */
const systemText = (deps: Deps, { job, session }: Run): string => {
  const instruction = languageInstruction({ set: job.spec.language, spoken: session?.spoken });
  return [job.spec.system.text ?? deps.config.systemPrompt, instruction].filter((text) => text !== '').join('\n\n');
};

const NO_WINDOW: Window = { messages: [], carried: [], warnings: [] };

/** The turns before this one that fit what the model can take beside `fixed`: what is said in any case. */
const windowOf = async (deps: Deps, run: Run, fixed: string[], { inMessages, extra, known }: Context): Promise<Window> => {
  const { job, session, signal } = run;
  if (!session || session.turn <= 1) return NO_WINDOW;
  const { spec } = job;
  const sizes = deps.providers.targets(spec.model, spec.type === 'vision' ? 'vision' : 'chat').map(({ provider, model }) => contextSize(provider.name, model));
  const maxTokens = spec.parameters['max_tokens'];
  let said = session.messageTokens;
  for (const text of fixed) said += (await countTokens(text)) + MESSAGE_TOKENS;
  for (const picture of [...inMessages.values(), ...extra]) said += pictureTokens(picture, spec.parameters['detail']);
  return buildWindow(deps, {
    sessionId: session.id,
    beforeTurn: session.turn,
    budget: promptBudget(sizes, typeof maxTokens === 'number' ? maxTokens : undefined) - said - MESSAGE_TOKENS,
    withPictures: spec.type === 'vision',
    tenant: spec.tenant,
    known,
    signal,
  });
};

/** Every text of a list of messages but the last user's, which the run has counted already. */
const otherTexts = (messages: InputMessage[] | undefined): string[] => {
  const last = messages?.findLast(({ role }) => role === 'user');
  return (messages ?? []).flatMap((message) => {
    if (message === last || message.content === null) return [];
    return typeof message.content === 'string' ? [message.content] : message.content.flatMap((part) => (part.type === 'text' ? [part.text] : []));
  });
};

/**
 * The messages of a conversation, in the order they are built: the system prompt, the turns of the session that fit, then what the client sent,
 * before whose last message stand the blocks that were found for it. The system prompt and the blocks always go in; turns take what is left.
 */
export const buildConversation = async (deps: Deps, run: Run, context: Context): Promise<Conversation> => {
  const { messages, text } = run.input;
  const { inMessages, extra, blocks = [] } = context;
  if (run.job.spec.endpoint && messages) return { messages: passedOn(run.job, messages, inMessages), warnings: [] };
  const system = systemText(deps, run);
  const head: ChatMessage[] = system === '' ? [] : [{ role: 'system', content: system }];
  const said: ChatMessage[] = messages ? messages.map((message, at) => nativeTurn(message, at, inMessages)) : [{ role: 'user', content: text }];
  if (extra.length > 0) addPictures(said, extra, run.job.spec.parameters['detail']);
  const window = await windowOf(deps, run, [system, ...blocks, ...otherTexts(messages)], context);
  const before: ChatPart[] = [...window.carried, ...blocks.map((block): ChatPart => ({ type: 'text', text: block }))];
  if (before.length > 0) addBefore(said, before);
  return { messages: [...head, ...window.messages, ...said], warnings: window.warnings };
};

/** Puts parts before the text of the last user message. Texts alone stay one text: some servers take nothing else. */
const addBefore = (said: ChatMessage[], parts: ChatPart[]): void => {
  const last = said.findLast(({ role }) => role === 'user');
  if (!last) return;
  const all = [...parts, ...partsOf(last)];
  const texts = all.flatMap((part) => (part.type === 'text' ? [part.text] : []));
  last.content = texts.length === all.length ? texts.join('\n\n') : all;
};

const partsOf = ({ content }: ChatMessage): ChatPart[] => {
  if (typeof content !== 'string') return content ?? [];
  return content.trim() === '' ? [] : [{ type: 'text', text: content }];
};

/** Puts pictures behind the text of the last user message. */
const addPictures = (turns: ChatMessage[], pictures: ReadPicture[], detail: unknown): void => {
  const last = turns.findLast(({ role }) => role === 'user');
  if (!last) return;
  const level: { detail?: 'auto' | 'low' | 'high' } = detail === 'low' || detail === 'high' || detail === 'auto' ? { detail } : {};
  last.content = [...partsOf(last), ...pictures.map((picture): ChatPart => ({ type: 'image', picture, ...level }))];
};
