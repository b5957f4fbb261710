import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTool } from './tool.mjs';

/**
 * @typedef {{ status: string, assertionResults: { status: string }[] }} TestFile
 * @typedef {{ numPassedTests: number, numFailedTests: number, numPendingTests: number, numTodoTests: number, testResults: TestFile[] }} Report
 */

/**
 * The real totals of a run. A file that broke before its tests could run counts as one failure: its tests are not in the report.
 * @param {Report | undefined} report
 */
export const totals = (report) => {
  if (!report) return { passed: 0, failed: 0, skipped: 0 };
  const broken = report.testResults.filter((file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'));
  return { passed: report.numPassedTests, failed: report.numFailedTests + broken.length, skipped: report.numPendingTests + report.numTodoTests };
};

/**
 * The closing line, e.g. `812 passed, 0 failed`.
 * @param {{ passed: number, failed: number, skipped: number }} counts
 */
export const closingLine = ({ passed, failed, skipped }) => `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;

/**
 * `npm test`: every test, and the totals as the last line. A run without any test has failed.
 * @param {string[]} args for vitest: names of test files
 * @returns {Promise<number>} the exit code
 */
export const test = async (args) => {
  const folder = mkdtempSync(join(tmpdir(), 'fana-test-'));
  const file = join(folder, 'report.json');
  // Whatever a test leaves in the temporary folder, because it was killed or forgot it, goes with ours.
  const code = await runTool('vitest', ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`, ...args], { TMPDIR: folder });
  const counts = totals(existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  if (code !== 0 && counts.failed === 0) console.log(`The test run broke (exit code ${code}) although no test failed: see above.`);
  console.log(closingLine(counts));
  return code !== 0 ? code : counts.failed > 0 || counts.passed === 0 ? 1 : 0;
};
