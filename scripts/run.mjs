/**
 * `node scripts/run.mjs COMMAND [arguments]`: the commands of package.json beside `npm start`. Installs and builds what is missing
 * first, then runs the command and passes its exit code and signals on.
 */
import { resolve } from 'node:path';
import { buildMissing } from './build.mjs';
import { check } from './check.mjs';
import { installMissing } from './install.mjs';
import { findNode, typeScriptFlags } from './node-binary.mjs';
import { PlainError, runStory } from './plain-error.mjs';
import { ensureRedisServer } from './redis.mjs';
import { test } from './test.mjs';
import { runTool } from './tool.mjs';

const TRAINING = 'packages/core/src/triggers/training';

/** @param {string} file @param {string[]} args */
const runTypeScript = (file, args) => runTool(findNode(), [...typeScriptFlags(), file, ...args]);

/**
 * The file names on the command line are the caller's: npm runs us in the root and keeps the caller's folder in INIT_CWD.
 * @param {string[]} files
 */
const fromCaller = (files) => files.map((file) => resolve(process.env['INIT_CWD'] ?? process.cwd(), file));

/** @typedef {(args: string[]) => Promise<number>} Command the exit code */
const COMMANDS = /** @type {Record<string, { apps: boolean, run: Command }>} */ ({
  // `apps`: runs the built apps on a real Redis.
  test: { apps: true, run: test },
  check: { apps: false, run: check },
  bench: { apps: true, run: (args) => runTypeScript('bench/src/main.ts', args) },
  'proof:batch': { apps: true, run: (args) => runTypeScript('e2e/prove-batch.ts', args) },
  'eval:trigger': { apps: false, run: (args) => runTypeScript(`${TRAINING}/evaluate.ts`, fromCaller(args)) },
  'train:trigger': { apps: false, run: (args) => runTypeScript(`${TRAINING}/train.ts`, args) },
  'cv:trigger': { apps: false, run: (args) => runTypeScript(`${TRAINING}/cross-validate.ts`, args) },
});

await runStory(async () => {
  const [name = '', ...args] = process.argv.slice(2);
  const command = COMMANDS[name];
  if (!command) throw new PlainError(`There is no command "${name}". The commands are ${Object.keys(COMMANDS).join(', ')}.`);
  installMissing();
  if (command.apps) {
    buildMissing();
    ensureRedisServer();
  }
  process.exitCode = await command.run(args);
});
