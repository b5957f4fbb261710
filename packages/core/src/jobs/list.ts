import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { execute } from '../redis.ts';
import type { JobRecord, JobStatus, JobType } from './job.ts';
import { decodeRecord } from './record.ts';
import { jobKey, tenantJobsKey } from './store.ts';

/** Unset fields match every job. */
export type JobFilter = { status?: JobStatus | undefined; type?: JobType | undefined };
/** Which page of a list: at most `limit` jobs, from the one after `after`. */
type PageRequest = { limit: number; after?: string | undefined };
export type JobPage = { jobs: JobRecord[]; hasMore: boolean };

/** Filters read two fields of this many records a round trip. */
const SCAN = 500;

/**
 * A tenant's jobs, newest first, from the one after `after`. Without a filter it reads `limit` records; with one it walks the index.
 * @throws AppError `invalid_request` when `after` is not one of the tenant's jobs.
 */
export const listJobs = async (deps: Pick<Deps, 'redis'>, tenant: string, filter: JobFilter, { limit, after }: PageRequest): Promise<JobPage> => {
  const index = tenantJobsKey(tenant);
  let start = 0;
  if (after !== undefined) {
    const rank = await deps.redis.zrevrank(index, after);
    if (rank === null) throw new AppError('invalid_request', 'after: there is no such job.', { param: 'after' });
    start = rank + 1;
  }
  const found: string[] = [];
  const step = filter.status === undefined && filter.type === undefined ? limit + 1 : SCAN;
  while (found.length <= limit) {
    const ids = await deps.redis.zrevrange(index, start, start + step - 1);
    found.push(...(await matching(deps, ids, filter)));
    if (ids.length < step) break;
    start += step;
  }
  const jobs = await readMany(deps, found.slice(0, limit));
  return { jobs, hasMore: found.length > limit };
};

const matching = async (deps: Pick<Deps, 'redis'>, ids: string[], { status, type }: JobFilter): Promise<string[]> => {
  if (ids.length === 0 || (status === undefined && type === undefined)) return ids;
  const pipeline = deps.redis.pipeline();
  for (const id of ids) pipeline.hmget(jobKey(id), 'status', 'type');
  const replies = (await execute(pipeline)) as (string | null)[][];
  return ids.filter((_, at) => {
    const [jobStatus, jobType] = replies[at] ?? [];
    return jobStatus != null && (status === undefined || jobStatus === status) && (type === undefined || jobType === type);
  });
};

const readMany = async (deps: Pick<Deps, 'redis'>, ids: string[]): Promise<JobRecord[]> => {
  if (ids.length === 0) return [];
  const pipeline = deps.redis.pipeline();
  for (const id of ids) pipeline.hgetall(jobKey(id));
  const replies = (await execute(pipeline)) as Record<string, string>[];
  return ids.flatMap((id, at) => {
    const fields = replies[at] ?? {};
    return fields['spec'] === undefined ? [] : [decodeRecord(id, fields)];
  });
};
