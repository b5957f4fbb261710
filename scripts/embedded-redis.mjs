import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PlainError, say } from './plain-error.mjs';
import { freePort } from './ports.mjs';
import { ensureFolder, keptSecret, newSecret } from './secrets.mjs';

const HOST = '127.0.0.1';

/** A big append-only file takes its time; after this long something is wrong. */
const LOAD_TIMEOUT_MS = 120_000;
const PATIENCE_MS = 5000;

/**
 * The settings of the embedded server. The password stands here, not on the command line that everyone can read.
 * Job records with their short texts stay in Redis' compact form up to 8,192 bytes a field; the older name of that setting is known to every version.
 * @param {{ port: number, folder: string, password: string }} server
 */
const settings = ({ port, folder, password }) => `bind ${HOST}
port ${port}
requirepass ${password}
dir ${JSON.stringify(folder)}
daemonize no
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
hash-max-ziplist-value 8192
loglevel warning
`;

/**
 * Whether the server answers PING with that password. One that is still loading its data does not.
 * @param {number} port
 * @param {string} password
 * @returns {Promise<boolean>}
 */
const answers = (port, password) =>
  new Promise((resolve) => {
    const socket = connect(port, HOST);
    let reply = '';
    /** @param {boolean} result */
    const end = (result) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(1000, () => end(false));
    socket.once('error', () => end(false));
    socket.once('connect', () => socket.write(`AUTH ${password}\r\nPING\r\n`));
    socket.on('data', (data) => {
      reply += data.toString('latin1');
      if (reply.includes('+PONG')) end(true);
      else if (/^-/m.test(reply)) end(false);
    });
  });

/** @param {string} path */
const lastLines = (path) => (existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n').slice(-5).join('\n') : '');

/**
 * Prepares a private Redis server with its data in `dataDir/redis`: its URL, how to start it, and how to wait for it.
 * @param {{ server: string, dataDir: string, secrets: string }} options `server` is the program, `secrets` the folder of kept secrets
 */
export const prepareRedis = async ({ server, dataDir, secrets }) => {
  const folder = join(dataDir, 'redis');
  const log = join(folder, 'redis.log');
  const password = keptSecret(secrets, 'redis-password', newSecret);
  const port = await freePort();
  ensureFolder(folder);
  writeFileSync(join(folder, 'redis.conf'), settings({ port, folder, password }), { mode: 0o600 });
  return {
    url: `redis://:${password}@${HOST}:${port}`,
    /** Its own process group: a Ctrl-C at the terminal must not reach it, because it stops last. */
    start() {
      const output = openSync(log, 'a', 0o600);
      const child = spawn(server, [join(folder, 'redis.conf')], { cwd: folder, detached: true, stdio: ['ignore', output, output] });
      closeSync(output);
      return child;
    },
    /** @throws {PlainError} with the server's own words when it does not answer in time */
    async waitUntilReady() {
      const startedAt = Date.now();
      let patient = false;
      while (!(await answers(port, password))) {
        const waitedMs = Date.now() - startedAt;
        if (waitedMs > LOAD_TIMEOUT_MS) throw new PlainError(`Redis did not get ready within ${LOAD_TIMEOUT_MS / 1000} s:\n${lastLines(log)}`);
        if (!patient && waitedMs > PATIENCE_MS) {
          patient = true;
          say('Waiting for Redis to load its data…');
        }
        await sleep(20);
      }
    },
    /** What the server said last, for a message about its end. */
    lastWords: () => lastLines(log),
  };
};
