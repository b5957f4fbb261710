import { removeBlobs } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { forgetPages } from '../web/store.ts';
import type { JobRecord } from './job.ts';
import { sendNext } from './send-next.ts';
import { eraseJobKeys, fenceJob } from './store.ts';

/** Blobs that belong to the job alone: what it was given, its long texts, and (on request) the pictures it made. */
const ownBlobs = (job: JobRecord, withResults: boolean): string[] => {
  const ids = [...job.spec.ownedBlobIds, ...Object.values(job.pictures), ...(job.outputBlobId ? [job.outputBlobId] : [])];
  if (withResults && job.output?.kind === 'images') ids.push(...job.output.images.map(({ blobId }) => blobId));
  return ids;
};

const pagesOf = (job: JobRecord): string[] => job.spec.urls.flatMap(({ url, kind }) => (kind === 'image' ? [] : [url]));

/**
 * Erases record, events, result and blobs of a job that is not running and has not been retried since it was read.
 * `expired`: its time has come by itself. Its pictures live on until they expire themselves (FANA_BLOB_TTL_SECONDS), and webhooks
 * that are still pending are sent; when it is erased on request, they are not.
 * @throws AppError `job_running`.
 */
export const eraseJob = async (deps: Pick<Deps, 'redis' | 'blobs' | 'queues' | 'now'>, job: JobRecord, { expired = false } = {}): Promise<void> => {
  const reply = await eraseJobKeys(deps.redis, job, expired);
  if (reply.kind === 'running') throw new AppError('job_running', 'A running job cannot be deleted: cancel it first.');
  if (reply.kind === 'gone' || !reply.isRemembered) await removeBlobs(deps, ownBlobs(job, !expired));
  // When the job expires by itself, what was kept of the pages it named has long done so.
  if (!expired) await forgetPages(deps, job.spec.tenant, pagesOf(job));
  if (reply.kind === 'erased') await sendNext(deps, reply.nextJobId);
};

/**
 * Erases a job whatever it is doing: one that runs is taken from its worker, whose late result is refused. Blobs first: a process that dies in
 * between finds the record again.
 */
export const eraseAnyJob = async (deps: Pick<Deps, 'redis' | 'blobs' | 'queues' | 'now'>, id: string): Promise<void> => {
  const job = await fenceJob(deps.redis, id);
  if (!job) return;
  await removeBlobs(deps, ownBlobs(job, true));
  await eraseJob(deps, job);
};
