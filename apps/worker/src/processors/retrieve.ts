import type { Deps } from '@fana/core/deps.ts';
import { AppError } from '@fana/core/errors.ts';
import type { Collection } from '@fana/core/retrieval/collection.ts';
import { embeddingTargets, queryText } from '@fana/core/retrieval/embed.ts';
import { findCollection } from '@fana/core/retrieval/manage-collections.ts';
import { type Retrieved, retrievedBlock } from '@fana/core/retrieval/retrieved-block.ts';
import { searchVector } from '@fana/core/retrieval/search.ts';
import type { ProcessResult, Run } from './processor.ts';

/** The vector of a message; a provider's is a call of the job, with a line in its ledger. */
const vectorOf = async (deps: Deps, run: Run, { embedding }: Collection, text: string): Promise<Float32Array> => {
  if (embedding.provider === 'local') {
    const [vector] = await deps.retrieval.local.embed([text], { signal: run.signal, isUrgent: true });
    return vector ?? new Float32Array();
  }
  const { result } = await run.call(embeddingTargets(deps, embedding), (to, options) => {
    if (!to.provider.embed) throw new Error(`provider ${to.provider.name} makes no vectors`);
    return to.provider.embed({ model: to.model, inputs: [text], parameters: {} }, options);
  });
  await run.settle?.();
  return result.vectors[0] ?? new Float32Array();
};

/** Finds what the collection of a job says about its message. @throws AppError `not_found` when the collection was deleted meanwhile, and what a search throws. */
export const retrieve = async (deps: Deps, run: Run): Promise<Retrieved> => {
  const { retrieval, tenant } = run.job.spec;
  const query = queryText(run.input.text);
  if (!retrieval || query.trim() === '') return { citations: [] };
  const collection = await findCollection(deps, tenant, retrieval.collectionId);
  if (!collection) throw new AppError('not_found', 'The collection of this job was deleted.', { param: 'retrieval.collection_id' });
  const vector = await vectorOf(deps, run, collection, query);
  return retrievedBlock(await searchVector(deps, collection, { query, topK: retrieval.topK }, vector));
};

/** The same result with what it was made from. */
export const cited = (result: ProcessResult, { citations }: Retrieved): ProcessResult =>
  result.output.kind === 'text' && citations.length > 0 ? { ...result, output: { ...result.output, citations } } : result;
