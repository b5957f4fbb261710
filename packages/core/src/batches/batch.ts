import type { BatchEndpointName } from '../endpoints/table.ts';
import type { BatchEventType } from '../webhooks/event.ts';

/** Every status of a batch, as OpenAI has them. */
export const BATCH_STATUSES = ['validating', 'failed', 'in_progress', 'finalizing', 'completed', 'expired', 'cancelling', 'cancelled'] as const;
export type BatchStatus = (typeof BATCH_STATUSES)[number];

/**
 * The life of a batch. The worker reads the whole file first (`validating`): one bad line and it is `failed` without a provider call.
 * Then its chunks run (`in_progress`); when all have ended, or a stop (cancel, expiry, cost cap) let the last running one end, the output and
 * error files are written (`finalizing`, or still `cancelling`). The Lua scripts carry it out.
 */
export const BATCH_TRANSITIONS = {
  validating: ['failed', 'in_progress', 'cancelling', 'expired'],
  in_progress: ['finalizing', 'cancelling'],
  finalizing: ['completed', 'expired', 'failed'],
  cancelling: ['cancelled'],
  failed: [],
  completed: [],
  expired: [],
  cancelled: [],
} as const satisfies Record<BatchStatus, readonly BatchStatus[]>;

export type BatchEnd = 'failed' | 'completed' | 'expired' | 'cancelled';
const BATCH_ENDS = ['failed', 'completed', 'expired', 'cancelled'] as const satisfies readonly BatchEnd[];
/** Whether nothing follows any more. */
export const isEnded = (status: BatchStatus): status is BatchEnd => (BATCH_ENDS as readonly string[]).includes(status);

/** Limits of the contract. */
export const MAX_LINES = 50_000;
/** A line is a request: no longer than the largest body of a compatible route. */
export const MAX_LINE_BYTES = 50 * 1024 * 1024;

/**
 * Lines of one chunk message. 64: their state is one script reply, their results are one blob of some tens of kB, and 50,000 lines are 782
 * messages, of which a window of `CHUNK_WINDOW` is ever in the queue.
 */
export const CHUNK_LINES = 64;
/** Chunks of one batch in the queue or running at once: 512 lines can be under way, as many as a provider of 600 pictures a minute at 50 s each needs. */
export const CHUNK_WINDOW = 8;
/** Provider calls of one line before it fails (promise 1); pauses are none. */
export const MAX_TRIES = 3;

/** Why a batch takes no new lines. `input_gone`: its file was deleted under it. */
export type BatchStop = 'cancelled' | 'expired' | 'capped' | 'input_gone';

/** What OpenAI lists in `errors.data`. `line` counts from 1. */
export type BatchProblem = { code: string; message: string; line: number | null; param: string | null };

/**
 * When what only the batch reads of the blob store (the offsets of its chunks, the results of its lines) may go, in unix ms: after the batch
 * itself, which is kept for `blobTtlSeconds` from its end, and that comes at its expiry at the latest, or somewhat after it.
 */
export const partsExpireMs = (spec: Pick<BatchSpec, 'expiresMs'>, blobTtlSeconds: number): number => spec.expiresMs + (blobTtlSeconds + 86_400) * 1000;

/** What does not change of a batch: one JSON field of its record. */
export type BatchSpec = {
  tenant: string;
  keyId: string;
  endpoint: BatchEndpointName;
  inputFileId: string;
  inputBlobId: string;
  metadata: Record<string, string>;
  /** Unix ms; 24 h after its creation. */
  expiresMs: number;
  /** Life of the output files in seconds, counted from their creation; unset = that of blobs. */
  outputTtlSeconds?: number;
  maxCostUsd?: number;
  webhook?: { url: string; events: BatchEventType[] };
  /** System prompt and models of the key it was made with. */
  system?: string;
  models?: readonly string[];
  /** The batch whose failed lines these are. */
  retryOf?: string;
};

/** Sum over the lines that ended with a result. */
type BatchUsage = { inputTokens: number; cachedInputTokens: number; outputTokens: number; reasoningTokens: number };

/** The record as Redis holds it. Counts come from bitmaps, so a line that is settled twice counts once. */
export type BatchRecord = {
  id: string;
  spec: BatchSpec;
  status: BatchStatus;
  createdMs: number;
  /** Unix ms of each status it reached. */
  reachedMs: Partial<Record<BatchStatus, number>>;
  stop?: BatchStop;
  total: number;
  completed: number;
  failed: number;
  chunks: number;
  /** Blob of the byte offsets of its chunks. */
  indexBlobId?: string;
  /** Model of every line, if it is one. */
  model?: string;
  usage: BatchUsage;
  costUsd?: number;
  problems: BatchProblem[];
  outputFileId?: string;
  errorFileId?: string;
};
