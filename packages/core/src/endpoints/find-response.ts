import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { isId, renameId } from '../ids.ts';
import type { InputMessage, JobRecord, JobSpec } from '../jobs/job.ts';
import { readInput, readOutput } from '../jobs/long-texts.ts';
import { readJob } from '../jobs/store.ts';
import { outputItems } from './response-output.ts';

type ReadDeps = Pick<Deps, 'redis' | 'blobs' | 'now'>;

/** Whether a job is a response that can be fetched: `store: false` keeps it from that. */
const isStoredResponse = ({ spec }: Pick<JobRecord, 'spec'>): boolean => spec.endpoint === 'responses' && spec.echo?.['store'] !== false;

/** The job behind a response's id, if it is this tenant's and was stored. */
export const findResponse = async (deps: Pick<Deps, 'redis'>, tenant: string, id: string): Promise<JobRecord | undefined> => {
  const job = isId('resp', id) ? await readJob(deps.redis, renameId('job', id)) : undefined;
  return job?.spec.tenant === tenant && isStoredResponse(job) ? job : undefined;
};

/** The conversation a response was asked with, without its instructions. */
export const conversationOf = async (deps: ReadDeps, spec: JobSpec): Promise<InputMessage[]> => {
  const { messages = [] } = await readInput(deps, spec);
  return spec.echo?.['instructed'] ? messages.slice(1) : messages;
};

/** Items of answers are named after their response (response-output.ts). */
const ITEM_ID = /^(?:msg|fc)(_[0-9A-Za-z]{22})(?:at\d+)?$/;

/** An item of an earlier answer by its id. @throws AppError `not_found` with `param`. */
export const findOutputItem = async (deps: ReadDeps, tenant: string, id: string, param: string): Promise<Record<string, unknown>> => {
  const response = ITEM_ID.exec(id)?.[1];
  const job = response === undefined ? undefined : await findResponse(deps, tenant, `resp${response}`);
  const output = job && (await readOutput(deps, job));
  const item = output?.kind === 'text' ? outputItems(job?.id ?? '', output).find((made) => made['id'] === id) : undefined;
  if (!item) throw new AppError('not_found', `${param}: there is no item ${id.slice(0, 100)} of an earlier answer.`, { param });
  return item;
};
