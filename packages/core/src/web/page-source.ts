import { unreadable } from './unreadable.ts';

/** Of a page's source. The largest articles of the web have a third of it. */
const MAX_SOURCE_CHARS = 3_000_000;
/** Opening tags. Every element costs the parser some hundred bytes and every reader of the tree some time. */
const MAX_TAGS = 80_000;
/** Of open elements. Readers of the tree look at every ancestor of every element: the work grows with the square of this. */
const MAX_NESTING = 1000;

/** Opened and not closed as a rule: they do not nest. */
const UNCLOSED = new Set(
  'area base br col dd dt embed hr img input li link meta option p param path rect circle source tbody td tfoot th thead tr track wbr'.split(' '),
);

/**
 * The part of a page's source that a parser can be given: linear to find, whatever the page is like.
 * @throws AppError `document_unreadable` for what is nested too deeply.
 */
export const boundedSource = (source: string): { source: string; isCut: boolean } => {
  const limited = source.slice(0, MAX_SOURCE_CHARS);
  let tags = 0;
  let depth = 0;
  for (const match of limited.matchAll(/<(\/?)([a-z][a-z0-9]{0,20})/gi)) {
    if (UNCLOSED.has((match[2] as string).toLowerCase())) tags += match[1] ? 0 : 1;
    else if (match[1]) depth = Math.max(0, depth - 1);
    else {
      tags++;
      depth++;
    }
    if (depth > MAX_NESTING) throw unreadable('too_complex', 'The page is too deeply nested to be read.');
    if (tags > MAX_TAGS) return { source: limited.slice(0, match.index), isCut: true };
  }
  return { source: limited, isCut: limited.length < source.length };
};
