/**
 * `npm start`: install, build, settings, secrets, Redis, then the API and a worker as processes of their own, kept running
 * until Ctrl-C. Plain JavaScript that Node 20 runs; the processes run on the Node of the install.
 */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildMissing } from './build.mjs';
import { prepareRedis } from './embedded-redis.mjs';
import { installMissing } from './install.mjs';
import { findNode, ROOT } from './node-binary.mjs';
import { PlainError, runStory, say } from './plain-error.mjs';
import { assertFree, freePort, isReady, localUrl } from './ports.mjs';
import { endProcess, takeLedger } from './processes.mjs';
import { ensureRedisServer } from './redis.mjs';
import { ensureFolder, keptSecret, newKey, newSecret } from './secrets.mjs';
import { readSettings, withEnvFile } from './settings.mjs';
import { createSupervisor } from './supervisor.mjs';
import { welcome } from './welcome.mjs';

const APPS = ['api', 'worker'];

/** Contract 1: SIGINTs within this count as one, the drain takes at most 30 s. */
const SAME_SIGNAL_MS = 2000;
const DRAIN_MS = 30_000;
const REDIS_STOP_MS = 10_000;
const REDIS_KILL_MS = 1000;
const READY_TIMEOUT_MS = 120_000;

/** How the processes of each name show in `ps`. */
const MARKS = /** @type {Record<string, RegExp>} */ ({ api: /apps\/api\/dist\/main\.mjs/, worker: /apps\/worker\/dist\/main\.mjs/, redis: /redis|valkey/ });

/**
 * Clears up after an earlier start that was killed: its API and worker are drained, then its Redis ends, which keeps its data.
 * @param {Record<string, import('./processes.mjs').Remembered | undefined>} left
 */
const clearUp = async (left) => {
  const end = (/** @type {string} */ name, /** @type {number} */ graceMs) => endProcess(left[name], MARKS[name] ?? /^$/, graceMs);
  await Promise.all(APPS.map((name) => end(name, DRAIN_MS)));
  await end('redis', REDIS_STOP_MS);
};

/**
 * Stops at the first signal: API and worker first, Redis last, exit code 0. A signal 2 s later or more ends everything at once, exit code 1.
 * @param {ReturnType<typeof createSupervisor>} supervisor
 * @param {() => void} release
 */
const createStop = (supervisor, release) => {
  let firstAt = 0;
  /** @type {Promise<void> | undefined} */
  let stopping;
  const stopAll = async (/** @type {number} */ code) => {
    supervisor.beginStop();
    await supervisor.stop(APPS, DRAIN_MS);
    await supervisor.stop(['redis'], REDIS_STOP_MS);
    release();
    process.exit(code);
  };
  const stop = (/** @type {number} */ code) => {
    stopping ??= stopAll(code);
    return stopping;
  };
  const force = async () => {
    supervisor.kill(APPS);
    await supervisor.stop(['redis'], REDIS_KILL_MS);
    release();
    process.exit(1);
  };
  const onSignal = () => {
    if (firstAt === 0) {
      firstAt = Date.now();
      say('Stopping…');
      void stop(0);
    } else if (Date.now() - firstAt >= SAME_SIGNAL_MS) {
      void force();
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, onSignal);
  return stop;
};

/**
 * Everything that is done before anything of ours runs: settings read, the data folder taken, the port found free.
 * @throws {PlainError} in words for the person at the terminal
 */
const prepare = async () => {
  const given = withEnvFile(join(ROOT, '.env'), process.env);
  const config = await readSettings(given);
  const server = given['REDIS_URL'] ? undefined : ensureRedisServer();
  const dataDir = resolve(ROOT, config.dataDir);
  ensureFolder(dataDir);
  // With a Redis of their own several starts may share a data folder, each on its port.
  const ledger = takeLedger(join(dataDir, server ? 'start.json' : `start-${config.http.port}.json`));
  await clearUp(ledger.left);
  const port = config.http.port === 0 ? await freePort() : config.http.port;
  await assertFree(config.http.host, port);
  ledger.begin();
  return { given, config, server, dataDir, ledger, port };
};

/**
 * Resolves when the API answers that it is ready, or never when it is stopped before.
 * @param {string} url
 * @param {ReturnType<typeof createSupervisor>} supervisor
 * @throws {PlainError} after 2 minutes
 */
const waitUntilReady = async (url, supervisor) => {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (!(await isReady(url)) || supervisor.isStopping()) {
    if (Date.now() > deadline && !supervisor.isStopping()) throw new PlainError(`The API did not get ready within ${READY_TIMEOUT_MS / 1000} s.`);
    await sleep(50);
  }
};

const start = async () => {
  const node = findNode();
  installMissing();
  buildMissing();
  const { given, config, server, dataDir, ledger, port } = await prepare();
  const secrets = join(dataDir, 'secrets');
  const redis = server ? await prepareRedis({ server, dataDir, secrets }) : undefined;
  const supervisor = createSupervisor({ say, onRefused: (name) => void onRefused(name), onStarted: ledger.note });
  const stop = createStop(supervisor, ledger.release);
  const onRefused = async (/** @type {string} */ name) => {
    console.error(name === 'redis' ? `Redis did not start:\n${redis?.lastWords()}` : `The ${name} could not start: see above.`);
    await stop(1);
  };
  try {
    const env = {
      ...given,
      PORT: String(port),
      FANA_DATA_DIR: dataDir,
      FANA_ADMIN_KEY: given['FANA_ADMIN_KEY'] || keptSecret(secrets, 'admin-key', newKey),
      FANA_SIGNING_SECRET: given['FANA_SIGNING_SECRET'] || keptSecret(secrets, 'signing-secret', newSecret),
      REDIS_URL: redis?.url ?? given['REDIS_URL'],
    };
    if (redis) {
      supervisor.launch({ name: 'redis', start: redis.start });
      await redis.waitUntilReady();
    }
    for (const name of APPS) {
      // argv0: `ps` shows `node apps/api/dist/main.mjs` whatever the path of that node is.
      const launch = () => spawn(node, [`apps/${name}/dist/main.mjs`], { argv0: 'node', cwd: ROOT, env, stdio: ['ignore', 'inherit', 'inherit'] });
      supervisor.launch({ name, start: launch });
    }
    const url = localUrl(config.http.host, port);
    await waitUntilReady(url, supervisor);
    supervisor.markReady();
    const keyFile = given['FANA_ADMIN_KEY'] ? undefined : join(secrets, 'admin-key');
    console.log(welcome({ url, key: env.FANA_ADMIN_KEY, keyFile, providers: config.providers }));
  } catch (error) {
    console.error(error instanceof PlainError ? error.message : error);
    await stop(1);
  }
};

await runStory(start);
