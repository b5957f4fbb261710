/** Brackets may be nested this deep. */
export const MAX_NESTING = 64;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Whether an even number of backslashes stands before the quote at `at`: then the quote ends its string. */
const endsString = (text: string, at: number): boolean => {
  let before = at - 1;
  while (text.charCodeAt(before) === BACKSLASH) before--;
  return (at - before) % 2 === 1;
};

/** The index of the quote that ends the string opened at `start`; the text's end when none does. */
const stringEnd = (text: string, start: number): number => {
  let at = text.indexOf('"', start + 1);
  while (at !== -1 && !endsString(text, at)) at = text.indexOf('"', at + 1);
  return at === -1 ? text.length : at;
};

const FIELD_NAME = /^\w{1,64}$/;

/**
 * Whether brackets nest deeper than `max`; then the name of the top-level field in which they do ('body' when it has none).
 * Reads the text once, stops at the first bracket too deep and jumps over strings, so that 100,000 brackets and 10 MB of base64 are cheap.
 */
export const tooDeepField = (text: string, max = MAX_NESTING): string | undefined => {
  let depth = 0;
  let nameStart = 0;
  let nameEnd = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = stringEnd(text, at);
      if (depth === 1) {
        nameStart = at + 1;
        nameEnd = end;
      }
      at = end;
    } else if (code === 0x7b || code === 0x5b) {
      if (++depth > max) {
        const name = text.slice(nameStart, nameEnd);
        return FIELD_NAME.test(name) ? name : 'body';
      }
    } else if (code === 0x7d || code === 0x5d) depth--;
  }
  return undefined;
};
