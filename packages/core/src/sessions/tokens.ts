import { setImmediate as nextTurn } from 'node:timers/promises';

type Counter = (text: string) => number;

/** A slice is counted in about 5 ms; between two of them the loop of the process is free for others. */
const SLICE_CHARS = 8192;
/** The tokenizer's time grows with the square of the length of a word: a word (or gap) longer than this is cut, which adds a token at most. */
const RUN_CHARS = 100;
/** Of a longer text this much is counted, spread evenly, and the rest taken to be alike: it is longer than most windows anyway. */
const COUNTED_CHARS = 200_000;

const LONG_RUN = new RegExp(`\\S{${RUN_CHARS + 1}}|\\s{${RUN_CHARS + 1}}`);
const SHORT_RUNS = new RegExp(`\\s{0,${RUN_CHARS}}\\S{1,${RUN_CHARS}}|\\s{1,${RUN_CHARS}}`, 'g');

let loading: Promise<Counter> | undefined;

/** OpenAI's o200k: 2.4 MB of ranks, 0.2 s and 65 MB once they are loaded, so they are loaded at the first text. */
const loadCounter = async (): Promise<Counter> => {
  const { countTokens: count } = await import('gpt-tokenizer/encoding/o200k_base');
  // A text that spells a control token is text all the same.
  const disallowedSpecial = new Set<string>();
  return (text) => count(text, { disallowedSpecial });
};

const countSlice = (count: Counter, slice: string): number =>
  LONG_RUN.test(slice) ? (slice.match(SHORT_RUNS) ?? []).reduce((sum, run) => sum + count(run), 0) : count(slice);

/** The end of the slice that begins at `from`: after a space, if there is one near. */
const sliceEnd = (text: string, from: number): number => {
  const to = from + SLICE_CHARS;
  if (to >= text.length) return text.length;
  const space = text.lastIndexOf(' ', to);
  return space > to - RUN_CHARS ? space : to;
};

/** How many tokens of o200k a text has: what OpenAI's models and gpt-oss count. Other models: see providers/context-size.ts. */
export const countTokens = async (text: string): Promise<number> => {
  if (text === '') return 0;
  loading ??= loadCounter();
  const count = await loading;
  const share = Math.min(1, COUNTED_CHARS / text.length);
  let tokens = 0;
  let counted = 0;
  for (let from = 0; from < text.length; ) {
    const to = sliceEnd(text, from);
    if (counted < share * to) {
      tokens += countSlice(count, text.slice(from, to));
      counted += to - from;
      if (to < text.length) await nextTurn();
    }
    from = to;
  }
  return Math.ceil((tokens * text.length) / counted);
};

/** What a message adds to its text: role and marks (OpenAI's cookbook says 3 to 4). */
export const MESSAGE_TOKENS = 4;

/** A picture whose size nobody knows is taken to be a large one. */
const LARGE_PICTURE_TOKENS = 1600;
const PATCH_PIXELS = 32;

/** What a picture takes: one token for a patch of 32 × 32 pixels, at most 1,600, which no provider's rule exceeds by much; 85 in low detail. */
export const pictureTokens = (size: { width?: number; height?: number }, detail?: unknown): number => {
  if (detail === 'low') return 85;
  if (size.width === undefined || size.height === undefined) return LARGE_PICTURE_TOKENS;
  return Math.min(LARGE_PICTURE_TOKENS, 85 + Math.ceil(size.width / PATCH_PIXELS) * Math.ceil(size.height / PATCH_PIXELS));
};
