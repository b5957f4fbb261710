import type { Source } from '@fana/core/jobs/job.ts';
import type { Processor } from './processor.ts';
import { callForText, conversation } from './text-call.ts';

/** Answers a message with text. Addresses named in it are listed, not read (reading pages is not built yet). */
export const processChat: Processor = async (deps, run) => {
  const sources: Source[] = run.job.spec.urls.map(({ url, kind }) => ({ url, kind, status: 'not_read' }));
  const result = await callForText(deps, run, conversation(deps, run, new Map(), []));
  return sources.length > 0 ? { ...result, sources } : result;
};
