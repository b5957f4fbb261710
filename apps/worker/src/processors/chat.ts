import { buildConversation, NO_PICTURES } from './conversation.ts';
import { readNamedPages } from './named-pages.ts';
import type { Processor } from './processor.ts';
import { callForText } from './text-call.ts';

/** Answers a message with text, having read the pages and documents it names. One that cannot be read is named in `sources`. */
export const processChat: Processor = async (deps, run) => {
  const { blocks, sources } = await readNamedPages(deps, run, 'not_read');
  const result = await callForText(deps, run, await buildConversation(deps, run, { ...NO_PICTURES, blocks }));
  return sources.length > 0 ? { ...result, sources } : result;
};
