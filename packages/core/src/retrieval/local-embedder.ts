import { Worker } from 'node:worker_threads';
import { AppError } from '../errors.ts';
import { threadUrl } from './thread-url.ts';

/** The model that ships with FANA: Universal Sentence Encoder lite, English, no network. */
export const LOCAL_MODEL = 'local-embedding';
export const LOCAL_DIMENSIONS = 512;

/** Vectors by the model in the house, made one after another in a thread of this process. */
export type LocalEmbedder = {
  /** `isUrgent`: somebody waits for it; it goes before the chunks of documents. @throws AppError `cancelled`, `unavailable`. */
  embed: (texts: string[], options: { signal: AbortSignal; isUrgent?: boolean }) => Promise<Float32Array[]>;
  /** Ends the thread; whoever waits is told `unavailable`. */
  close: () => void;
};

/** What the model reads of a text: more costs time that grows with its square, and says little to it. */
const MAX_CHARS = 2000;
/** A thread without work is ended after this: it holds some 200 MB. */
const IDLE_MS = 300_000;

type Order = { text: string; resolve: (vector: Float32Array) => void; reject: (error: unknown) => void };
type Reply = { id: number; vector?: Float32Array; error?: string };

const gone = (cause?: unknown): AppError => new AppError('unavailable', 'The local embedding model is not running.', { cause, retryAfterMs: 1000 });

/** Starts no thread before the first text. */
export const createLocalEmbedder = (): LocalEmbedder => {
  const waiting: { urgent: Order[]; patient: Order[] } = { urgent: [], patient: [] };
  let thread: Worker | undefined;
  let current: Order | undefined;
  let idle: NodeJS.Timeout | undefined;
  let orders = 0;

  const end = (cause?: unknown): void => {
    clearTimeout(idle);
    const ended = thread;
    thread = undefined;
    for (const order of [current, ...waiting.urgent.splice(0), ...waiting.patient.splice(0)]) order?.reject(gone(cause));
    current = undefined;
    void ended?.terminate();
  };

  const start = (): Worker => {
    const started = new Worker(threadUrl(import.meta.url, 'embed-thread'));
    const onEnd = (cause: unknown): void => {
      if (thread === started) end(cause);
    };
    started.on('message', ({ vector, error }: Reply) => {
      if (thread !== started) return;
      const order = current;
      current = undefined;
      if (vector) order?.resolve(vector);
      else order?.reject(new AppError('internal_error', 'The local embedding model failed.', { detail: error ?? '' }));
      next();
    });
    started.on('error', onEnd).on('exit', onEnd);
    return started;
  };

  const next = (): void => {
    if (current) return;
    clearTimeout(idle);
    current = waiting.urgent.shift() ?? waiting.patient.shift();
    if (!current) {
      // A process that has nothing else to do may end.
      thread?.unref();
      idle = setTimeout(end, IDLE_MS).unref();
      return;
    }
    thread ??= start();
    thread.ref();
    thread.postMessage({ id: orders++, text: current.text });
  };

  const one = (text: string, isUrgent: boolean): Promise<Float32Array> =>
    new Promise((resolve, reject) => {
      // The model has nothing to say of a text without a letter.
      waiting[isUrgent ? 'urgent' : 'patient'].push({ text: text.slice(0, MAX_CHARS).trim() || '-', resolve, reject });
      next();
    });

  return {
    async embed(texts, { signal, isUrgent = false }) {
      const vectors: Float32Array[] = [];
      for (const text of texts) {
        if (signal.aborted) throw new AppError('cancelled', 'The vectors are not wanted any more.', { cause: signal.reason });
        vectors.push(await one(text, isUrgent));
      }
      return vectors;
    },
    close: () => end(),
  };
};
