import { encodeVector } from '@fana/core/providers/vector.ts';
import type { Processor } from './processor.ts';

/** Makes the vectors of an embedding job with one call, in the order of its texts. */
export const processEmbedding: Processor = async (deps, run) => {
  const { job, input } = run;
  const inputs = input.texts ?? [];
  const { result, target } = await run.call(deps.providers.targets(job.spec.model, 'embedding'), (to, options) => {
    if (!to.provider.embed) throw new Error(`provider ${to.provider.name} makes no vectors`);
    return to.provider.embed({ model: to.model, inputs, parameters: job.spec.parameters }, options);
  });
  const { vectors } = result;
  return {
    output: { kind: 'embeddings', count: vectors.length, dimensions: vectors[0]?.length ?? 0, vectors: vectors.map(encodeVector) },
    usage: result.usage,
    servedBy: { provider: target.provider.name, model: result.model },
    warnings: target.warnings,
    costUsd: deps.providers.costUsd(target.provider.name, target.model, result.usage),
  };
};
