import { Worker } from 'node:worker_threads';
import { AppError, type ErrorCode } from '../errors.ts';
import type { ChunkedText } from './chunk.ts';
import type { ChunkReply } from './chunk-thread.ts';
import { threadUrl } from './thread-url.ts';

const TIMEOUT_MS = 180_000;
const MAX_OLD_GENERATION_MB = 768;

/**
 * Cuts a text into chunks in a thread of its own, so that the leases of this process are renewed meanwhile.
 * @throws AppError `document_too_large`; `document_unreadable` when it takes too much time or memory; the reason of `signal`.
 */
export const chunkApart = async (text: string, signal: AbortSignal): Promise<ChunkedText> => {
  signal.throwIfAborted();
  const thread = new Worker(threadUrl(import.meta.url, 'chunk-thread'), {
    workerData: text,
    resourceLimits: { maxOldGenerationSizeMb: MAX_OLD_GENERATION_MB },
  });
  const clock = AbortSignal.timeout(TIMEOUT_MS);
  try {
    return await new Promise<ChunkedText>((resolve, reject) => {
      const unreadable = (why: string, cause?: unknown): void =>
        reject(new AppError('document_unreadable', `The text could not be cut into pieces: ${why}.`, { cause }));
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      clock.addEventListener('abort', () => unreadable('it takes too long'), { once: true });
      thread.on('message', (reply: ChunkReply) => {
        if ('chunked' in reply) resolve(reply.chunked);
        else reject(new AppError(reply.error.code as ErrorCode, reply.error.message));
      });
      thread.on('error', (cause) =>
        'code' in cause && cause.code === 'ERR_WORKER_OUT_OF_MEMORY' ? unreadable('it takes too much memory', cause) : reject(cause),
      );
      thread.on('exit', () => unreadable('it was given up'));
    });
  } finally {
    await thread.terminate();
  }
};
