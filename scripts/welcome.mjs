import { relative } from 'node:path';
import { ROOT } from './node-binary.mjs';

/** @typedef {import('../packages/core/src/config.ts').Config['providers']} Providers */

/** Quotes a value for a shell. @param {string} value */
const quote = (value) => (/^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`);

/** A path as a person in the root of the repository would write it. @param {string} path */
const shortened = (path) => (relative(ROOT, path).startsWith('..') ? path : relative(ROOT, path));

/**
 * What `npm start` says when all is ready: the URL, the key of this installation, who serves, and one line to try.
 * @param {{ url: string, key: string, keyFile: string | undefined, providers: Providers }} facts `keyFile` is where a generated key is kept
 */
export const welcome = ({ url, key, keyFile, providers }) => {
  const enabled = Object.entries(providers).flatMap(([name, { apiKey }]) => (apiKey === undefined ? [] : [name]));
  const served =
    enabled.length > 0
      ? enabled.join(', ')
      : 'simulated: every answer and picture is made up here. Set OPENAI_API_KEY or GROQ_API_KEY (in .env) for real ones.';
  const headers = [`Authorization: Bearer ${key}`, 'Content-Type: application/json', 'Prefer: wait=30'].map((header) => `-H ${quote(header)}`);
  return `
FANA is ready.

  URL       ${url}
  API key   ${key}${keyFile === undefined ? '' : `  (kept in ${shortened(keyFile)})`}
  Served by ${served}

Try it:

  curl -s ${headers.join(' ')} -d '{"input":"draw a fox in the snow"}' ${quote(`${url}/v1/jobs`)}

Ctrl-C stops everything.
`;
};
