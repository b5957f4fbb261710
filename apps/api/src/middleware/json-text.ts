// What JSON.parse says without quoting the text: "Expected ',' or '}' after property value in JSON at position 13 (line 1 column 14)".
const PLACED = /^(.+?) (?:in|after) JSON at position \d+(?: \((line \d+ column \d+)\))?$/;

/** Says what is wrong with a text that is no JSON, and where if that is known, without repeating any of it. */
export const jsonProblem = (error: unknown): string => {
  const message = error instanceof Error ? error.message : '';
  if (message.startsWith('Unexpected end')) return 'it ends too early';
  const placed = PLACED.exec(message);
  // `Unexpected token 'x'` repeats a character of the text.
  if (!placed?.[1] || /token/i.test(placed[1])) return 'there is a character where none of its kind may stand';
  const problem = placed[1].charAt(0).toLowerCase() + placed[1].slice(1);
  return placed[2] === undefined ? problem : `${problem} at ${placed[2]}`;
};
