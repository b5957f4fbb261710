/**
 * Keeps processes running. A process that ends is started again at once, without back-off for 20 deaths a minute;
 * one that ends with exit code 1 before the whole is ready has been refused its settings, and another try would not help.
 *
 * States: starting → ready (`markReady`) → stopping (`stop`). While stopping nothing is started again.
 */

const RESTART_MS = 50;
const BACK_OFF_MS = 10_000;
const FREE_DEATHS = 20;
const WINDOW_MS = 60_000;

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */
/** @typedef {{ name: string, start: () => ChildProcess }} Service */

/** @param {ChildProcess} child */
const isRunning = (child) => child.exitCode === null && child.signalCode === null && child.pid !== undefined;

/**
 * Resolves true when the child has ended, false when it has not after `timeoutMs`.
 * @param {ChildProcess} child
 * @param {number} timeoutMs
 * @returns {Promise<boolean>}
 */
const ended = (child, timeoutMs) =>
  new Promise((resolve) => {
    if (!isRunning(child)) return resolve(true);
    const timer = setTimeout(() => resolve(false), timeoutMs);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve(true);
    });
  });

/**
 * @param {object} options
 * @param {(line: string) => void} options.say
 * @param {(name: string) => void} options.onRefused called once, when a process ends with exit code 1 before all is ready
 * @param {(name: string, pid: number | undefined) => void} options.onStarted called at every start
 */
export const createSupervisor = ({ say, onRefused, onStarted }) => {
  /** @type {Map<string, ChildProcess>} */
  const children = new Map();
  let state = /** @type {'starting' | 'ready' | 'stopping'} */ ('starting');

  /** @param {Service} service @param {number[]} deaths */
  const launch = (service, deaths) => {
    if (state === 'stopping') return;
    const child = service.start();
    children.set(service.name, child);
    /** @param {string} how @param {boolean} refused */
    const onEnd = (how, refused) => {
      if (state === 'stopping') return;
      if (refused && state === 'starting') {
        state = 'stopping';
        return onRefused(service.name);
      }
      const now = Date.now();
      const recent = [...deaths.filter((at) => now - at < WINDOW_MS), now];
      const backOff = recent.length > FREE_DEATHS;
      say(
        `${service.name} ended (${how}); ${backOff ? `${recent.length} times within a minute, so it starts again in ${BACK_OFF_MS / 1000} s` : 'starting it again'}`,
      );
      setTimeout(() => launch(service, recent), backOff ? BACK_OFF_MS : RESTART_MS);
    };
    child.once('error', (error) => onEnd(error.message, true));
    child.once('exit', (code, signal) => onEnd(signal ?? `exit code ${code}`, code === 1));
    onStarted(service.name, child.pid);
  };

  return {
    /** @param {Service} service */
    launch: (service) => launch(service, []),
    /** From here on an exit code 1 is a death like any other. */
    markReady() {
      if (state === 'starting') state = 'ready';
    },
    isStopping: () => state === 'stopping',
    /** Nothing is started again from here on. */
    beginStop() {
      state = 'stopping';
    },
    /**
     * Asks the named processes to end and waits for them; those that still run after `graceMs` are killed.
     * @param {string[]} names
     * @param {number} graceMs
     */
    async stop(names, graceMs) {
      state = 'stopping';
      const waiting = names.map(async (name) => {
        const child = children.get(name);
        if (!child || !isRunning(child)) return;
        child.kill('SIGTERM');
        if (await ended(child, graceMs)) return;
        say(`${name} did not end within ${graceMs / 1000} s and is killed`);
        child.kill('SIGKILL');
        await ended(child, graceMs);
      });
      await Promise.all(waiting);
    },
    /** Ends the named processes at once. @param {string[]} names */
    kill(names) {
      state = 'stopping';
      for (const name of names) children.get(name)?.kill('SIGKILL');
    },
  };
};
