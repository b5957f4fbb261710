import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { PlainError } from './plain-error.mjs';

/**
 * A process as it is remembered in a file: a pid alone may belong to somebody else by now.
 * @typedef {{ pid: number, startedAt: string }} Remembered
 */

/**
 * When a process began and how it is called, or undefined when there is none (a zombie is none).
 * @param {number} pid
 */
const look = (pid) => {
  if (existsSync('/proc/self/stat')) {
    if (!existsSync(`/proc/${pid}/stat`)) return undefined;
    try {
      // The second field is the name in brackets and may hold anything: what follows the last bracket is regular.
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return fields[0] === 'Z' || fields[19] === undefined ? undefined : { startedAt: fields[19], command };
    } catch (error) {
      // It ended between the two reads.
      if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return undefined;
      throw error;
    }
  }
  const ps = spawnSync('ps', ['-o', 'lstart=,command=', '-p', String(pid)], { encoding: 'utf8' });
  const line = ps.stdout?.trim();
  // lstart is always 24 characters, e.g. "Sun Nov 22 21:23:45 2026".
  return line ? { startedAt: line.slice(0, 24), command: line.slice(25) } : undefined;
};

/**
 * @param {number | undefined} pid
 * @returns {Remembered | undefined} undefined when it has ended already
 */
export const remember = (pid) => {
  const seen = pid === undefined ? undefined : look(pid);
  return pid === undefined || seen === undefined ? undefined : { pid, startedAt: seen.startedAt };
};

/**
 * Whether that very process still runs, and still is what we call it: `mark` is a part of its command line.
 * @param {Remembered | undefined} process
 * @param {RegExp} mark
 */
export const isAlive = (process, mark) => {
  const seen = process && look(process.pid);
  return seen !== undefined && seen.startedAt === process?.startedAt && mark.test(seen.command);
};

/**
 * Ends a process that is not a child of this one: SIGTERM, and SIGKILL after `graceMs`. One that is not ours any more is left alone.
 * @param {Remembered | undefined} process
 * @param {RegExp} mark
 * @param {number} graceMs
 */
export const endProcess = async (process, mark, graceMs) => {
  if (!process || !isAlive(process, mark)) return;
  globalThis.process.kill(process.pid, 'SIGTERM');
  const deadline = Date.now() + graceMs;
  while (isAlive(process, mark)) {
    if (Date.now() > deadline) globalThis.process.kill(process.pid, 'SIGKILL');
    await sleep(50);
  }
};

/**
 * What a start writes down about itself, so that a later one can clear up after it was killed.
 * @typedef {{ supervisor: Remembered | undefined, children: Record<string, Remembered | undefined> }} Ledger
 */

const SUPERVISOR = /start\.mjs/;

/**
 * @param {string} path
 * @returns {Ledger | undefined}
 */
const readLedger = (path) => {
  if (!existsSync(path)) return undefined;
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw new PlainError(`${path} cannot be read. If nothing of FANA runs, remove it.`);
    throw error;
  }
};

/**
 * Takes the ledger at `path` for this process.
 * @param {string} path
 * @returns what an earlier start that was killed left running, and the ledger to write our own children into
 * @throws {PlainError} when another start that still runs holds it
 */
export const takeLedger = (path) => {
  const earlier = readLedger(path);
  if (earlier && isAlive(earlier.supervisor, SUPERVISOR)) {
    throw new PlainError(
      `FANA already runs with this data folder (process ${earlier.supervisor?.pid}). Stop it first, or set FANA_DATA_DIR and PORT for a second one.`,
    );
  }
  /** @type {Ledger} */
  const ledger = { supervisor: remember(process.pid), children: {} };
  const write = () => {
    writeFileSync(`${path}.${process.pid}`, `${JSON.stringify(ledger)}\n`, { mode: 0o600 });
    renameSync(`${path}.${process.pid}`, path);
  };
  return {
    left: earlier?.children ?? {},
    /** Begins our own list; call it when nothing of the earlier one runs any more. */
    begin: write,
    /** @param {string} name @param {number | undefined} pid */
    note(name, pid) {
      ledger.children[name] = remember(pid);
      write();
    },
    release: () => rmSync(path, { force: true }),
  };
};
