import type { Deps } from '@fana/core/deps.ts';
import type { Source } from '@fana/core/jobs/job.ts';
import { contextSize, promptBudget } from '@fana/core/providers/context-size.ts';
import { countTokens } from '@fana/core/sessions/tokens.ts';
import { pagesBlock, type ReadPage, readPages, sourcesOf } from '@fana/core/web/read-pages.ts';
import type { Run } from './processor.ts';

/** Of what a model can take: the rest is for the message, the turns before it and what else was found. */
const SHARE = 0.5;
/** A cut by the share of tokens is a little off: it stays on the safe side. */
const SAFE = 0.95;

/** Cuts the texts of pages to what the smallest model that may serve can take. */
const fitted = async (deps: Deps, { job }: Run, pages: ReadPage[]): Promise<ReadPage[]> => {
  const { model, type, parameters } = job.spec;
  const sizes = deps.providers.targets(model, type === 'vision' ? 'vision' : 'chat').map((target) => contextSize(target.provider.name, target.model));
  const maxTokens = parameters['max_tokens'];
  let left = Math.floor(promptBudget(sizes, typeof maxTokens === 'number' ? maxTokens : undefined) * SHARE);
  const cut: ReadPage[] = [];
  for (const page of pages) {
    const tokens = page.text === undefined ? 0 : await countTokens(page.text);
    const isLong = tokens > left;
    const text = isLong ? page.text?.slice(0, Math.max(0, Math.floor(((page.text.length * left) / tokens) * SAFE))) : page.text;
    left = Math.max(0, left - tokens);
    cut.push({ source: isLong ? { ...page.source, status: 'truncated' } : page.source, ...(text !== undefined && { text }) });
  }
  return cut;
};

/** Reads what a message names: as blocks for the conversation, and its fate for the job. `picture`: what becomes of the pictures it names. */
export const readNamedPages = async (deps: Deps, run: Run, picture: 'read' | 'not_read'): Promise<{ blocks: string[]; sources: Source[] }> => {
  const { tenant, urls } = run.job.spec;
  const read = await readPages(deps, tenant, urls, run.signal);
  const pages = read.some(({ text }) => text !== undefined) ? await fitted(deps, run, read) : read;
  const block = pagesBlock(pages);
  return { blocks: block === undefined ? [] : [block], sources: sourcesOf(urls, pages, picture) };
};
