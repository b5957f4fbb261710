import { renameId } from '../ids.ts';
import type { JobEvent } from '../jobs/events.ts';
import { END_EVENTS, type JobRecord, type JobStatus } from '../jobs/job.ts';
import { readOutput } from '../jobs/long-texts.ts';
import { readJob } from '../jobs/store.ts';
import type { PresentDeps } from './endpoint.ts';
import { type AnswerEvent, createStreamedAnswer } from './response-answer.ts';
import { presentResponse } from './response-object.ts';

/** One event of a response's stream. */
export type ResponseEvent = AnswerEvent & { sequence_number: number };

export type ResponseEvents = {
  /** What the next event of the job says of its response. They are to be handed in from the first one on, each once. */
  add: (event: JobEvent) => Promise<ResponseEvent[]>;
  /**
   * The answer so far is void, another will come: numbers go on, so that no two events ever share one. Returns the numbers of its events:
   * of the first, and the one behind the last; undefined when it had not begun.
   */
  restart: () => { from: number; to: number } | undefined;
  /** Whether the answer has begun. */
  hasBegun: () => boolean;
};

const END_TYPES = new Set<string>(END_EVENTS);

/** Ends a stream that cannot go on although its response may. */
export const streamInterrupted = (jobId: string, why: string): AnswerEvent => ({
  type: 'error',
  code: 'stream_interrupted',
  message: `${why} Poll the response ${renameId('resp', jobId)} for it.`,
  param: null,
});

/** The last event of a response that has ended. */
export const endOfResponse = async (deps: PresentDeps, jobId: string): Promise<AnswerEvent> => {
  const job = await readJob(deps.redis, jobId);
  if (!job) return { type: 'error', code: 'not_found', message: 'The response was deleted.', param: null };
  const output = await readOutput(deps, job);
  const response = await presentResponse(deps, { ...job, ...(output && { output }) });
  const { status } = response;
  // Streams have no event of a response that was cancelled: its status tells.
  return { type: status === 'completed' || status === 'incomplete' ? `response.${status}` : 'response.failed', response };
};

/** The first events of a response: they tell what it was asked with, and nothing of what has come since. */
const beginning = async (deps: PresentDeps, { id, createdMs, spec }: JobRecord, status: JobStatus, types: string[]): Promise<AnswerEvent[]> => {
  const response = await presentResponse(deps, { id, createdMs, spec, warnings: [], status });
  return types.map((type) => ({ type, response }));
};

/**
 * Turns the events of a job into those of its response. The same events give the same numbers, whoever reads them and when: that is
 * what `starting_after` resumes on. Who was told of an answer that broke off cannot be told of the next one: deltas are not taken back
 * in this protocol. Who was not reads on, over a gap in the numbers.
 */
export const createResponseEvents = (deps: PresentDeps, job: JobRecord): ResponseEvents => {
  let answer = createStreamedAnswer(job.id);
  let answerFrom: number | undefined;
  const isBackground = job.spec.echo?.['background'] === true;
  let number = 0;
  let isCreated = false;
  let isStarted = false;

  const end = async (): Promise<AnswerEvent[]> => {
    const last = await endOfResponse(deps, job.id);
    if (last.type === 'response.completed') return [...answer.close('completed'), last];
    return last.type === 'response.incomplete' ? [...answer.close('incomplete'), last] : [last];
  };

  const start = async (): Promise<AnswerEvent[]> => {
    if (isStarted) return [];
    isStarted = true;
    return beginning(deps, job, 'in_progress', ['response.in_progress']);
  };

  // A job is queued and started for every attempt, a response once.
  const create = async (): Promise<AnswerEvent[]> => {
    if (isCreated) return [];
    isCreated = true;
    if (isBackground) return beginning(deps, job, 'queued', ['response.created', 'response.queued']);
    return beginning(deps, job, 'in_progress', ['response.created']);
  };

  const translate = async (event: JobEvent): Promise<AnswerEvent[]> => {
    if (event.type === 'job.queued') return create();
    if (event.type === 'job.started') return start();
    if (event.type === 'output.delta') return answer.add(event);
    return END_TYPES.has(event.type) ? end() : [];
  };

  return {
    async add(event) {
      const from = number;
      const told = (await translate(event)).map(({ type, ...said }) => ({ type, sequence_number: number++, ...said }));
      if (answer.hasBegun()) answerFrom ??= from;
      return told;
    },
    restart() {
      const told = answerFrom === undefined ? undefined : { from: answerFrom, to: number };
      answer = createStreamedAnswer(job.id);
      answerFrom = undefined;
      return told;
    },
    hasBegun: () => answer.hasBegun(),
  };
};
