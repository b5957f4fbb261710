import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { BIN, ROOT, withBin } from './node-binary.mjs';
import { PlainError, say } from './plain-error.mjs';

const APPS = ['api', 'worker'];

/** What every bundle is made of, beside the app's own folder. */
const SHARED = ['packages/core/src', 'packages/core/package.json', 'pnpm-lock.yaml', 'rolldown.config.ts', 'tsconfig.base.json'];

/** Not part of a bundle. */
const IGNORED = /(^|\/)training$|\.test\.ts$/;

/**
 * The newest change under `path`, in unix milliseconds. A folder counts too: its time changes when a file is removed.
 * @param {string} path
 * @returns {number}
 */
const newestChange = (path) => {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  const entries = readdirSync(path).map((name) => join(path, name));
  return Math.max(stat.mtimeMs, ...entries.filter((entry) => !IGNORED.test(entry)).map(newestChange));
};

/** @param {string} app */
const bundleOf = (app) => join(ROOT, 'apps', app, 'dist', 'main.mjs');

/** Whether every bundle is newer than all it is made of. */
const isBuilt = () => {
  const shared = Math.max(...SHARED.map((path) => newestChange(join(ROOT, path))));
  return APPS.every((app) => {
    if (!existsSync(bundleOf(app))) return false;
    const own = Math.max(newestChange(join(ROOT, 'apps', app, 'src')), newestChange(join(ROOT, 'apps', app, 'package.json')));
    return statSync(bundleOf(app)).mtimeMs >= Math.max(shared, own);
  });
};

/**
 * Builds the apps when a source is newer than its bundle. Quiet but for one line, and the builder's own words when it fails.
 * @throws {PlainError} when the build fails
 */
export const buildMissing = () => {
  if (isBuilt()) return;
  say('Building…');
  const startedAt = new Date();
  const env = { ...withBin(), TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1', TURBO_NO_UPDATE_NOTIFIER: '1' };
  const args = ['run', 'build', '--ui=stream', '--output-logs=errors-only'];
  const run = spawnSync(join(BIN, 'turbo'), args, { cwd: ROOT, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  if (run.error) throw new PlainError(`The build could not be started: ${run.error.message}`);
  if (run.status !== 0) throw new PlainError(`${run.stdout}${run.stderr}\nThe build failed.`);
  // A bundle restored from turbo's cache keeps an old time: it is as new as this moment's sources.
  for (const app of APPS) utimesSync(bundleOf(app), startedAt, startedAt);
};
