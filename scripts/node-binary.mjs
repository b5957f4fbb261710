import { existsSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PlainError } from './plain-error.mjs';

/** The root of the repository. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** The programs of the installation. */
export const BIN = join(ROOT, 'node_modules', '.bin');

/** The ELF interpreter of the Node that the install brings: without it (musl, NixOS) that Node cannot run. */
const INTERPRETERS = /** @type {Record<string, string>} */ ({
  'linux-x64': '/lib64/ld-linux-x86-64.so.2',
  'linux-arm64': '/lib/ld-linux-aarch64.so.1',
});

const OLDEST_MAJOR = 22;

/** @typedef {{ platform: string, arch: string, version: string, exists: (path: string) => boolean }} System */

/** @type {System} */
const here = { platform: process.platform, arch: process.arch, version: process.versions.node, exists: existsSync };

/**
 * Whether the Node that comes with the install runs on this system.
 * @param {System} system
 */
export const bringsNode = (system = here) => {
  const interpreter = INTERPRETERS[`${system.platform}-${system.arch}`];
  return interpreter !== undefined && system.exists(interpreter);
};

/**
 * The Node that runs FANA: the one of the install where that runs, else the running one.
 * It may not be there yet before the install.
 * @param {System} system
 * @throws {PlainError} when the running Node would have to do and is too old
 */
export const findNode = (system = here) => {
  if (bringsNode(system)) return join(BIN, 'node');
  if (Number.parseInt(system.version, 10) >= OLDEST_MAJOR) return process.execPath;
  throw new PlainError(`On this system FANA runs on your own Node, which must be ${OLDEST_MAJOR} or newer; this is Node ${system.version}.`);
};

/**
 * What a `.ts` file needs on the command line to run on the Node of `findNode`: Node 22 strips types only when told to.
 * @param {System} system
 */
export const typeScriptFlags = (system = here) =>
  !bringsNode(system) && system.version.startsWith('22.') ? ['--experimental-strip-types', '--disable-warning=ExperimentalWarning'] : [];

/**
 * The environment for programs of the installation: they and the right Node come first on PATH.
 * @param {NodeJS.ProcessEnv} env
 * @returns {NodeJS.ProcessEnv}
 */
export const withBin = (env = process.env) => ({ ...env, PATH: [BIN, dirname(findNode()), env['PATH']].filter(Boolean).join(delimiter) });
