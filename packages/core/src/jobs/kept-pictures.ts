import type { Redis } from 'ioredis';
import { AppError } from '../errors.ts';
import type { KeptPictures } from '../web/read-pictures.ts';
import type { JobRecord } from './job.ts';
import { keptBlobId, pictureField } from './picture-field.ts';
import { notePicture } from './store.ts';

/** The linked pictures of a job: fetched once, stored, and erased with the job, whichever attempt read them. `lease` is that of the run. */
export const keptPictures = (redis: Redis, job: JobRecord, lease: string): KeptPictures => ({
  blobIdOf: (url) => keptBlobId(job, url),
  async note(url, blobId) {
    const field = pictureField(url);
    if (!(await notePicture(redis, job.id, lease, field, blobId))) throw new AppError('lease_lost', 'The run was taken over by another worker.');
    job.pictures[field] = blobId;
  },
});
