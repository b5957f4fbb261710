import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { lexer, type Token } from 'marked';
import { AppError } from '../errors.ts';
import { type Chunk, MAX_CHUNKS } from './collection.ts';

/** Tokens (o200k) of a chunk: small enough that five of them are a small part of any window, large enough to be understood alone. */
const MAX_TOKENS = 320;
/** A section that is shorter than this does not get a chunk of its own: the next one joins it. */
const MIN_TOKENS = 60;
/** The end of a chunk that the next one of the same section begins with. */
const OVERLAP_TOKENS = 40;

/** A piece that is not cut: `before` is what separates it from the piece before it. */
type Piece = { text: string; tokens: number; before: string };

const NO_SPECIAL = { disallowedSpecial: new Set<string>() };

/** The tokenizer's time grows with the square of a word: one that is longer than any real one is counted in parts. */
const tokensIn = (text: string): number => countTokens(text.replace(/\S{200}(?=\S)/g, '$& ').replace(/\s{40,}/g, ' '.repeat(40)), NO_SPECIAL);

const sentences = new Intl.Segmenter(undefined, { granularity: 'sentence' });

/** Cuts a text that no sentence ends in time, between characters. */
const hardCut = (text: string): string[] => {
  const parts: string[] = [];
  for (let at = 0; at < text.length; ) {
    let end = Math.min(text.length, at + 2 * MAX_TOKENS);
    const space = end < text.length ? text.lastIndexOf(' ', end) : -1;
    if (space > at + MAX_TOKENS) end = space + 1;
    else if (end < text.length && (text.charCodeAt(end) & 0xfc00) === 0xdc00) end--;
    parts.push(text.slice(at, end));
    at = end;
  }
  return parts;
};

const pieceOf = (text: string, before: string): Piece => ({ text, tokens: tokensIn(text), before });

/** Pieces of running text: its sentences. */
const cutText = (text: string): Piece[] => {
  const parts = Array.from(sentences.segment(text), ({ segment }) => segment);
  return parts.flatMap((sentence, at) => {
    const piece = pieceOf(sentence.trimEnd(), at === 0 ? '\n\n' : (/\s+$/.exec(parts[at - 1] ?? '')?.[0] ?? ''));
    if (piece.tokens <= MAX_TOKENS) return piece.text === '' ? [] : [piece];
    return hardCut(sentence).map((part, partAt) => pieceOf(part, partAt === 0 ? piece.before : ''));
  });
};

/** Lines in groups that fit, each between `head` and `foot`: a table keeps its header, code its fence. */
const cutLines = (lines: string[], head: string, foot: string): Piece[] => {
  const around = tokensIn(head) + tokensIn(foot);
  const pieces: Piece[] = [];
  let group: string[] = [];
  let tokens = around;
  const flush = (): void => {
    if (group.length > 0) pieces.push(pieceOf(`${head}${group.join('\n')}${foot}`, '\n\n'));
    group = [];
    tokens = around;
  };
  for (const line of lines.flatMap((given) => (given.length > 4 * MAX_TOKENS ? hardCut(given) : [given]))) {
    const added = tokensIn(line) + 1;
    if (tokens + added > MAX_TOKENS) flush();
    group.push(line);
    tokens += added;
  }
  flush();
  return pieces;
};

const cutCode = (raw: string): Piece[] => {
  const [fence = ''] = /^\s*(?:`{3,}|~{3,})[^\n]*\n/.exec(raw) ?? [];
  const close = fence === '' ? '' : `\n${/(?:`{3,}|~{3,})/.exec(fence)?.[0] ?? ''}`;
  const inner = raw.slice(fence.length).replace(/\n\s*(?:`{3,}|~{3,})\s*$/, '');
  return cutLines(inner.split('\n'), fence, close);
};

const cutTable = (raw: string): Piece[] => {
  const [names = '', rule = '', ...rows] = raw.trimEnd().split('\n');
  const head = `${names}\n${rule}\n`;
  return tokensIn(head) < MAX_TOKENS / 2 ? cutLines(rows, head, '') : cutText(raw);
};

/** The pieces of one block of Markdown. */
const cutBlock = ({ type, raw }: Token): Piece[] => {
  const text = raw.trim();
  if (text === '') return [];
  const whole = pieceOf(text, '\n\n');
  if (whole.tokens <= MAX_TOKENS) return [whole];
  if (type === 'code') return cutCode(raw);
  if (type === 'table') return cutTable(raw);
  if (type === 'list') return cutLines(text.split('\n'), '', '');
  return cutText(text);
};

/** The blocks of a text; what the parser cannot read (too deep) is taken by its blank lines. */
const blocksOf = (text: string): Token[] => {
  try {
    return lexer(text);
  } catch {
    return text.split(/\n\s*\n/).map((raw): Token => ({ type: 'paragraph', raw, text: raw, tokens: [] }));
  }
};

/** The last pieces of a chunk that fit into the overlap. */
const tailOf = (pieces: Piece[]): Piece[] => {
  let tokens = 0;
  const from = pieces.findLastIndex((piece) => {
    tokens += piece.tokens;
    return tokens > OVERLAP_TOKENS;
  });
  return pieces.slice(from + 1);
};

const textOf = (pieces: Piece[]): string => pieces.map(({ text, before }, at) => (at === 0 ? text : before + text)).join('');

/** Gathers pieces into chunks under the headings they stand under. */
const createGatherer = () => {
  const chunks: Chunk[] = [];
  let headings: { depth: number; title: string }[] = [];
  let path: string[] = [];
  let chunkPath: string[] = [];
  let pieces: Piece[] = [];
  let fresh = 0;
  const tokens = (): number => pieces.reduce((sum, piece) => sum + piece.tokens, 0);

  const flush = (overlap: boolean): void => {
    // What is only the end of the chunk before is no chunk.
    if (fresh > 0) chunks.push({ text: textOf(pieces), path: chunkPath });
    if (chunks.length > MAX_CHUNKS) throw new AppError('document_too_large', `The document has more than ${MAX_CHUNKS} pieces of text.`);
    pieces = overlap && fresh > 0 ? tailOf(pieces) : [];
    fresh = 0;
    chunkPath = path;
  };
  return {
    chunks,
    add(piece: Piece) {
      if (fresh > 0 && tokens() + piece.tokens > MAX_TOKENS) flush(true);
      // The overlap gives way to a piece that leaves it no place.
      if (tokens() + piece.tokens > MAX_TOKENS) pieces = [];
      pieces.push(piece);
      fresh++;
    },
    heading(depth: number, title: string, raw: string) {
      headings = [...headings.filter((above) => above.depth < depth), { depth, title }];
      path = headings.map((heading) => heading.title);
      if (tokens() >= MIN_TOKENS) flush(false);
      if (fresh === 0) {
        pieces = [];
        chunkPath = path;
      } else {
        pieces.push(pieceOf(raw.trim(), '\n\n'));
      }
    },
    end() {
      flush(false);
    },
  };
};

/** What a document is called by itself (its first heading of the first level), and its chunks in their order. */
export type ChunkedText = { title: string | null; chunks: Chunk[] };

/**
 * Cuts a text along its structure (Markdown: headings, paragraphs, lists, tables, code). Headings are kept as the path of the chunks under
 * them. The same text always gives the same chunks. @throws AppError `document_too_large`.
 */
export const chunkText = (text: string): ChunkedText => {
  const gatherer = createGatherer();
  let title: string | null = null;
  for (const block of blocksOf(text)) {
    if (block.type === 'heading') {
      const name = String(block['text']).trim().slice(0, 200);
      if (block['depth'] === 1) title ??= name;
      gatherer.heading(Number(block['depth']), name, block.raw);
      continue;
    }
    for (const piece of cutBlock(block)) gatherer.add(piece);
  }
  gatherer.end();
  // A document may be headings alone: they are its text then.
  if (gatherer.chunks.length === 0) {
    for (const piece of cutText(text.trim())) gatherer.add(piece);
    gatherer.end();
  }
  return { title, chunks: gatherer.chunks };
};
