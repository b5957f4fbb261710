import { hash } from 'node:crypto';
import type { JobRecord } from './job.ts';

/** Fields of linked pictures that were stored for the job; the value is the blob id. */
export const PICTURE_FIELD = 'picture:';

/** The field of the picture behind `url`. */
export const pictureField = (url: string): string => `${PICTURE_FIELD}${hash('sha256', url, 'base64url')}`;

/** The blob that a linked picture was stored as for this job. */
export const keptBlobId = (job: Pick<JobRecord, 'pictures'>, url: string): string | undefined => job.pictures[pictureField(url)];
