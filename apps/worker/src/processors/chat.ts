import { buildConversation, NO_PICTURES } from './conversation.ts';
import { readNamedPages } from './named-pages.ts';
import type { Processor } from './processor.ts';
import { cited, retrieve } from './retrieve.ts';
import { callForText } from './text-call.ts';

/** Answers a message with text, having read the pages and documents it names. One that cannot be read is named in `sources`. */
export const processChat: Processor = async (deps, run) => {
  const found = await retrieve(deps, run);
  const { blocks, sources } = await readNamedPages(deps, run, 'not_read');
  const context = [...(found.block === undefined ? [] : [found.block]), ...blocks];
  const result = cited(await callForText(deps, run, await buildConversation(deps, run, { ...NO_PICTURES, blocks: context })), found);
  return sources.length > 0 ? { ...result, sources } : result;
};
