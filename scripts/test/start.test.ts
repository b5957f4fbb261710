import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { freePort } from '../ports.mjs';
import { pidsIn, runs, type Started, start } from './installation.ts';

type Job = { id: string; status: string; attempts: { started_at: number }[] };

let dataDir: string;
let port: number;
let starts: Started[];

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'fana-start-'));
  port = await freePort();
  starts = [];
});
afterEach(async () => {
  for (const started of starts) {
    if (runs(started.pid)) await started.interrupt();
    await started.ended();
  }
  rmSync(dataDir, { recursive: true, force: true });
});

const launch = (env: Record<string, string> = {}): Started => {
  const started = start({ FANA_DATA_DIR: dataDir, PORT: String(port), ...env });
  starts.push(started);
  return started;
};

const launchReady = async (env: Record<string, string> = {}): Promise<Started> => {
  const started = launch(env);
  await started.ready();
  return started;
};

const adminKey = (): string => readFileSync(join(dataDir, 'secrets', 'admin-key'), 'utf8').trim();

const request = async (path: string, body?: unknown): Promise<Job> => {
  const reply = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${adminKey()}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!reply.ok) throw new Error(`${reply.status} ${await reply.text()}`);
  return (await reply.json()) as Job;
};

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

describe('npm start', () => {
  it('prints the URL, the key and one curl line that works as it stands', async () => {
    const started = await launchReady();
    expect(started.stdout()).toContain(`http://127.0.0.1:${port}\n`);
    expect(started.stdout()).toContain(adminKey());
    expect(started.stdout()).toMatch(/simulated/);
    const lines = started
      .stdout()
      .split('\n')
      .filter((line) => line.includes('curl '));
    expect(lines).toHaveLength(1);
    const job: Job & { type: string } = JSON.parse(execFileSync('sh', ['-c', lines[0] ?? ''], { encoding: 'utf8' }));
    expect(job).toMatchObject({ status: 'completed', type: 'image' });
  });

  it('runs the processes under the names of the contract and keeps its secrets for their owner alone', async () => {
    await launchReady();
    const pids = pidsIn(dataDir);
    const command = (pid: number): string => readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    expect(command(pids.api)).toBe('node apps/api/dist/main.mjs');
    expect(command(pids.worker)).toBe('node apps/worker/dist/main.mjs');
    const secrets = join(dataDir, 'secrets');
    expect(readdirSync(secrets).sort()).toEqual(['admin-key', 'redis-password', 'signing-secret']);
    for (const name of readdirSync(secrets)) expect(modeOf(join(secrets, name))).toBe('600');
    expect(modeOf(join(dataDir, 'redis', 'redis.conf'))).toBe('600');
    expect(modeOf(secrets)).toBe('700');
    // The password is on no command line.
    expect(command(pids.redis)).not.toContain(readFileSync(join(secrets, 'redis-password'), 'utf8').trim());
  });

  it('starts a process that died again within a second, Redis too, and goes on working', async () => {
    const started = await launchReady();
    for (const name of ['worker', 'api', 'redis'] as const) {
      const before = pidsIn(dataDir)[name];
      process.kill(before, 'SIGKILL');
      await vi.waitFor(() => expect(pidsIn(dataDir)[name]).not.toBe(before), { timeout: 1000 });
    }
    await vi.waitFor(async () => expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200), { timeout: 15_000, interval: 100 });
    const job = await vi.waitFor(() => request('/v1/jobs', { input: 'hello' }), { timeout: 15_000, interval: 100 });
    await vi.waitFor(async () => expect((await request(`/v1/jobs/${job.id}`)).status).toBe('completed'), { timeout: 30_000, interval: 100 });
    expect(started.stderr()).toContain('worker ended (SIGKILL); starting it again');
  });

  it('Ctrl-C during work exits 0 with nothing left running and nothing lost', async () => {
    const first = await launchReady();
    const key = adminKey();
    const pids = pidsIn(dataDir);
    const jobs = await Promise.all(Array.from({ length: 60 }, (_, index) => request('/v1/jobs', { input: `draw a fox in the snow, number ${index}` })));
    await first.interrupt();
    expect(await first.ended()).toBe(0);
    expect(Object.values(pids).filter(runs)).toEqual([]);

    // The times of a job are whole seconds: one second lies between the two runs.
    await sleep(1100);
    const startedAgainAt = Date.now() / 1000 - 1;
    await launchReady();
    expect(adminKey()).toBe(key);
    const done: Job[] = [];
    for (const { id } of jobs) {
      const read = async (): Promise<Job> => {
        const job = await request(`/v1/jobs/${id}`);
        expect(job.status).toBe('completed');
        return job;
      };
      done.push(await vi.waitFor(read, { timeout: 60_000, interval: 100 }));
    }
    // It really was during work: some had begun before, some only begin now.
    expect(done.some((job) => job.attempts.some((attempt) => attempt.started_at < startedAgainAt))).toBe(true);
    expect(done.some((job) => job.attempts.some((attempt) => attempt.started_at > startedAgainAt))).toBe(true);
  });

  it('SIGTERM ends it the same way', async () => {
    const started = await launchReady();
    const pids = pidsIn(dataDir);
    process.kill(started.pid, 'SIGTERM');
    expect(await started.ended()).toBe(0);
    expect(Object.values(pids).filter(runs)).toEqual([]);
  });

  it('a second Ctrl-C two seconds later ends everything at once', async () => {
    const started = await launchReady();
    const pids = pidsIn(dataDir);
    // A worker that cannot drain.
    process.kill(pids.worker, 'SIGSTOP');
    await started.interrupt();
    await sleep(2200);
    expect(runs(started.pid)).toBe(true);
    await started.interrupt();
    expect(await started.ended()).toBe(1);
    expect(Object.values(pids).filter(runs)).toEqual([]);
  });

  it('after it was killed itself, the next start ends what it left and keeps its data', async () => {
    const first = await launchReady();
    const left = pidsIn(dataDir);
    const job = await request('/v1/jobs', { input: 'hello' });
    process.kill(first.pid, 'SIGKILL');
    await first.ended();
    expect(Object.values(left).filter(runs)).toHaveLength(3);

    await launchReady();
    expect(Object.values(left).filter(runs)).toEqual([]);
    await vi.waitFor(async () => expect((await request(`/v1/jobs/${job.id}`)).status).toBe('completed'), { timeout: 30_000, interval: 100 });
  });
});

describe('npm start says in one line and exit code 1', () => {
  const refused = async (started: Started): Promise<string[]> => {
    expect(await started.ended()).toBe(1);
    return started
      .stderr()
      .split('\n')
      .filter((line) => line !== '' && line !== 'Building…' && line !== 'Installing…');
  };

  it('that the port is taken, before it starts anything', async () => {
    const server = createServer().listen(port, '127.0.0.1');
    const lines = await refused(launch());
    server.close();
    expect(lines).toEqual([`Port ${port} of 127.0.0.1 is taken. Stop what uses it, or choose another one: PORT=${port + 1} npm start`]);
    expect(readdirSync(dataDir)).not.toContain('start.json');
  });

  it('that it already runs with this data folder', async () => {
    const first = await launchReady();
    const lines = await refused(launch({ PORT: String(await freePort()) }));
    expect(lines).toEqual([expect.stringContaining(`FANA already runs with this data folder (process ${first.pid}).`)]);
    expect(runs(pidsIn(dataDir).redis)).toBe(true);
  });
});

describe('npm start with bad settings', () => {
  it('names every one and no value, exit code 1, before anything runs', async () => {
    const started = launch({ PORT: 'three', FANA_ADMIN_KEY: 'too-short-key', FANA_SIGNING_SECRET: 'too-short-secret', OPENAI_BASE_URL: 'ftp://nowhere' });
    expect(await started.ended()).toBe(1);
    for (const name of ['PORT', 'FANA_ADMIN_KEY', 'FANA_SIGNING_SECRET', 'OPENAI_BASE_URL']) expect(started.stderr()).toContain(name);
    for (const value of ['three', 'too-short', 'ftp://']) expect(started.stderr()).not.toContain(value);
    expect(readdirSync(dataDir)).toEqual([]);
  });

  it('a Redis that cannot be reached stops everything with exit code 1', async () => {
    const started = launch({ REDIS_URL: `redis://127.0.0.1:${await freePort()}` });
    expect(await started.ended()).toBe(1);
    expect(started.stderr()).toMatch(/Redis did not answer/);
  });
});
