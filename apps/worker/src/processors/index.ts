import type { JobType } from '@fana/core/jobs/job.ts';
import { processChat } from './chat.ts';
import { processEmbedding } from './embedding.ts';
import { processImage } from './image.ts';
import { processIngest } from './ingest.ts';
import type { Processor } from './processor.ts';
import { processVision } from './vision.ts';

/** One processor for each job type: the compiler asks for the missing one. */
export const PROCESSORS: { [T in JobType]: Processor } = {
  chat: processChat,
  image: processImage,
  vision: processVision,
  embedding: processEmbedding,
  ingest: processIngest,
};
