import type { EmbeddingInput, Logprobs, ModelType, TextOutput, ToolCall, Usage } from '../jobs/job.ts';
import type { PictureTask } from './parameters.ts';

/** Whom a model can be asked of. */
export type ProviderName = 'groq' | 'openai' | 'anthropic' | 'simulated';

/** A picture on its way to a provider, as a data URL there: `mediaType` by its magic bytes. */
export type PictureBytes = { bytes: Buffer; mediaType: string };

/** `other` in parts and messages: OpenAI's words, passed on as they came. */
export type ChatPart =
  | { type: 'text'; text: string }
  | { type: 'image'; picture: PictureBytes; detail?: 'auto' | 'low' | 'high' }
  | { type: 'other'; part: Record<string, unknown> };
export type ChatMessage = {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool' | 'function';
  content: string | ChatPart[] | null;
  other?: Record<string, unknown>;
};

/**
 * A chat or vision call. `parameters` are those of the job type's schema (jobs/catalog.ts) or of OpenAI's body, not yet in the provider's
 * words. `keepRefusals`: an answer that is a refusal alone is an answer, as its client expects; else it fails the call.
 */
export type ChatRequest = { model: string; messages: ChatMessage[]; parameters: Record<string, unknown>; keepRefusals?: boolean };
/** See `TextOutput`. */
export type ChatResult = Omit<TextOutput, 'kind'> & { usage: Usage; model: string };

/** A picture call; with `pictures` it edits them, else it makes new ones. `mask`: where it is transparent, the first picture is edited. */
export type ImageRequest = { model: string; prompt: string; pictures: PictureBytes[]; mask?: PictureBytes; parameters: Record<string, unknown> };
export type MadePicture = { bytes: Buffer; revisedPrompt?: string };
/** `background` and `quality`: what the provider says it chose. */
export type ImageResult = { images: MadePicture[]; usage: Usage; model: string; background?: string; quality?: string };

/** A call for vectors, one for each input and in their order. */
export type EmbeddingRequest = { model: string; inputs: EmbeddingInput[]; parameters: Record<string, unknown> };
export type EmbeddingResult = { vectors: Float32Array[]; usage: Usage; model: string };

/** What a piece of a streamed reply adds to one of its answers, in OpenAI's words (`ChatCompletionChunk.Choice`). */
export type ChoiceDelta = { index: number; delta: AnswerDelta; logprobs?: Logprobs };
/** Entries of `tool_calls` have an `index` of their own. */
export type AnswerDelta = { content?: string; refusal?: string; tool_calls?: (ToolCall & { index?: number })[]; [field: string]: unknown };

/**
 * What every call is given: `signal` aborts the upstream request; `onDelta` hears answers as they come; `onReply` hears the head of the
 * reply, once and whatever its status, as soon as it is there.
 */
export type CallOptions = { signal: AbortSignal; onDelta?: (delta: ChoiceDelta) => void; onReply?: (status: number, headers: Headers) => void };

/**
 * One provider account. Each function makes exactly one upstream request (no retries of its own: the queue retries).
 * @throws AppError with `provider` set: what is known of the outcome (promise 2), mapped once in providers/.
 */
export type Provider = {
  name: ProviderName;
  /** Chat, and vision where the model can see. */
  chat?: (request: ChatRequest, options: CallOptions) => Promise<ChatResult>;
  image?: (request: ImageRequest, options: CallOptions) => Promise<ImageResult>;
  embed?: (request: EmbeddingRequest, options: CallOptions) => Promise<EmbeddingResult>;
};

/** What a job of a given model and type is served by, in order: the next one only when the account lacks the one before. */
export type Target = { provider: Provider; model: string; warnings: string[] };

export type ModelInfo = {
  id: string;
  /** The id an alias stands for now; absent for a model itself. */
  aliasOf?: string;
  ownedBy: ProviderName;
  types: ModelType[];
  shutdownDate?: string;
  successor?: string;
};

export type Registry = {
  /** No provider key is set: everything is served by the simulated provider, and says so. */
  simulated: boolean;
  /** The types a model or alias serves. @throws AppError `model_not_found` (param `model`). */
  typesOf: (name: string) => ModelType[];
  /**
   * Who serves `name` for `type`, in order.
   * @throws AppError `model_not_found`, `model_not_available` (its vendor's key is missing; names the variable) or `model_type_mismatch`, each with param `model`.
   */
  targets: (name: string, type: ModelType) => Target[];
  /**
   * Refuses parameters that the model `name` stands for cannot do, so that a submission learns it at the door and not from a failed job.
   * @throws AppError `unsupported_parameter` (param `parameters.<name>`), `model_type_mismatch` for an edit it cannot do (param `model`), and
   * what `targets` throws for an unknown model.
   */
  checkParameters: (name: string, type: ModelType, parameters: Record<string, unknown>, task?: PictureTask) => void;
  /** Remembers for this process that an account answered 404 for a model, so that its successor is asked first. */
  noteMissing: (provider: ProviderName, model: string) => void;
  /** Price in USD of a finished call, or undefined when the catalogue has no price: unknown is never 0. */
  costUsd: (provider: ProviderName, model: string, usage: Usage) => number | undefined;
  /** Every model and alias that can be asked for now. */
  list: () => ModelInfo[];
};
