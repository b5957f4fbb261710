import { ENDPOINTS } from '../endpoints/table.ts';
import type { BatchRecord, BatchStatus } from './batch.ts';

const seconds = (ms: number | undefined): number | null => (ms === undefined ? null : Math.floor(ms / 1000));

/** OpenAI's batch object, and beyond it `cost_usd`, `max_cost_usd` and `retry_of`. Prices that are not known leave `cost_usd` null. */
export const presentBatch = ({ id, spec, status, createdMs, reachedMs, total, completed, failed, usage, ...batch }: BatchRecord) => {
  const reached = (name: BatchStatus): number | null => seconds(reachedMs[name]);
  return {
    id,
    object: 'batch' as const,
    endpoint: ENDPOINTS[spec.endpoint].url,
    model: batch.model ?? null,
    errors: batch.problems.length > 0 ? { object: 'list' as const, data: batch.problems } : null,
    input_file_id: spec.inputFileId,
    completion_window: '24h' as const,
    status,
    output_file_id: batch.outputFileId ?? null,
    error_file_id: batch.errorFileId ?? null,
    created_at: seconds(createdMs),
    in_progress_at: reached('in_progress'),
    expires_at: seconds(spec.expiresMs),
    finalizing_at: reached('finalizing'),
    completed_at: reached('completed'),
    failed_at: reached('failed'),
    expired_at: reached('expired'),
    cancelling_at: reached('cancelling'),
    cancelled_at: reached('cancelled'),
    request_counts: { total, completed, failed },
    usage: {
      input_tokens: usage.inputTokens,
      input_tokens_details: { cached_tokens: usage.cachedInputTokens },
      output_tokens: usage.outputTokens,
      output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
      total_tokens: usage.inputTokens + usage.outputTokens,
    },
    metadata: spec.metadata,
    cost_usd: batch.costUsd ?? null,
    max_cost_usd: spec.maxCostUsd ?? null,
    retry_of: spec.retryOf ?? null,
  };
};
