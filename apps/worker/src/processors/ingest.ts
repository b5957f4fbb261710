import { embeddingTargets } from '@fana/core/retrieval/embed.ts';
import { ingest } from '@fana/core/retrieval/ingest.ts';
import { LOCAL_MODEL } from '@fana/core/retrieval/local-embedder.ts';
import type { Processor } from './processor.ts';

/** Of the model in the house, a group takes some seconds; of a provider, one call. */
const LOCAL_GROUP = 32;
const PROVIDER_GROUP = 128;

/** Reads a document into its collection. Every call for vectors is a line of the ledger; the model in the house calls nobody. */
export const processIngest: Processor = async (deps, run) => {
  const { job, signal } = run;
  if (!job.spec.ingest) throw new Error('an ingest without a document');
  const { collectionId, documentId } = job.spec.ingest;
  const spent = { inputTokens: 0, costUsd: 0, isPriced: true, warnings: new Set<string>(), servedBy: { provider: 'local', model: LOCAL_MODEL } };
  const { chunks } = await ingest(deps, {
    jobId: job.id,
    collectionId,
    documentId,
    signal,
    groupSize: ({ embedding }) => (embedding.provider === 'local' ? LOCAL_GROUP : PROVIDER_GROUP),
    async embed({ embedding }, inputs) {
      if (embedding.provider === 'local') return deps.retrieval.local.embed(inputs, { signal });
      const { result, target } = await run.call(embeddingTargets(deps, embedding), (to, options) => {
        if (!to.provider.embed) throw new Error(`provider ${to.provider.name} makes no vectors`);
        return to.provider.embed({ model: to.model, inputs, parameters: {} }, options);
      });
      await run.settle?.();
      const cost = deps.providers.costUsd(target.provider.name, target.model, result.usage);
      spent.inputTokens += result.usage.inputTokens ?? 0;
      spent.costUsd += cost ?? 0;
      spent.isPriced &&= cost !== undefined;
      spent.servedBy = { provider: target.provider.name, model: result.model };
      for (const warning of target.warnings) spent.warnings.add(warning);
      return result.vectors;
    },
  });
  return {
    output: { kind: 'ingest', collectionId, documentId, chunks },
    usage: { inputTokens: spent.inputTokens },
    servedBy: spent.servedBy,
    warnings: [...spent.warnings],
    costUsd: spent.servedBy.provider !== 'local' && spent.isPriced ? spent.costUsd : undefined,
  };
};
