import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { PlainError, say } from './plain-error.mjs';

const SERVERS = ['redis-server', 'valkey-server'];

/** @param {string} path */
const isExecutable = (path) => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/**
 * The Redis (or Valkey) server on PATH.
 * @param {NodeJS.ProcessEnv} env
 * @returns {string | undefined}
 */
export const findRedisServer = (env = process.env) => {
  const folders = (env['PATH'] ?? '').split(delimiter).filter(Boolean);
  return SERVERS.flatMap((server) => folders.map((folder) => join(folder, server))).find(isExecutable);
};

/** The words of `/etc/os-release`, or '' where there is none. */
const readSystem = () => (existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8').toLowerCase() : '');

/** How a Redis server is installed on each system: the first that fits the words of its os-release. */
const RECIPES = /** @type {[RegExp, string][]} */ ([
  [/^id(_like)?=.*\b(debian|ubuntu)\b/m, 'sudo apt-get install redis-server'],
  [/^id=.*\balpine\b/m, 'apk add redis'],
  [/^id(_like)?=.*\b(fedora|rhel|centos)\b/m, 'sudo dnf install valkey'],
  [/^id(_like)?=.*\barch\b/m, 'sudo pacman -S valkey'],
  [/^id(_like)?=.*\bsuse\b/m, 'sudo zypper install redis'],
]);

/**
 * One line that says how to get a Redis server here.
 * @param {string} platform
 * @param {string} system the words of os-release
 */
export const redisAdvice = (platform = process.platform, system = readSystem()) => {
  const recipe = platform === 'darwin' ? 'brew install redis' : RECIPES.find(([words]) => words.test(system))?.[1];
  return `No redis-server or valkey-server was found. Install one${recipe ? ` (${recipe})` : ''} or set REDIS_URL.`;
};

/** Debian's hook that is asked before a package starts a service; 101 means no. */
const SERVICE_POLICY = '/usr/sbin/policy-rc.d';

/**
 * Installs the Debian package without letting it start its service: we run a private server of our own.
 * @throws {PlainError} when apt-get fails
 */
const installWithApt = () => {
  say('Installing redis-server with apt-get…');
  const guarded = !existsSync(SERVICE_POLICY);
  if (guarded) writeFileSync(SERVICE_POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    for (const args of [['update'], ['install', '-y', '--no-install-recommends', 'redis-server']]) {
      const run = spawnSync('apt-get', ['-qq', ...args], { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
      if (run.error || run.status !== 0) throw new PlainError(`${run.stderr ?? ''}apt-get ${args.join(' ')} failed. ${redisAdvice()}`);
    }
  } finally {
    if (guarded) rmSync(SERVICE_POLICY, { force: true });
  }
};

/**
 * The path of a Redis server, installed first when there is none and we may (root on Debian or Ubuntu).
 * @throws {PlainError} that says how to install one here
 */
export const ensureRedisServer = () => {
  const found = findRedisServer();
  if (found) return found;
  const debian = RECIPES[0]?.[0].test(readSystem()) ?? false;
  if (process.getuid?.() === 0 && debian) installWithApt();
  const installed = findRedisServer();
  if (!installed) throw new PlainError(redisAdvice());
  return installed;
};
