import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from '../node-binary.mjs';

export type ProcessName = 'api' | 'worker' | 'redis';

/** One `npm start`, as the start script alone: npm would only add its own process in between. */
export type Started = {
  child: ChildProcess;
  /** The process id of start.mjs, which leads a process group as under a terminal. */
  pid: number;
  stdout: () => string;
  stderr: () => string;
  /** Resolves when it says that it is ready. @throws with its output when it ends before. */
  ready: () => Promise<void>;
  /** Resolves to the exit code. */
  ended: () => Promise<number | null>;
  /** Ctrl-C as under npm: the terminal signals the group, then npm passes it on. */
  interrupt: () => Promise<void>;
};

/** Nothing of the real environment but PATH and HOME; empty settings keep a developer's `.env` out. */
const NEUTRAL = {
  REDIS_URL: '',
  FANA_ADMIN_KEY: '',
  FANA_SIGNING_SECRET: '',
  GROQ_API_KEY: '',
  OPENAI_API_KEY: '',
  ANTHROPIC_API_KEY: '',
  HOST: '',
  FANA_WORKER_QUEUES: '',
};

const READY_TIMEOUT_MS = 90_000;

/** Starts `scripts/start.mjs` with `env`; end it with `interrupt`. */
export const start = (env: Record<string, string>): Started => {
  const child = spawn(process.execPath, ['scripts/start.mjs'], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], LOG_LEVEL: 'info', ...NEUTRAL, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    output.stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output.stderr += chunk.toString();
  });
  const pid = child.pid ?? 0;
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  return {
    child,
    pid,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    async ready() {
      const deadline = Date.now() + READY_TIMEOUT_MS;
      while (!output.stdout.includes('FANA is ready')) {
        if (isOver() || Date.now() > deadline) throw new Error(`npm start did not get ready:\n${output.stdout}\n${output.stderr}`);
        await sleep(20);
      }
    },
    async ended() {
      if (!isOver()) await once(child, 'exit');
      return child.exitCode;
    },
    async interrupt() {
      process.kill(-pid, 'SIGINT');
      await sleep(30);
      if (!isOver()) process.kill(pid, 'SIGINT');
    },
  };
};

/** The process ids a start has written down. */
export const pidsIn = (dataDir: string): Record<ProcessName, number> => {
  const { children } = JSON.parse(readFileSync(join(dataDir, 'start.json'), 'utf8'));
  return { api: children.api.pid, worker: children.worker.pid, redis: children.redis.pid };
};

/** Whether a process runs; one that has ended but was not collected by its parent does not. */
export const runs = (pid: number): boolean => {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
};
