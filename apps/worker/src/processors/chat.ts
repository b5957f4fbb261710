import type { Source } from '@fana/core/jobs/job.ts';
import { buildConversation, NO_PICTURES } from './conversation.ts';
import type { Processor } from './processor.ts';
import { callForText } from './text-call.ts';

/** Answers a message with text. Addresses named in it are listed, not read (reading pages is not built yet). */
export const processChat: Processor = async (deps, run) => {
  const sources: Source[] = run.job.spec.urls.map(({ url, kind }) => ({ url, kind, status: 'not_read' }));
  const result = await callForText(deps, run, await buildConversation(deps, run, NO_PICTURES));
  return sources.length > 0 ? { ...result, sources } : result;
};
