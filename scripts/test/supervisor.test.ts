import { spawn } from 'node:child_process';
import { afterEach, expect, it, vi } from 'vitest';
import { createSupervisor } from '../supervisor.mjs';

const supervisors: ReturnType<typeof createSupervisor>[] = [];
afterEach(() => Promise.all(supervisors.splice(0).map((supervisor) => supervisor.stop(['app'], 5000))));

const setUp = () => {
  const lines: string[] = [];
  const pids: number[] = [];
  const refused = vi.fn();
  const supervisor = createSupervisor({ say: (line) => lines.push(line), onRefused: refused, onStarted: (_name, pid) => pid !== undefined && pids.push(pid) });
  supervisors.push(supervisor);
  const launch = (code: string) => supervisor.launch({ name: 'app', start: () => spawn(process.execPath, ['-e', code], { stdio: 'ignore' }) });
  return { supervisor, lines, pids, refused, launch };
};

const FOREVER = 'setInterval(() => {}, 1000)';

it('starts a process that was killed again within a second', async () => {
  const { supervisor, pids, launch, lines } = setUp();
  supervisor.markReady();
  launch(FOREVER);
  process.kill(pids[0] ?? 0, 'SIGKILL');
  await vi.waitFor(() => expect(pids).toHaveLength(2), { timeout: 1000 });
  expect(lines).toEqual(['app ended (SIGKILL); starting it again']);
});

it('starts it again twenty times a minute at once, then says that it waits', async () => {
  const { supervisor, pids, lines } = setUp();
  supervisor.markReady();
  supervisor.launch({ name: 'app', start: () => spawn('false', { stdio: 'ignore' }) });
  await vi.waitFor(() => expect(lines).toHaveLength(21), { timeout: 20_000 });
  expect(pids).toHaveLength(21);
  expect(new Set(lines.slice(0, 20))).toEqual(new Set(['app ended (exit code 1); starting it again']));
  expect(lines[20]).toBe('app ended (exit code 1); 21 times within a minute, so it starts again in 10 s');
});

it('gives up when a process ends with exit code 1 before all is ready', async () => {
  const { supervisor, pids, refused, launch } = setUp();
  launch('process.exit(1)');
  await vi.waitFor(() => expect(refused).toHaveBeenCalledWith('app'), { timeout: 5000 });
  expect(supervisor.isStopping()).toBe(true);
  expect(pids).toHaveLength(1);
});

it('starts again what was killed before all is ready', async () => {
  const { pids, refused, launch } = setUp();
  launch(FOREVER);
  process.kill(pids[0] ?? 0, 'SIGKILL');
  await vi.waitFor(() => expect(pids).toHaveLength(2), { timeout: 1000 });
  expect(refused).not.toHaveBeenCalled();
});

it('starts nothing again once it stops, and kills what does not end in time', async () => {
  const { supervisor, pids, lines, launch } = setUp();
  supervisor.markReady();
  launch(`process.on('SIGTERM', () => {}); ${FOREVER}`);
  // Until the process listens to SIGTERM it would end by it.
  await new Promise((resolve) => setTimeout(resolve, 300));
  await supervisor.stop(['app'], 200);
  expect(lines).toEqual(['app did not end within 0.2 s and is killed']);
  expect(pids).toHaveLength(1);
  expect(() => process.kill(pids[0] ?? 0, 0)).toThrow('ESRCH');
});
