import type { Deps } from '@fana/core/deps.ts';
import type { InputMessage, JobRecord } from '@fana/core/jobs/job.ts';
import type { ChatMessage, ChatPart, PictureBytes } from '@fana/core/providers/provider.ts';
import type { ProcessResult, Run } from './processor.ts';

/** The system prompt that applies: the job's, else the key's, else the installation's (the last one given wins). */
const systemPrompt = (deps: Deps, job: JobRecord): string => job.spec.system.text ?? deps.config.systemPrompt;

/** Pictures of the conversation by their place: see `readPictures`. */
export type MessagePictures = Map<string, PictureBytes>;
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

/** The messages of a conversation as providers take them: one system prompt first, then what the client sent. */
export const conversation = (deps: Deps, run: Run, pictures: MessagePictures, extra: PictureBytes[]): ChatMessage[] => {
  const { messages, text } = run.input;
  if (run.job.spec.endpoint && messages) return passedOn(run.job, messages, pictures);
  const system = systemPrompt(deps, run.job);
  const head: ChatMessage[] = system === '' ? [] : [{ role: 'system', content: system }];
  const turns: ChatMessage[] = messages ? messages.map((message, at) => nativeTurn(message, at, pictures)) : [{ role: 'user', content: text }];
  if (extra.length > 0) addPictures(turns, extra, run.job.spec.parameters['detail']);
  return [...head, ...turns];
};

/** Puts pictures behind the text of the last user message. */
const addPictures = (turns: ChatMessage[], pictures: PictureBytes[], detail: unknown): void => {
  const last = turns.findLast(({ role }) => role === 'user');
  if (!last) return;
  const parts: ChatPart[] =
    typeof last.content === 'string' ? (last.content.trim() === '' ? [] : [{ type: 'text', text: last.content }]) : (last.content ?? []);
  const level: { detail?: 'auto' | 'low' | 'high' } = detail === 'low' || detail === 'high' || detail === 'auto' ? { detail } : {};
  last.content = [...parts, ...pictures.map((picture): ChatPart => ({ type: 'image', picture, ...level }))];
};

/** Makes the one call of a chat or vision job, publishing its text as it comes. */
export const callForText = async (deps: Deps, run: Run, messages: ChatMessage[]): Promise<ProcessResult> => {
  const { job } = run;
  // On `/v1/jobs` it is said with each picture, not as a parameter of the call.
  const { detail: _detail, ...native } = job.spec.parameters;
  const isPassedOn = job.spec.endpoint !== undefined;
  const parameters = isPassedOn ? job.spec.parameters : native;
  const { result, target } = await run.call(deps.providers.targets(job.spec.model, job.spec.type === 'vision' ? 'vision' : 'chat'), (to, options) => {
    if (!to.provider.chat) throw new Error(`provider ${to.provider.name} has no chat`);
    return to.provider.chat({ model: to.model, messages, parameters, keepRefusals: isPassedOn }, { ...options, onDelta: run.emit });
  });
  // At least one piece is always published.
  if (result.text === '') run.emit({ index: 0, delta: {} });
  const { text, finishReason, choices, envelope } = result;
  return {
    // What only OpenAI's shape has a place for is kept for the routes that speak it.
    output: { kind: 'text', text, finishReason, ...(isPassedOn && choices && { choices }), ...(isPassedOn && envelope && { envelope }) },
    usage: result.usage,
    servedBy: { provider: target.provider.name, model: result.model },
    warnings: target.warnings,
    costUsd: deps.providers.costUsd(target.provider.name, target.model, result.usage),
  };
};
