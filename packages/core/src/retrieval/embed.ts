import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { modelOf } from '../providers/models.ts';
import { paced } from '../providers/pacing/paced.ts';
import type { Target } from '../providers/provider.ts';
import type { Embedding } from './collection.ts';
import { LOCAL_DIMENSIONS, LOCAL_MODEL } from './local-embedder.ts';

/** How long a search waits for its turn at a provider. */
const QUERY_WAIT_MS = 5000;
const QUERY_TIMEOUT_MS = 30_000;
/** What is embedded of a question. */
const MAX_QUERY_CHARS = 8000;

/** The model of new collections that name none: the setting, else a provider that makes vectors, else the one in the house. */
const defaultModel = (deps: Pick<Deps, 'config' | 'providers'>): string => {
  const { embeddingModel } = deps.config.retrieval;
  if (embeddingModel !== undefined) return embeddingModel;
  // Simulated vectors know nothing of meaning; the model in the house is real.
  if (deps.providers.simulated) return LOCAL_MODEL;
  try {
    deps.providers.targets('embedding-default', 'embedding');
    return 'embedding-default';
  } catch {
    return LOCAL_MODEL;
  }
};

/**
 * Settles who makes the vectors of a new collection: what an alias stands for today is written down, because tomorrow it may stand for another.
 * @throws AppError `model_not_found`, `model_not_available`, `model_type_mismatch`, `insufficient_scope`.
 */
export const chooseEmbedding = (deps: Pick<Deps, 'config' | 'providers'>, asked: string | undefined, allowed: readonly string[] | undefined): Embedding => {
  const name = asked ?? defaultModel(deps);
  if (name === LOCAL_MODEL) return { provider: 'local', model: LOCAL_MODEL, dimensions: LOCAL_DIMENSIONS };
  if (asked !== undefined && allowed && !allowed.includes(asked)) {
    throw new AppError('insufficient_scope', `This key may not use ${asked}.`, { param: 'embedding_model' });
  }
  try {
    const [target] = deps.providers.targets(name, 'embedding');
    if (!target) throw new AppError('model_not_available', `No provider serves ${name}.`);
    return { provider: target.provider.name, model: target.model, dimensions: modelOf(target.model)?.dimensions ?? null };
  } catch (error) {
    if (error instanceof AppError) throw new AppError(error.code, error.message, { param: 'embedding_model' });
    throw error;
  }
};

/**
 * The provider model of a collection's vectors, and no other: a successor's vectors lie in another space.
 * @throws AppError `model_not_available` when this installation cannot ask it (any more).
 */
export const embeddingTargets = (deps: Pick<Deps, 'providers'>, { provider, model }: Embedding): Target[] => {
  let targets: Target[] = [];
  try {
    targets = deps.providers.targets(model, 'embedding');
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
  }
  const same = targets.filter((target) => target.model === model && target.provider.name === provider);
  if (same.length > 0) return same;
  throw new AppError(
    'model_not_available',
    `The vectors of this collection were made by ${model} (${provider}), which this installation cannot ask now. Set its provider up again, or ingest the documents into a new collection with another embedding_model.`,
    { param: 'collection_id' },
  );
};

/** The part of a question that is searched for. */
export const queryText = (query: string): string => query.slice(0, MAX_QUERY_CHARS).toWellFormed();

/**
 * The vector of a question, by the model that made those of the collection.
 * @throws AppError `model_not_available`, `provider_paused` and what the provider answers.
 */
export const embedQuery = async (
  deps: Pick<Deps, 'providers' | 'pacer' | 'retrieval'>,
  embedding: Embedding,
  query: string,
  signal?: AbortSignal,
): Promise<Float32Array> => {
  const clock = AbortSignal.timeout(QUERY_TIMEOUT_MS);
  const either = signal ? AbortSignal.any([signal, clock]) : clock;
  const text = queryText(query);
  if (embedding.provider === 'local') {
    const [vector] = await deps.retrieval.local.embed([text], { signal: either, isUrgent: true });
    return vector ?? new Float32Array();
  }
  const [target] = embeddingTargets(deps, embedding);
  const embed = target?.provider.embed;
  if (!target || !embed) throw new AppError('model_not_available', `${embedding.model} makes no vectors.`);
  const wanted = { provider: target.provider.name, model: target.model, class: 'interactive', images: 0, maxWaitMs: QUERY_WAIT_MS, signal: either } as const;
  const { vectors } = await paced(deps.pacer, wanted, (options) => embed({ model: target.model, inputs: [text], parameters: {} }, options));
  const [vector] = vectors;
  if (!vector) throw new AppError('provider_bad_response', 'The provider made no vector of the query.');
  return vector;
};
