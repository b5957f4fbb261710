import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import util from 'node:util';
import { ROOT } from './node-binary.mjs';
import { PlainError } from './plain-error.mjs';

/**
 * The environment with the settings of an `.env` file added; what is set already wins, as with `process.loadEnvFile`.
 * @param {string} path
 * @param {NodeJS.ProcessEnv} env
 * @returns {NodeJS.ProcessEnv}
 * @throws {PlainError} when there is a file and this Node cannot read it
 */
export const withEnvFile = (path, env) => {
  if (!existsSync(path)) return { ...env };
  if (typeof util.parseEnv !== 'function')
    throw new PlainError(`Node ${process.versions.node} cannot read .env files: use Node 20.12 or newer, or set the variables yourself.`);
  return { ...util.parseEnv(readFileSync(path, 'utf8')), ...env };
};

/**
 * The settings as the product itself reads them; placeholders stand for what is generated later.
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<import('../packages/core/src/config.ts').Config>}
 * @throws {PlainError} naming every bad setting, before anything listens
 */
export const readSettings = async (env) => {
  /** @type {typeof import('../packages/core/src/config.ts')} */
  const { ConfigError, loadConfig } = await import(join(ROOT, 'apps', 'api', 'dist', 'config.mjs'));
  try {
    const placeholder = 'generated-by-npm-start-0123456789';
    return loadConfig({
      ...env,
      REDIS_URL: env['REDIS_URL'] || 'redis://127.0.0.1',
      FANA_ADMIN_KEY: env['FANA_ADMIN_KEY'] || placeholder,
      FANA_SIGNING_SECRET: env['FANA_SIGNING_SECRET'] || placeholder,
    });
  } catch (error) {
    throw error instanceof ConfigError ? new PlainError(error.message) : error;
  }
};
