import { hash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { AppError } from '../errors.ts';
import type { KeptPictures } from '../web/read-pictures.ts';
import type { JobRecord } from './job.ts';
import { PICTURE_FIELD } from './record.ts';
import { notePicture } from './store.ts';

const fieldOf = (url: string): string => `${PICTURE_FIELD}${hash('sha256', url, 'base64url')}`;

/** The linked pictures of a job: fetched once, stored, and erased with the job, whichever attempt read them. `lease` is that of the run. */
export const keptPictures = (redis: Redis, job: JobRecord, lease: string): KeptPictures => ({
  blobIdOf: (url) => job.pictures[fieldOf(url)],
  async note(url, blobId) {
    const field = fieldOf(url);
    if (!(await notePicture(redis, job.id, lease, field, blobId))) throw new AppError('lease_lost', 'The run was taken over by another worker.');
    job.pictures[field] = blobId;
  },
});
