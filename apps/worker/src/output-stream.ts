import { appendDelta } from '@fana/core/jobs/store.ts';
import { mergeDelta } from '@fana/core/providers/chat-answer.ts';
import type { ChoiceDelta } from '@fana/core/providers/provider.ts';
import type { Redis } from 'ioredis';

/** Pieces of text are published together at most this often. */
const FLUSH_EVERY_MS = 40;

export type OutputStream = {
  /** A new attempt begins: text not yet published belongs to the one before and is dropped. */
  restart: (attempt: number) => void;
  /** Writing an empty piece alone still publishes it: an empty answer has one too. */
  write: (piece: ChoiceDelta) => void;
  /**
   * Ends the stream and returns the text that was not published yet: it goes out with the end of the run.
   * Throws what Redis said when it refused a piece: the output would have a hole.
   */
  close: () => Promise<string>;
};

/** What was written and not published: the text of the first answer apart, for that is all of most answers. */
type Buffer = { text: string; rest: Map<number, ChoiceDelta> };

const emptyBuffer = (): Buffer => ({ text: '', rest: new Map() });
const isEmpty = ({ text, rest }: Buffer): boolean => text === '' && rest.size === 0;

const addTo = (buffer: Buffer, { index, delta, logprobs }: ChoiceDelta): void => {
  const { content, ...other } = delta;
  if (index === 0) buffer.text += content ?? '';
  const more = index === 0 ? other : delta;
  if (logprobs === undefined && Object.values(more).every((value) => value === '')) return;
  const waiting: ChoiceDelta = buffer.rest.get(index) ?? { index, delta: {} };
  buffer.rest.set(index, waiting);
  mergeDelta(waiting.delta, more);
  if (logprobs) waiting.logprobs = mergeDelta(waiting.logprobs ?? {}, logprobs);
};

/** Publishes the output of a run while it is made. `onLost` hears that another worker holds the job. */
export const createOutputStream = (redis: Redis, jobId: string, lease: string, onLost: () => void): OutputStream => {
  let buffer = emptyBuffer();
  let attempt = 0;
  let pieces = 0;
  /** Something was written, be it '', and nothing was published yet. */
  let isDue = false;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();
  let failure: { error: unknown } | undefined;

  // Never rejects: nobody waits for it before `close`, and a rejection nobody waits for would end the process with all its runs.
  const publish = async ({ text, rest }: Buffer): Promise<void> => {
    if (failure) return;
    const choices = rest.size === 0 ? '' : JSON.stringify([...rest.values()]);
    try {
      if (!(await appendDelta(redis, { id: jobId, lease, attempt, number: ++pieces, text, choices }))) onLost();
    } catch (error) {
      failure = { error };
    }
  };

  const flush = (): void => {
    timer = undefined;
    if (isEmpty(buffer)) return;
    const full = buffer;
    buffer = emptyBuffer();
    isDue = false;
    writing = writing.then(() => publish(full));
  };

  return {
    restart(number) {
      attempt = number;
      pieces = 0;
      buffer = emptyBuffer();
      isDue = false;
    },
    write(piece) {
      addTo(buffer, piece);
      isDue = true;
      timer ??= setTimeout(flush, FLUSH_EVERY_MS);
    },
    async close() {
      clearTimeout(timer);
      await writing;
      const rest = buffer;
      buffer = emptyBuffer();
      if (rest.rest.size > 0 || (isDue && isEmpty(rest))) {
        await publish(rest);
        rest.text = '';
      }
      if (failure) throw failure.error;
      return rest.text;
    },
  };
};
