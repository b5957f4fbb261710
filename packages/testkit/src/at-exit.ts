const left = new Set<() => void>();

process.once('exit', () => {
  for (const end of left) end();
});

/**
 * Runs `end` (synchronous) when this process ends, for a test that dies before its own clean-up. One listener serves all.
 * Returns a function that takes it back.
 */
export const atExit = (end: () => void): (() => void) => {
  left.add(end);
  return () => {
    left.delete(end);
  };
};
