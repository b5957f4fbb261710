import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';

/**
 * Kills `pid` and removes `folder` when this process is gone, however it went (a test runner kills its workers without a word):
 * its end is the end of the guard's standard input. Call the returned function once the server is ended in order.
 */
export const guard = (pid: number, folder: string): (() => void) => {
  const watcher = spawn('sh', ['-c', 'cat >/dev/null; kill -9 "$0"; rm -rf "$1"', String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  // Without `sh` there is no guard, and the test goes on all the same.
  watcher.on('error', () => undefined);
  watcher.unref();
  (watcher.stdin as Socket).unref();
  return () => {
    watcher.kill('SIGKILL');
  };
};
