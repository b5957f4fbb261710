import type { Logger } from './logger.ts';

/** Runs one step of the shutdown; a step that takes longer than `timeoutMs` is given up, logged, and the next one begins. */
export type Phase = (name: string, timeoutMs: number, step: () => Promise<unknown>) => Promise<void>;

/** A terminal sends SIGINT to the whole group and npm passes it on once more: within this they count as one. */
const SAME_SIGNAL_MS = 2000;

/**
 * Runs `close` once, at the first SIGINT or SIGTERM, and exits 0. A signal that comes more than 2 s later forces the exit.
 */
export const onShutdown = (logger: Logger, close: (phase: Phase) => Promise<void>): void => {
  let firstAt: number | undefined;

  const phase: Phase = async (name, timeoutMs, step) => {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<'timeout'>((resolve) => {
      timer = setTimeout(() => resolve('timeout'), timeoutMs);
    });
    try {
      if ((await Promise.race([step(), timeout])) === 'timeout') logger.warn({ phase: name, timeoutMs }, 'shutdown phase timed out');
    } catch (error) {
      logger.error({ err: error, phase: name }, 'shutdown phase failed');
    } finally {
      clearTimeout(timer);
    }
  };

  const onSignal = (signal: NodeJS.Signals): void => {
    if (firstAt !== undefined) {
      if (Date.now() - firstAt < SAME_SIGNAL_MS) return;
      logger.warn({ signal }, 'second signal: exiting at once');
      process.exit(1);
    }
    firstAt = Date.now();
    logger.info({ signal }, 'shutting down');
    void close(phase).then(() => process.exit(0));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
};
