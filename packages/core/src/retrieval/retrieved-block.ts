import type { Citation } from '../jobs/job.ts';
import { countTokens } from '../sessions/tokens.ts';
import { untrustedBlock } from '../web/untrusted-block.ts';
import type { Match } from './collection.ts';

/** Of all chunks that go into one prompt. */
const MAX_TOKENS = 4000;
const MAX_CHARS = 8 * MAX_TOKENS;

/** What a model is given of a search, and what of it the answer may cite. No block: nothing was found. */
export type Retrieved = { block?: string; citations: Citation[] };

/** Chunks as one marked block of a prompt, the best first, as far as the cap allows: text from documents is material, never an instruction. */
export const retrievedBlock = async (matches: Match[]): Promise<Retrieved> => {
  const kept: Match[] = [];
  let tokens = 0;
  for (const match of matches) {
    tokens += await countTokens(match.text);
    if (tokens > MAX_TOKENS) break;
    kept.push(match);
  }
  if (kept.length === 0) return { citations: [] };
  const texts = kept.map(({ documentId, chunk, url, title, path, text }) => ({
    source: url ?? `${documentId} ${chunk}`,
    title: [...new Set([title, ...path])].filter(Boolean).join(' / '),
    text,
  }));
  const { rule, block } = untrustedBlock(texts, { maxChars: MAX_CHARS });
  return {
    block: `Passages from documents that may answer the message.\n${rule}\n\n${block}`,
    citations: kept.map(({ documentId, chunk, title, url, score }) => ({ documentId, chunk, title, url, score })),
  };
};
