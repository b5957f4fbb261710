import type { ErrorCode } from '../errors.ts';
import { renameId } from '../ids.ts';
import type { JobError, JobOutput, JobRecord, JobStatus, Usage } from '../jobs/job.ts';
import { readInput, readParameters } from '../jobs/long-texts.ts';
import type { Finished, PresentDeps } from './endpoint.ts';
import { incompleteReason, outputItems } from './response-output.ts';
import { tellParameters } from './response-parameters.ts';

/** A job as far as its response tells of it, at any time of its life. */
export type ResponseJob = Omit<Finished, 'output'> & Pick<JobRecord, 'status' | 'error'> & { output?: JobOutput };

type ResponseStatus = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled';

/** OpenAI has no word for a response that is being stopped. */
const STATUS = {
  queued: 'queued',
  in_progress: 'in_progress',
  cancelling: 'in_progress',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
  unknown_outcome: 'failed',
} as const satisfies Record<JobStatus, ResponseStatus>;

/** OpenAI's few codes of a failed response; whatever else went wrong is a `server_error` there. Ours stands in the native job. */
const FAILURES: Partial<Record<ErrorCode, string>> = {
  provider_paused: 'rate_limit_exceeded',
  provider_rate_limited: 'rate_limit_exceeded',
  provider_quota_exhausted: 'rate_limit_exceeded',
  provider_refused: 'invalid_prompt',
  provider_bad_request: 'invalid_prompt',
  context_too_long: 'invalid_prompt',
  image_unreadable: 'invalid_image',
};

const tellError = (error: JobError | undefined) =>
  error ? { code: FAILURES[error.code] ?? 'server_error', message: error.message } : { code: 'server_error', message: 'The job ended without a result.' };

/** OpenAI's shape wants every count: one that no provider told is 0, as nobody tells here what was written to a cache. */
const tellUsage = ({ inputTokens = 0, outputTokens = 0, cachedInputTokens = 0, reasoningTokens = 0 }: Usage) => ({
  input_tokens: inputTokens,
  input_tokens_details: { cached_tokens: cachedInputTokens, cache_write_tokens: 0 },
  output_tokens: outputTokens,
  output_tokens_details: { reasoning_tokens: reasoningTokens },
  total_tokens: inputTokens + outputTokens,
});

const instructionsOf = async (deps: PresentDeps, spec: ResponseJob['spec']): Promise<string | null> => {
  const { instructed, instructions } = spec.echo ?? {};
  if (typeof instructions === 'string') return instructions;
  if (!instructed) return null;
  const content = (await readInput(deps, spec)).messages?.[0]?.content;
  return typeof content === 'string' ? content : null;
};

const seconds = (ms: number | undefined): number | null => (ms === undefined ? null : Math.floor(ms / 1000));

/** The response of a job as it is now. @throws AppError `storage_error`, `not_found` when its long texts are gone. */
export const presentResponse = async (deps: PresentDeps, job: ResponseJob): Promise<Record<string, unknown>> => {
  const { spec } = job;
  const { echo = {} } = spec;
  const output = job.output?.kind === 'text' ? job.output : undefined;
  const reason = output && incompleteReason(output);
  const status: ResponseStatus = reason ? 'incomplete' : STATUS[job.status];
  return {
    id: renameId('resp', job.id),
    object: 'response',
    created_at: seconds(job.createdMs),
    status,
    background: echo['background'] ?? false,
    completed_at: status === 'completed' ? seconds(job.finishedMs) : null,
    error: status === 'failed' ? tellError(job.error) : null,
    incomplete_details: reason ? { reason } : null,
    instructions: await instructionsOf(deps, spec),
    model: job.servedBy?.model ?? spec.model,
    output: output ? outputItems(job.id, output) : [],
    previous_response_id: echo['previous_response_id'] ?? null,
    store: echo['store'] ?? true,
    truncation: 'disabled',
    max_tool_calls: null,
    access_programs: null,
    ...(job.usage && { usage: tellUsage(job.usage) }),
    metadata: spec.metadata,
    ...tellParameters(await readParameters(deps, spec)),
  };
};
