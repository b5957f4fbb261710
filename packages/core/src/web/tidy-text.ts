/** What terminals and parsers may take for commands; tab and line feed stay. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: removing them is the point
const CONTROLS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

/**
 * The same text without control characters, broken surrogates and idle white space: lines end in one line feed, at most one empty line
 * between two others. The indents of code stay. Linear, whatever the text is like (a regular expression for the ends of lines is not).
 */
export const tidyText = (text: string): string =>
  text
    .toWellFormed()
    .replace(/\r\n?|[\u2028\u2029]/g, '\n')
    .replace(CONTROLS, '')
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
