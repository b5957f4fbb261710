import { runTool } from './tool.mjs';

/** Import boundaries and cycles are rules of biome.json; scripts/test/boundaries.test.ts proves that they can fail. */
const STEPS = /** @type {[string, string, string[]][]} */ ([
  ['Format, lint, import boundaries and cycles', 'biome', ['check', '--error-on-warnings', '.']],
  ['Types', 'tsc', ['-b']],
  ['Dead code', 'knip', []],
]);

/**
 * `npm run check`: stops at the first step that fails.
 * @returns {Promise<number>} the exit code
 */
export const check = async () => {
  for (const [heading, tool, args] of STEPS) {
    console.log(`\n# ${heading}`);
    const code = await runTool(tool, args);
    if (code !== 0) return code;
  }
  return 0;
};
