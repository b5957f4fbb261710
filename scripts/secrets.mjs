import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PlainError } from './plain-error.mjs';

/** @param {unknown} error @param {string} code */
const hasCode = (error, code) => error instanceof Error && 'code' in error && error.code === code;

/**
 * Makes a folder that only its owner can read; one that is there already is left as it is.
 * @param {string} path
 */
export const ensureFolder = (path) => {
  mkdirSync(path, { recursive: true, mode: 0o700 });
};

/**
 * The secret of this installation kept in `folder/name`, made by `create` when there is none yet. The file can be read by its owner alone.
 * @param {string} folder
 * @param {string} name
 * @param {() => string} create
 * @throws {PlainError} when the file is empty
 */
export const keptSecret = (folder, name, create) => {
  ensureFolder(folder);
  chmodSync(folder, 0o700);
  const path = join(folder, name);
  try {
    // Fails when the file is there, so that two starts at once end up with the same secret.
    writeFileSync(path, `${create()}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    chmodSync(path, 0o600);
  }
  const secret = readFileSync(path, 'utf8').trim();
  if (secret === '') throw new PlainError(`${path} is empty. Remove it, and the next start makes a new one.`);
  return secret;
};

/** A new key for an API: the form of every key of ours, 240 random bits. */
export const newKey = () => `fana_${randomBytes(30).toString('base64url')}`;

/** A new secret: 256 random bits that may stand in a URL or a configuration file as they are. */
export const newSecret = () => randomBytes(32).toString('hex');
