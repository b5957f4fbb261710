import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.ts';
import { guard } from './guard.ts';

/** The account every emulator has; its key is public knowledge (learn.microsoft.com, "Use the Azurite emulator"). */
const ACCOUNT = 'devstoreaccount1';
const KEY = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';

/** An emulator of Azure Blob Storage of one test file: the service's interface and its own files, on a free port of 127.0.0.1. */
export type TestAzurite = {
  port: number;
  connectionString: string;
  /** Ends the process and removes its files. Safe to call twice. */
  stop: () => Promise<void>;
  /** Ends the process and keeps its files; resolves when it is gone. */
  kill: () => Promise<void>;
  /** Starts it again on the same port and files; resolves when it answers. */
  restart: () => Promise<void>;
};

const START_TIMEOUT_MS = 30_000;
const MAIN = createRequire(import.meta.url).resolve('azurite/dist/src/blob/main.js');

const answers = async (port: number): Promise<boolean> => (await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined)) !== undefined;

const spawnAzurite = async (folder: string, port: number): Promise<ChildProcess> => {
  // The service is ahead of its emulator by a version of the interface; telemetry would call home.
  const settings = ['--blobHost', '127.0.0.1', '--blobPort', String(port), '--location', folder, '--silent', '--disableTelemetry', '--skipApiVersionCheck'];
  const child = spawn(process.execPath, [MAIN, ...settings], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-4000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const untilMs = performance.now() + START_TIMEOUT_MS;
  while (!(await answers(port))) {
    if (child.exitCode !== null || performance.now() > untilMs) throw new Error(`azurite did not start: ${output}`);
    await sleep(50);
  }
  return child;
};

/** Starts the emulator; `stop` it at the end. */
export const startAzurite = async (): Promise<TestAzurite> => {
  const folder = await mkdtemp(join(tmpdir(), 'fana-azurite-'));
  const port = await freePort();
  let child = await spawnAzurite(folder, port);
  let release = guard(child.pid ?? 0, folder);
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    // In good order, so that it writes down what it has.
    child.kill('SIGTERM');
    await gone;
    release();
  };
  return {
    port,
    connectionString: `DefaultEndpointsProtocol=http;AccountName=${ACCOUNT};AccountKey=${KEY};BlobEndpoint=http://127.0.0.1:${port}/${ACCOUNT};`,
    kill,
    async restart() {
      await kill();
      child = await spawnAzurite(folder, port);
      release = guard(child.pid ?? 0, folder);
    },
    async stop() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
};
