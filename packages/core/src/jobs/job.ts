import type { ErrorCode } from '../errors.ts';
import type { Unreadable } from '../web/unreadable.ts';

/** The OpenAI endpoints that are core jobs underneath (endpoints/). */
export type EndpointName = 'chat.completions' | 'responses' | 'images.generations' | 'images.edits' | 'embeddings';

/** The job types that exist now; a model serves one or more of them (providers/models.ts). */
export const JOB_TYPES = ['chat', 'image', 'vision', 'embedding', 'ingest'] as const;
export type JobType = (typeof JOB_TYPES)[number];
/** The types that models serve; documents are read and cut here. */
export type ModelType = Exclude<JobType, 'ingest'>;
/** The types of `POST /v1/jobs`: what a message can ask for. The others come by routes of their own. */
export const MESSAGE_TYPES = ['chat', 'image', 'vision'] as const satisfies readonly JobType[];
export type MessageType = (typeof MESSAGE_TYPES)[number];

/** Every status of a job, as clients see them. */
export const JOB_STATUSES = ['queued', 'in_progress', 'cancelling', 'completed', 'failed', 'cancelled', 'unknown_outcome'] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

/**
 * The life of one run of a job. `claim` (lease) and `release` (back to the queue) go back and forth; everything
 * on the right-hand side without a successor is an end. `retry` starts a new run of the same id.
 * The Lua scripts carry it out; test/transitions.test.ts holds them to this table.
 */
export const TRANSITIONS = {
  queued: ['in_progress', 'cancelled', 'failed'],
  in_progress: ['queued', 'cancelling', 'completed', 'failed', 'cancelled', 'unknown_outcome'],
  cancelling: ['cancelled', 'completed', 'failed', 'unknown_outcome'],
  completed: [],
  failed: ['queued'],
  cancelled: ['queued'],
  unknown_outcome: ['queued'],
} as const satisfies Record<JobStatus, readonly JobStatus[]>;

export type TerminalStatus = 'completed' | 'failed' | 'cancelled' | 'unknown_outcome';
/** The ends of a run: each has its event and webhook, and nothing follows but a retry. */
export const TERMINAL_STATUSES = ['completed', 'failed', 'cancelled', 'unknown_outcome'] as const satisfies readonly TerminalStatus[];
/** Whether a run with this status has ended. */
export const isTerminal = (status: JobStatus): status is TerminalStatus => (TERMINAL_STATUSES as readonly string[]).includes(status);

/**
 * A picture a job was given: where to find it. `data` (a base64 data URL) is how a request brings its bytes: it becomes a blob before a
 * job's record is written, for no record holds bytes (promise 6). The line of a batch is read from its file and keeps it.
 */
export type ImageRef = { kind: 'url'; url: string } | { kind: 'blob'; blobId: string } | { kind: 'data'; url: string };

/** `other`: a part in OpenAI's words that is passed on as it came (files, audio, refusals). */
export type MessagePart =
  | { type: 'text'; text: string }
  | { type: 'image'; image: ImageRef; detail?: 'auto' | 'low' | 'high' }
  | { type: 'other'; part: Record<string, unknown> };
/** `other`: fields of a message in OpenAI's words that are passed on as they came (name, tool_calls, tool_call_id, refusal). */
export type InputMessage = {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool' | 'function';
  content: string | MessagePart[] | null;
  other?: Record<string, unknown>;
};

/** One text to make a vector of: as it came, or as the model's own tokens. */
export type EmbeddingInput = string | number[];

/**
 * What the client asked about. `text` is what was classified: the text itself, or that of the last user message. `texts` are those of an
 * embedding job, whose `text` is the beginning of the first one, for the preview. `mask` says where the first of `images` is to be edited.
 */
export type JobInput = { text: string; images: ImageRef[]; mask?: ImageRef; messages?: InputMessage[]; texts?: EmbeddingInput[] };

export type UrlKind = 'image' | 'page' | 'document';
/**
 * What became of a URL named in the text: `read`; `truncated`, read in part; `not_read`, nobody asked for it (a picture in a chat, a page in an
 * order for a picture); else why it could not be read (docs/sources.md).
 */
export type Source = { url: string; kind: UrlKind; status: 'pending' | 'read' | 'truncated' | 'not_read' | Unreadable; title?: string };

/** `session`: what an earlier turn showed decided it. */
export type JobTrigger = { label: JobType; confidence: number; source: 'request' | 'rules' | 'model' | 'session' | 'llm' };

type JobWebhook = { url: string; events: JobEventType[] };
/** The event of the end of a run: the last one of its stream, and the one its webhook carries. */
export type JobEventType = `job.${TerminalStatus}`;
/** One for each terminal status. */
export const END_EVENTS = TERMINAL_STATUSES.map((status): JobEventType => `job.${status}`);

/**
 * What does not change after acceptance: one JSON field of the record. Inputs and parameters that are over 8 kB, or may hold
 * bytes, live in blobs (`inputBlobId`, `parametersBlobId`).
 */
export type JobSpec = {
  tenant: string;
  keyId: string;
  type: JobType;
  trigger: JobTrigger;
  /** As the client named it: an id or an alias. */
  model: string;
  input?: JobInput;
  inputBlobId?: string;
  inputPreview: string;
  /** Empty in a record that was read while they are in `parametersBlobId`. */
  parameters: Record<string, unknown>;
  parametersBlobId?: string;
  system: { source: 'installation' | 'key' | 'session' | 'job'; text?: string };
  urls: { url: string; kind: UrlKind }[];
  warnings: string[];
  metadata: Record<string, string>;
  priority: number;
  webhook?: JobWebhook;
  /** The OpenAI endpoint it came in by; unset for `/v1/jobs`. Its messages are passed on as they are. */
  endpoint?: EndpointName;
  /** What the reply of that endpoint repeats or depends on and no provider is told. */
  echo?: Record<string, unknown>;
  /** Chunks of a collection to answer from. */
  retrieval?: { collectionId: string; topK: number };
  /** Of an ingest: the document it reads. */
  ingest?: { collectionId: string; documentId: string };
  /** Provider pauses are waited out this long in all, then the job fails: compatible routes answer 429. */
  pauseBudgetMs?: number;
  runAtMs?: number;
  deadlineSeconds?: number;
  sessionId?: string;
  /** The pictures of the latest turn before it that made or showed some are this job's too: to edit, or to look at. */
  takesSessionPictures?: true;
  /** The language to answer in, if the job or its session says so: a BCP 47 tag. */
  language?: string;
  /** Blobs this job alone owns (attached pictures, large input): erased with it. */
  ownedBlobIds: string[];
};

/** `paused`: the provider asked to wait. `unknown`: the request was sent and no complete reply came. */
export type AttemptOutcome = 'completed' | 'failed' | 'refused' | 'paused' | 'cancelled' | 'unknown';
/** One provider call. Written before the call; `outcome` is null until it is known. Times are unix seconds with fraction. */
export type Attempt = {
  number: number;
  provider: string;
  model: string;
  startedAt: number;
  finishedAt: number | null;
  outcome: AttemptOutcome | null;
  error: JobError | null;
};

/**
 * Why a job or an attempt failed. `message` is shown; `providerCode` is the provider's own code. `providerStatus` and `providerParam` are
 * kept for the compatible routes, whose clients expect the provider's 4xx as it was.
 */
export type JobError = {
  code: ErrorCode;
  message: string;
  param?: string;
  providerCode?: string;
  providerStatus?: number;
  providerParam?: string;
  retryAfterMs?: number;
};

/**
 * `cachedInputTokens`, `cacheWriteInputTokens` and `imageInputTokens` are parts of `inputTokens` with a price of their own; `imageOutputTokens`, `reasoningTokens`
 * and the two of a prediction are parts of `outputTokens`. The native job does not show them.
 */
export type Usage = {
  inputTokens?: number;
  outputTokens?: number;
  images?: number;
  cachedInputTokens?: number;
  cacheWriteInputTokens?: number;
  imageInputTokens?: number;
  imageOutputTokens?: number;
  reasoningTokens?: number;
  acceptedPredictionTokens?: number;
  rejectedPredictionTokens?: number;
};

/** A picture a job made; its bytes are a blob. */
export type StoredImage = {
  blobId: string;
  mediaType: string;
  width: number;
  height: number;
  bytes: number;
  sha256: string;
  expiresMs: number;
  revisedPrompt?: string;
};
/** A call of a tool that an answer asks for, in OpenAI's words. */
export type ToolCall = {
  id?: string;
  type?: string;
  function?: { name?: string; arguments?: string };
  custom?: { name?: string; input?: string };
  [field: string]: unknown;
};
/** The message of one answer, in OpenAI's words: whatever its provider added to it (reasoning, annotations) is kept. */
export type AnswerMessage = { content?: string; refusal?: string; tool_calls?: ToolCall[]; [field: string]: unknown };
export type Logprobs = { content?: unknown[] | null; refusal?: unknown[] | null };
export type AnswerChoice = { message: AnswerMessage; finishReason: string; logprobs?: Logprobs };
/**
 * `text` and `finishReason` are those of the first answer. `choices` holds all of them, when there is more to tell than that: several,
 * tool calls, a refusal, log probabilities, reasoning. `envelope`: what the provider said of the reply as a whole (`system_fingerprint`).
 */
export type TextOutput = {
  kind: 'text';
  text: string;
  finishReason: string;
  choices?: AnswerChoice[];
  envelope?: Record<string, unknown>;
  /** The chunks that the model was given, in their order. */
  citations?: Citation[];
};
/** A chunk of a document that an answer was made from. */
export type Citation = { documentId: string; chunk: number; title: string | null; url: string | null; score: number };
/** `background` and `quality`: what the provider says it chose. */
export type ImageOutput = { kind: 'images'; images: StoredImage[]; background?: string; quality?: string };
/** `vectors`: base64 of little-endian 32-bit floats, in the order of the inputs. The record of a long result has none: its blob does. */
export type EmbeddingOutput = { kind: 'embeddings'; count: number; dimensions: number; vectors: string[] };
/** What an ingest left in the collection. */
export type IngestOutput = { kind: 'ingest'; collectionId: string; documentId: string; chunks: number };
export type JobOutput = TextOutput | ImageOutput | EmbeddingOutput | IngestOutput;

/** The record as Redis holds it. */
export type JobRecord = {
  id: string;
  spec: JobSpec;
  status: JobStatus;
  /** 1 for the first run; `/retry` adds one. */
  run: number;
  createdMs: number;
  /** When the current run was queued, if it is not the first. */
  queuedMs?: number;
  startedMs?: number;
  /** How long this run has waited for providers: their pauses, and its turn at their pace. */
  waitedMs?: number;
  finishedMs?: number;
  expiresMs?: number;
  attempts: Attempt[];
  /** Provider calls made by earlier runs of this id. */
  earlierCalls: number;
  /** Of the message, ISO 639-1 or `und`: detected by the worker, off the accept path (docs/decisions/0004). */
  language?: string;
  output?: JobOutput;
  /** Set instead of `output` when the result is over 32 kB; beside the summary of a long embedding. */
  outputBlobId?: string;
  usage?: Usage;
  costUsd?: number;
  servedBy?: { provider: string; model: string };
  error?: JobError;
  sources?: Source[];
  warnings: string[];
  /** Linked pictures stored for this job: field of the URL → blob id (kept-pictures.ts). */
  pictures: Record<string, string>;
  cancelRequested: boolean;
  /** Which turn of its session it is, counted from 1. */
  session?: { id: string; turn: number };
  /** An earlier job of its session has not ended: it has no message, and none may claim it. */
  isWaiting?: true;
  /** The result of this run, paid for and not complete before the blob store has its pictures (worker: aside-run.ts). JSON. */
  aside?: string;
  /** Stream id of the terminal event of this run. */
  endEventId?: string;
};

/**
 * Attempts that use up the budget of three: provider pauses (429, 529) do not, nor do calls that were answered while the run went on. An
 * ingest makes many calls: those since the last one that was answered count.
 */
export const countedAttempts = (attempts: Attempt[], type: JobType): number => {
  const since = type === 'ingest' ? attempts.findLastIndex(({ outcome }) => outcome === 'completed') + 1 : 0;
  return attempts.slice(since).filter(({ outcome }) => outcome !== 'paused' && outcome !== 'completed').length;
};

/** Provider calls of one run before it fails (promise 3). */
export const MAX_ATTEMPTS = 3;

/** When this run fails `deadline_exceeded` without a further call, in unix ms; counted from its acceptance. */
export const deadlineMs = (job: Pick<JobRecord, 'spec' | 'createdMs' | 'queuedMs'>): number | undefined =>
  job.spec.deadlineSeconds === undefined ? undefined : (job.queuedMs ?? job.createdMs) + job.spec.deadlineSeconds * 1000;

/** The id of the BullMQ message of a run: a re-sent message is harmless, a retry is a new one. */
export const messageId = (jobId: string, run: number): string => `${jobId}-${run}`;
