import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { pictureTask } from '../jobs/catalog.ts';
import type { EndpointName, JobInput, JobOutput, JobRecord, JobSpec, ModelType } from '../jobs/job.ts';

/** What one request to an OpenAI endpoint asks of core. `parameters` are in our words (jobs/catalog.ts) where we have one, else in OpenAI's. */
export type EndpointCall = {
  type: ModelType;
  model: string;
  input: JobInput;
  parameters: Record<string, unknown>;
  /** What the reply repeats or depends on and no provider is told (`JobSpec.echo`). */
  echo: Record<string, unknown>;
  /** Fields of `echo` that stand in `input` too: the record of a job, which has its input, does not hold them twice. */
  inInput?: readonly string[];
  metadata: Record<string, string>;
  /** Blobs this request alone brought: they end with its job. */
  ownedBlobIds?: string[];
  /** What is told on the job of this request beside its result. */
  warnings?: string[];
  /** Where a parameter stands in this endpoint's body, if not under our name for it: `max_tokens` → `max_output_tokens`. */
  places?: Readonly<Record<string, string>>;
};

/** A finished job, or a finished line of a batch, as far as its reply tells of it. */
export type Finished = Pick<JobRecord, 'id' | 'createdMs' | 'finishedMs' | 'usage' | 'servedBy' | 'warnings'> & {
  spec: Pick<JobSpec, 'tenant' | 'model' | 'type' | 'parameters' | 'parametersBlobId' | 'metadata' | 'input' | 'inputBlobId'> & {
    echo?: Record<string, unknown>;
  };
  output: JobOutput;
};

export type ParseDeps = Pick<Deps, 'providers' | 'redis' | 'blobs' | 'config' | 'now'>;
export type PresentDeps = Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>;

/**
 * One OpenAI endpoint over core. The API's routes and the lines of batches share it: HTTP is in apps/api/src/openai.
 */
export type Endpoint = {
  name: EndpointName;
  /** Path of the endpoint, as the lines of a batch name it. */
  url: string;
  /**
   * Reads a body. What the model can do is checked by `checkCall`.
   * @throws AppError `invalid_request`, `unsupported_parameter`, with `param` as a path in the body.
   */
  parse: (deps: ParseDeps, tenant: string, body: Record<string, unknown>) => Promise<EndpointCall>;
  /** The reply of a finished call. @throws AppError `storage_error`, `not_found` when its bytes are gone. */
  present: (deps: PresentDeps, finished: Finished) => Promise<Record<string, unknown>>;
};

/** On a compatible route a parameter stands in the body itself. */
const inTheBody = (thrown: unknown, places: EndpointCall['places'] = {}): unknown => {
  if (!(thrown instanceof AppError) || !thrown.param?.startsWith('parameters.')) return thrown;
  const { code, message, provider, retryAfterMs, detail, cause } = thrown;
  const name = thrown.param.slice('parameters.'.length);
  const param = Object.hasOwn(places, name) ? (places[name] ?? name) : name;
  return new AppError(code, message, {
    param,
    cause,
    ...(provider && { provider }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(detail && { detail }),
  });
};

/**
 * Whether a model serves a call, with its parameters.
 * @throws AppError `model_not_found`, `model_not_available`, `model_type_mismatch`, `insufficient_scope` (param `model`), `unsupported_parameter`.
 */
export const checkCall = (
  deps: Pick<Deps, 'providers'>,
  { model, type, input, parameters, places }: EndpointCall,
  models: readonly string[] | undefined,
): void => {
  if (models && !models.includes(model)) throw new AppError('insufficient_scope', `This key may not use ${model}.`, { param: 'model' });
  try {
    deps.providers.checkParameters(model, type, parameters, pictureTask(type, input));
  } catch (thrown) {
    throw inTheBody(thrown, places);
  }
};
