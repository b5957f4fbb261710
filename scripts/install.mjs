import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BIN, bringsNode, findNode, ROOT } from './node-binary.mjs';
import { PlainError, say } from './plain-error.mjs';

const STAMP = join(ROOT, 'node_modules', '.fana-installed');

/** Folders whose subfolders are workspace packages, beside the single ones. */
const WORKSPACES = ['apps', 'packages'];

/** Every file that says what belongs into node_modules. */
const manifests = () => {
  const packages = WORKSPACES.flatMap((folder) => (existsSync(join(ROOT, folder)) ? readdirSync(join(ROOT, folder)).map((name) => join(folder, name)) : []));
  return ['pnpm-lock.yaml', 'pnpm-workspace.yaml', ...['.', 'bench', 'e2e', 'examples', ...packages].map((folder) => join(folder, 'package.json'))].sort();
};

const wanted = () => {
  const hash = createHash('sha256').update(`${process.platform}-${process.arch}\n`);
  for (const file of manifests()) {
    const path = join(ROOT, file);
    if (existsSync(path)) hash.update(`${file}\n`).update(readFileSync(path));
  }
  return hash.digest('hex');
};

/** Whether node_modules is there and holds what the lockfile says. */
const isInstalled = () => existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wanted() && (!bringsNode() || existsSync(join(BIN, 'node')));

/**
 * pnpm reads `pnpm_config_*` where npm says `npm_config_*`: what was set for npm (a registry mirror, a proxy, a CA) holds for it too.
 * @param {NodeJS.ProcessEnv} env
 * @returns {NodeJS.ProcessEnv}
 */
export const installEnvironment = (env = process.env) => {
  /** @type {NodeJS.ProcessEnv} */
  // CI: nobody is asked anything.
  const result = { ...env, CI: 'true', npm_config_update_notifier: 'false' };
  // npx would hide why it failed.
  delete result['npm_config_loglevel'];
  for (const name of ['registry', 'proxy', 'https_proxy', 'noproxy', 'cafile', 'strict_ssl']) {
    const value = env[`npm_config_${name}`] ?? env[`NPM_CONFIG_${name.toUpperCase()}`];
    if (value) result[`pnpm_config_${name}`] ??= value;
  }
  return result;
};

/** pnpm at the version package.json pins, e.g. `pnpm@12.21.0`. */
const packageManager = () => String(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).packageManager);

/**
 * Installs what is missing; does nothing when node_modules already is what the lockfile says.
 * Quiet but for one line, and the installer's own words when it fails.
 * @throws {PlainError} when the install fails, or this system's Node is too old
 */
export const installMissing = () => {
  findNode();
  if (isInstalled()) return;
  say('Installing…');
  const before = wanted();
  const command = ['npx', '-y', packageManager(), 'install', '--frozen-lockfile', '--config.confirm-modules-purge=false'];
  const run = spawnSync(command[0] ?? '', command.slice(1), { cwd: ROOT, env: installEnvironment(), encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  if (run.error) throw new PlainError(`The install could not be started: ${run.error.message}`);
  if (run.status !== 0) throw new PlainError(`${run.stdout}${run.stderr}\nThe install failed: ${command.join(' ')}`);
  // The programs of the installation start the node beside them: one that cannot run here must not be there.
  if (!bringsNode()) rmSync(join(BIN, 'node'), { force: true });
  writeFileSync(STAMP, before);
};
