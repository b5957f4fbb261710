import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { endProcess, isAlive, remember, takeLedger } from '../processes.mjs';

const folder = mkdtempSync(join(tmpdir(), 'fana-ledger-'));
afterAll(() => rmSync(folder, { recursive: true }));

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** A process that runs until it is ended; `mark` stands on its command line. */
const startProcess = async (mark: string): Promise<{ child: ChildProcess; pid: number }> => {
  const child = spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1000)', mark], { stdio: ['ignore', 'pipe', 'ignore'] });
  children.push(child);
  await once(child.stdout, 'data');
  return { child, pid: child.pid ?? 0 };
};

it('knows a process again, and a dead one or another of the same pid is not it', async () => {
  const { child, pid } = await startProcess('ours');
  const remembered = remember(pid);
  expect(isAlive(remembered, /ours/)).toBe(true);
  expect(isAlive(remembered, /theirs/)).toBe(false);
  expect(isAlive(remembered && { ...remembered, startedAt: 'another time' }, /ours/)).toBe(false);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(isAlive(remembered, /ours/)).toBe(false);
  expect(remember(pid)).toBeUndefined();
});

it('never ends a process that is not what was remembered', async () => {
  const { child, pid } = await startProcess('somebody else');
  const remembered = remember(pid);
  await endProcess(remembered && { ...remembered, startedAt: 'another time' }, /somebody else/, 1000);
  await endProcess(remembered, /ours/, 1000);
  expect(child.exitCode ?? child.signalCode).toBeNull();
  await endProcess(remembered, /somebody else/, 1000);
  expect(isAlive(remembered, /somebody else/)).toBe(false);
});

it('hands over what a killed start left running', async () => {
  const path = join(folder, 'killed.json');
  const { pid } = await startProcess('ours');
  const left = { api: remember(pid) };
  writeFileSync(path, JSON.stringify({ supervisor: { pid: 1, startedAt: 'long ago' }, children: left }));
  expect(takeLedger(path).left).toEqual(left);
});

it('refuses a second start in one line while the first still runs', async () => {
  const path = join(folder, 'held.json');
  const { pid } = await startProcess('scripts/start.mjs');
  writeFileSync(path, JSON.stringify({ supervisor: remember(pid), children: {} }));
  expect(() => takeLedger(path)).toThrow(new RegExp(`^FANA already runs with this data folder \\(process ${pid}\\)\\..*FANA_DATA_DIR`));
});
