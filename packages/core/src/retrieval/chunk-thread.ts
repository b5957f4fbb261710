import { parentPort, workerData } from 'node:worker_threads';
import { AppError } from '../errors.ts';
import { chunkText } from './chunk.ts';

/** What the thread answers, once. */
export type ChunkReply = { chunked: ReturnType<typeof chunkText> } | { error: { code: string; message: string } };

// A thread of its own, with limits on memory and time: no text, however odd, holds up or ends the process that reads it.
const answer = (): ChunkReply => {
  try {
    return { chunked: chunkText(String(workerData)) };
  } catch (error) {
    if (error instanceof AppError) return { error: { code: error.code, message: error.message } };
    throw error;
  }
};

parentPort?.postMessage(answer());
