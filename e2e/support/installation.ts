import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '@fana/testkit/free-port.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';

const ROOT = join(import.meta.dirname, '../..');

/** The admin key of every installation here. */
export const ADMIN_KEY = 'e2e-admin-key-0123456789-0123456789';

export type Process = { child: ChildProcess; output: () => string };

/** A running installation: a Redis of its own, one API and workers as separate processes, driven over HTTP only. */
export type Installation = {
  url: string;
  redis: TestRedis;
  dataDir: string;
  workers: Process[];
  api: Process;
  startWorker: (env?: Record<string, string>) => Promise<Process>;
  /** Another API process on a port of its own, over the same Redis and blobs. */
  startApi: (env?: Record<string, string>) => Promise<Process & { url: string }>;
  request: (path: string, options?: RequestOptions) => Promise<Response>;
  /** Submits a job and returns it as answered. Throws unless it was accepted. */
  submit: (body: unknown, headers?: Record<string, string>) => Promise<Job>;
  job: (id: string) => Promise<Job>;
  /** Polls until the job has ended. */
  ended: (id: string, timeoutMs?: number) => Promise<Job>;
  stop: () => Promise<void>;
};

type RequestOptions = {
  method?: string;
  body?: unknown;
  rawBody?: string | Uint8Array;
  headers?: Record<string, string>;
  key?: string;
  signal?: AbortSignal;
  /** Another API process than the first: its URL. */
  at?: string;
};

export type Job = {
  id: string;
  type: string;
  status: string;
  trigger: { label: string; source: string; confidence: number; language: string };
  served_by: { provider: string; model: string } | null;
  output: {
    text?: string;
    images?: { blob_id: string; url: string; media_type: string; width: number; height: number; bytes: number; sha256: string }[];
  } | null;
  attempts: {
    number: number;
    provider: string;
    model: string;
    started_at: number;
    finished_at: number | null;
    outcome: string | null;
    error: { code: string } | null;
  }[];
  error: { code: string; message: string } | null;
  sources: { url: string; kind: string; status: string }[];
  warnings: string[];
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
  expires_at: number | null;
  metadata: Record<string, string>;
};

const ENDED = new Set(['completed', 'failed', 'cancelled', 'unknown_outcome']);

const spawnApp = (app: 'api' | 'worker', env: Record<string, string>): Process => {
  const child = spawn(process.execPath, [`apps/${app}/dist/main.mjs`], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-100_000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  return { child, output: () => output };
};

/** Runs a process that is expected to refuse to start: its exit code and all it said. */
export const runToEnd = async (app: 'api' | 'worker', env: Record<string, string>): Promise<{ code: number | null; output: string }> => {
  const { child, output } = spawnApp(app, env);
  await once(child, 'close');
  return { code: child.exitCode, output: output() };
};

const until = async (what: string, processes: Process[], check: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> => {
  const end = Date.now() + timeoutMs;
  while (!(await check())) {
    const dead = processes.find(({ child }) => child.exitCode !== null);
    if (dead || Date.now() > end) throw new Error(`${what}: ${dead ? 'a process ended' : 'timed out'}\n${processes.map(({ output }) => output()).join('\n')}`);
    await sleep(25);
  }
};

export const endProcess = async ({ child }: Process, signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> => {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
  return child.exitCode;
};

/** Starts everything and resolves when the API is ready and the workers listen. Call `stop` at the end. */
export const startInstallation = async (options: { env?: Record<string, string>; workers?: number } = {}): Promise<Installation> => {
  const redis = await startRedis({ appendOnly: true });
  const dataDir = await mkdtemp(join(tmpdir(), 'fana-e2e-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const env = {
    PORT: String(port),
    REDIS_URL: redis.url,
    FANA_DATA_DIR: dataDir,
    FANA_ADMIN_KEY: ADMIN_KEY,
    FANA_SIGNING_SECRET: 'e2e-signing-secret-0123456789-0123456789',
    LOG_LEVEL: 'info',
    ...options.env,
  };
  const isReady = async (at: string): Promise<boolean> => (await fetch(`${at}/readyz`).catch(() => undefined))?.status === 200;
  const api = spawnApp('api', env);
  const otherApis: Process[] = [];
  const workers: Process[] = [];

  const startApi: Installation['startApi'] = async (extra = {}) => {
    const ownPort = await freePort();
    const other = spawnApp('api', { ...env, PORT: String(ownPort), ...extra });
    otherApis.push(other);
    const ownUrl = `http://127.0.0.1:${ownPort}`;
    await until('another api', [other], () => isReady(ownUrl));
    return { ...other, url: ownUrl };
  };

  const startWorker = async (extra: Record<string, string> = {}): Promise<Process> => {
    const worker = spawnApp('worker', { ...env, ...extra });
    workers.push(worker);
    await until('worker', [worker], async () => worker.output().includes('worker is ready'));
    return worker;
  };

  const request: Installation['request'] = (path, { method, body, rawBody, headers, key = ADMIN_KEY, signal, at = url } = {}) => {
    const sent = rawBody ?? (body === undefined ? undefined : JSON.stringify(body));
    return fetch(`${at}${path}`, {
      method: method ?? (sent === undefined ? 'GET' : 'POST'),
      headers: { ...(key && { authorization: `Bearer ${key}` }), ...(sent !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(sent !== undefined && { body: sent }),
      ...(signal && { signal }),
    });
  };

  const job: Installation['job'] = async (id) => {
    const response = await request(`/v1/jobs/${id}`);
    if (response.status !== 200) throw new Error(`job ${id}: ${response.status} ${await response.text()}`);
    return (await response.json()) as Job;
  };

  const installation: Installation = {
    url,
    redis,
    dataDir,
    workers,
    api,
    startWorker,
    startApi,
    request,
    job,
    async submit(body, headers = {}) {
      const response = await request('/v1/jobs', { body, headers });
      if (response.status !== 202 && response.status !== 200) throw new Error(`submit: ${response.status} ${await response.text()}`);
      return (await response.json()) as Job;
    },
    async ended(id, timeoutMs = 60_000) {
      const end = Date.now() + timeoutMs;
      for (;;) {
        const current = await job(id);
        if (ENDED.has(current.status)) return current;
        if (Date.now() > end)
          throw new Error(
            `job ${id} is still ${current.status}\n${workers
              .map(({ output }) => output())
              .join('\n')
              .slice(-4000)}`,
          );
        await sleep(50);
      }
    },
    async stop() {
      await Promise.all([api, ...otherApis, ...workers].map((process) => endProcess(process)));
      await redis.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
  try {
    await until('api', [api], () => isReady(url));
    for (let n = 0; n < (options.workers ?? 1); n++) await startWorker();
  } catch (error) {
    await installation.stop();
    throw error;
  }
  return installation;
};
