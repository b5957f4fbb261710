import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.ts';
import { guard } from './guard.ts';

export type TestRedisOptions = {
  /** Keep every write (append-only file, fsync always), as the product's own Redis does: needed by tests that restart it. Default false. */
  appendOnly?: boolean;
  /** How often an append-only file is synced: `always` (default) loses nothing that was answered; `everysec` is what the product's own Redis does. */
  fsync?: 'always' | 'everysec';
  /** A port to use instead of a free one. */
  port?: number;
};

/** A private redis-server of one test file. */
export type TestRedis = {
  url: string;
  port: number;
  /** Ends the process and removes its folder. Safe to call twice. */
  stop: () => Promise<void>;
  /** Ends the process (default SIGKILL) and keeps its folder; resolves when it is gone. */
  kill: (signal?: NodeJS.Signals) => Promise<void>;
  /** Starts it again on the same port and folder (after ending it, if it still runs); resolves when it answers. */
  restart: () => Promise<void>;
  /** Freezes the process: connections stay open and nothing answers. */
  pause: () => void;
  /** Ends a `pause`. */
  resume: () => void;
};

const START_TIMEOUT_MS = 10_000;

/** Whether a Redis on that port answers PING (a loading one does not). */
const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(1000, () => end(false));
    socket.once('error', () => end(false));
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (data) => end(data.toString('latin1').startsWith('+PONG')));
  });

const spawnRedis = async (folder: string, port: number, appendOnly: boolean, fsync: 'always' | 'everysec' = 'always'): Promise<ChildProcess> => {
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--maxmemory-policy', 'noeviction', '--loglevel', 'warning'];
  // As the product's own Redis: short hashes stay packed (half the memory of a job). The older of its two names, which every version knows.
  settings.push('--hash-max-ziplist-value', '8192');
  const child = spawn('redis-server', [...settings, '--appendonly', appendOnly ? 'yes' : 'no', '--appendfsync', fsync], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-4000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  let failed: Error | undefined;
  child.once('error', (error) => {
    failed = error;
  });
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await answers(port))) {
    if (failed || child.exitCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`redis-server did not start on port ${port}: ${failed?.message ?? output}`);
    }
    await sleep(20);
  }
  return child;
};

/** Ends a child and waits until it is gone; a frozen one is woken, for it could not hear anything but SIGKILL. */
const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  child.kill('SIGCONT');
  await gone;
};

/**
 * Starts a private redis-server on 127.0.0.1 and a free port with a folder of its own; resolves when it answers.
 * Call `stop` in `afterAll`. When this process ends without it, the server is ended and its folder removed all the same.
 * @throws Error with the server's own words when it does not start within 10 s.
 */
export const startRedis = async ({ appendOnly = false, fsync = 'always', port: wanted }: TestRedisOptions = {}): Promise<TestRedis> => {
  const folder = await mkdtemp(join(tmpdir(), 'fana-redis-'));
  const port = wanted ?? (await freePort());
  let child = await spawnRedis(folder, port, appendOnly, fsync);
  let release = guard(child.pid ?? 0, folder);
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    async stop() {
      release();
      await end(child, 'SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
    async kill(signal = 'SIGKILL') {
      release();
      await end(child, signal);
    },
    async restart() {
      release();
      await end(child, 'SIGTERM');
      child = await spawnRedis(folder, port, appendOnly, fsync);
      release = guard(child.pid ?? 0, folder);
    },
    pause() {
      child.kill('SIGSTOP');
    },
    resume() {
      child.kill('SIGCONT');
    },
  };
};
