import { metadataSchema } from '../jobs/submission.ts';

/** `metadata` of every compatible body: up to 16 pairs; null is none. */
export const callMetadata = metadataSchema.nullish();
