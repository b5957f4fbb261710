import { appendDelta } from '@fana/core/jobs/store.ts';
import type { Redis } from 'ioredis';

/** Pieces of text are published together at most this often. */
const FLUSH_EVERY_MS = 40;

export type OutputStream = {
  /** A new attempt begins: text not yet published belongs to the one before and is dropped. */
  restart: (attempt: number) => void;
  /** Writing '' alone still publishes a piece: an empty answer has one too. */
  write: (text: string) => void;
  /**
   * Ends the stream and returns what was not published yet: it goes out with the end of the run.
   * Throws what Redis said when it refused a piece: the output would have a hole.
   */
  close: () => Promise<string>;
};

/** Publishes the output of a run while it is made. `onLost` hears that another worker holds the job. */
export const createOutputStream = (redis: Redis, jobId: string, lease: string, onLost: () => void): OutputStream => {
  let buffer = '';
  let attempt = 0;
  let pieces = 0;
  /** Something was written, be it '', and nothing was published yet. */
  let isDue = false;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();
  let failure: { error: unknown } | undefined;

  // Never rejects: nobody waits for it before `close`, and a rejection nobody waits for would end the process with all its runs.
  const publish = async (text: string): Promise<void> => {
    if (failure) return;
    try {
      if (!(await appendDelta(redis, { id: jobId, lease, attempt, number: ++pieces, text }))) onLost();
    } catch (error) {
      failure = { error };
    }
  };

  const flush = (): void => {
    timer = undefined;
    const text = buffer;
    buffer = '';
    if (text === '') return;
    isDue = false;
    writing = writing.then(() => publish(text));
  };

  return {
    restart(number) {
      attempt = number;
      pieces = 0;
      buffer = '';
      isDue = false;
    },
    write(text) {
      buffer += text;
      isDue = true;
      timer ??= setTimeout(flush, FLUSH_EVERY_MS);
    },
    async close() {
      clearTimeout(timer);
      await writing;
      if (isDue && buffer === '') await publish('');
      if (failure) throw failure.error;
      const rest = buffer;
      buffer = '';
      return rest;
    },
  };
};
