/**
 * A failure the person at the terminal can do something about: shown as its message alone, without a stack.
 * Everything else that is thrown is a fault of ours and keeps its stack.
 */
export class PlainError extends Error {}

/** Under `npm --silent` only errors and the command's own output are shown. */
const silent = process.env['npm_config_loglevel'] === 'silent';

/**
 * One line about what is being done, on stderr, so that a command's own output stays clean.
 * @param {string} line
 */
export const say = (line) => {
  if (!silent) console.error(line);
};

/**
 * Runs a command's story: ends the process with exit code 1 when it throws.
 * @param {() => Promise<void> | void} story
 */
export const runStory = async (story) => {
  try {
    await story();
  } catch (error) {
    console.error(error instanceof PlainError ? error.message : error);
    process.exit(1);
  }
};
