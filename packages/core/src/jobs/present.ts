import { signedBlobUrl } from '../blobs/signed-url.ts';
import type { Deps } from '../deps.ts';
import type { Attempt, Citation, EmbeddingOutput, ImageOutput, IngestOutput, JobError, JobRecord, Source, TextOutput, Usage } from './job.ts';
import { readOutput } from './long-texts.ts';

const seconds = (ms: number | undefined): number | null => (ms === undefined ? null : Math.floor(ms / 1000));

const presentError = (error: JobError | undefined | null) =>
  error
    ? { code: error.code, message: error.message, ...(error.param && { param: error.param }), ...(error.providerCode && { provider_code: error.providerCode }) }
    : null;

const presentAttempt = (attempt: Attempt) => ({
  number: attempt.number,
  provider: attempt.provider,
  model: attempt.model,
  started_at: Math.floor(attempt.startedAt),
  finished_at: attempt.finishedAt === null ? null : Math.floor(attempt.finishedAt),
  outcome: attempt.outcome,
  error: presentError(attempt.error),
});

const presentUsage = (usage: Usage | undefined) =>
  usage ? { input_tokens: usage.inputTokens ?? null, output_tokens: usage.outputTokens ?? null, images: usage.images ?? 0 } : null;

/** Vectors that are too long for the record stay in their blob, whose id is told instead. */
const presentEmbeddings = ({ count, dimensions, vectors }: EmbeddingOutput, blobId: string | undefined) => ({
  embeddings: { count, dimensions, encoding: 'base64_float32', vectors: blobId === undefined ? vectors : null, blob_id: blobId ?? null },
});

const presentCitation = ({ documentId, chunk, title, url, score }: Citation) => ({ document_id: documentId, chunk, title, url, score });

/** What a message was answered with, as clients see it. */
export const presentOutput = (config: Deps['config'], output: TextOutput | ImageOutput | IngestOutput | undefined, language: string | null) => {
  if (!output) return null;
  if (output.kind === 'ingest') return { collection_id: output.collectionId, document_id: output.documentId, chunks: output.chunks };
  if (output.kind === 'text')
    return { text: output.text, finish_reason: output.finishReason, language, citations: (output.citations ?? []).map(presentCitation) };
  return {
    images: output.images.map((image) => ({
      blob_id: image.blobId,
      url: signedBlobUrl(config, image.blobId, image.expiresMs),
      media_type: image.mediaType,
      width: image.width,
      height: image.height,
      bytes: image.bytes,
      sha256: image.sha256,
      revised_prompt: image.revisedPrompt ?? null,
    })),
  };
};

const presentSources = (job: JobRecord): { url: string; kind: string; status: string; title: string | null }[] => {
  const sources: Source[] = job.sources ?? job.spec.urls.map((named) => ({ ...named, status: 'pending' as const }));
  return sources.map(({ url, kind, status, title }) => ({ url, kind, status, title: title ?? null }));
};

const readPresented = async (deps: Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>, job: JobRecord) => {
  if (job.output?.kind === 'embeddings') return presentEmbeddings(job.output, job.outputBlobId);
  const output = await readOutput(deps, job);
  return output?.kind === 'embeddings'
    ? presentEmbeddings(output, job.outputBlobId)
    : presentOutput(deps.config, output, job.spec.language ?? job.language ?? null);
};

/** The job as a client sees it. @throws AppError `storage_error` when a long result cannot be read back. */
export const presentJob = async (deps: Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>, job: JobRecord) => {
  const { spec } = job;
  return {
    id: job.id,
    object: 'job' as const,
    type: spec.type,
    status: job.status,
    run: job.run,
    trigger: { ...spec.trigger, language: job.language ?? null },
    model: spec.model,
    served_by: job.servedBy ?? null,
    input_preview: spec.inputPreview,
    output: await readPresented(deps, job),
    usage: presentUsage(job.usage),
    cost_usd: job.costUsd ?? null,
    system_prompt: { source: spec.system.source },
    sources: presentSources(job),
    attempts: job.attempts.map(presentAttempt),
    error: presentError(job.error),
    warnings: job.warnings,
    session_id: spec.sessionId ?? null,
    metadata: spec.metadata,
    priority: spec.priority,
    created_at: seconds(job.createdMs),
    run_at: seconds(spec.runAtMs),
    started_at: seconds(job.startedMs),
    finished_at: seconds(job.finishedMs),
    expires_at: seconds(job.expiresMs),
  };
};
