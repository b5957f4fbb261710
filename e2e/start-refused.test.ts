import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@fana/testkit/free-port.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runToEnd } from './support/installation.ts';

const SECRET = 'e2e-secret-0123456789-0123456789-0123456789';
let folder: string;
let cluster: ChildProcess;
let clusterUrl: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fana-cluster-'));
  const port = await freePort();
  clusterUrl = `redis://127.0.0.1:${port}`;
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--cluster-enabled', 'yes'];
  // A process that starts before it waits for it: 10 s.
  cluster = spawn('redis-server', settings, { stdio: 'ignore' });
});
afterAll(async () => {
  cluster.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

describe.each(['api', 'worker'] as const)('the %s process', (app) => {
  it('without its settings names each of them and exits 1', async () => {
    const { code, output } = await runToEnd(app, {});
    expect(code).toBe(1);
    expect(output.trim().split('\n')).toEqual([
      'Bad or missing settings:',
      '  REDIS_URL is required',
      '  FANA_ADMIN_KEY is required',
      '  FANA_SIGNING_SECRET is required',
    ]);
  });

  it('with bad settings names each of them, tells no value, and exits 1', async () => {
    const names = ['PORT', 'REDIS_URL', 'FANA_ADMIN_KEY', 'FANA_SIGNING_SECRET', 'FANA_WORKER_QUEUES', 'FANA_CONCURRENCY_CHAT', 'OPENAI_BASE_URL', 'LOG_LEVEL'];
    const { code, output } = await runToEnd(app, Object.fromEntries(names.map((name) => [name, 'my-secret'])));
    expect(code).toBe(1);
    for (const name of names) expect(output).toContain(`  ${name} must`);
    expect(output).not.toContain('my-secret');
  });

  it('refuses a Redis Cluster in one line and exits 1', async () => {
    const env = { PORT: '0', REDIS_URL: clusterUrl, FANA_DATA_DIR: folder, FANA_ADMIN_KEY: SECRET, FANA_SIGNING_SECRET: SECRET, LOG_LEVEL: 'silent' };
    const { code, output } = await runToEnd(app, env);
    expect(code).toBe(1);
    expect(output.trim()).toBe('REDIS_URL points at a Redis Cluster, which FANA does not support: use a single primary.');
  });
});
