import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { execute } from '../redis.ts';
import { lookUpSession } from '../sessions/manage-sessions.ts';
import { lastTurn, readTurns } from '../sessions/store.ts';
import type { JobRecord, JobStatus, JobType } from './job.ts';
import { decodeRecord } from './record.ts';
import { jobKey, readJob, tenantJobsKey } from './store.ts';

/** Unset fields match every job. */
export type JobFilter = { status?: JobStatus | undefined; type?: JobType | undefined; sessionId?: string | undefined };
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
  if (filter.sessionId !== undefined) return listSessionJobs(deps, tenant, filter, { limit, after });
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

/** The jobs of one session, newest turn first. A session that is not the tenant's has none. */
const listSessionJobs = async (deps: Pick<Deps, 'redis'>, tenant: string, filter: JobFilter, { limit, after }: PageRequest): Promise<JobPage> => {
  const session = await lookUpSession(deps, tenant, filter.sessionId ?? '');
  const last = after === undefined ? undefined : await readJob(deps.redis, after);
  if (after !== undefined && (!session || last?.session?.id !== session.id)) {
    throw new AppError('invalid_request', 'after: there is no such job.', { param: 'after' });
  }
  if (!session) return { jobs: [], hasMore: false };
  const found: string[] = [];
  let from = last?.session ? last.session.turn - 1 : await lastTurn(deps.redis, session.id);
  for (; from > 0 && found.length <= limit; from -= SCAN) {
    const turns = await readTurns(deps.redis, session.id, from, Math.max(1, from - SCAN + 1));
    const ids = turns.map(({ jobId }) => jobId);
    found.push(...(await matching(deps, ids, filter)));
  }
  return { jobs: await readMany(deps, found.slice(0, limit)), hasMore: found.length > limit };
};

const matching = async (deps: Pick<Deps, 'redis'>, ids: string[], { status, type, sessionId }: JobFilter): Promise<string[]> => {
  if (ids.length === 0 || (status === undefined && type === undefined && sessionId === undefined)) return ids;
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
