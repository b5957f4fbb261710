import type { JobInput, JobSpec } from './job.ts';

const PREVIEW_CHARS = 200;

const CONTINUES = /^(?:\p{M}|\u200c|\u200d|\ufe0f|[\udc00-\udfff])/u;

/** The beginning of a text, cut between characters. */
export const previewOf = (text: string): string => {
  if (text.length <= PREVIEW_CHARS) return text;
  let end = PREVIEW_CHARS;
  // Not between a letter and its marks, nor inside a character.
  while (end > PREVIEW_CHARS / 2 && CONTINUES.test(text.slice(end, end + 2))) end--;
  return `${text.slice(0, end)}…`;
};

/** A spec as it is written: what has its usual value is left out, which halves the line of a plain message. */
type Line = Pick<JobSpec, 'tenant' | 'keyId' | 'type' | 'trigger' | 'model'> &
  Partial<Omit<JobSpec, 'input'>> & { input?: Pick<JobInput, 'text'> & Partial<JobInput> };

const filled = (value: object): boolean => Object.keys(value).length > 0;

/** The `spec` field of a record. Of an input that is in its blob the preview stays, of such parameters nothing. */
export const encodeSpec = (spec: JobSpec): string => {
  const { tenant, keyId, type, trigger, model, input } = spec;
  const line: Line = { tenant, keyId, type, trigger, model };
  if (spec.inputBlobId !== undefined || !input) line.inputPreview = spec.inputPreview;
  else {
    const { text, images, ...other } = input;
    line.input = { text, ...(images.length > 0 && { images }), ...other };
  }
  if (spec.inputBlobId !== undefined) line.inputBlobId = spec.inputBlobId;
  if (spec.parametersBlobId !== undefined) line.parametersBlobId = spec.parametersBlobId;
  else if (filled(spec.parameters)) line.parameters = spec.parameters;
  if (spec.system.source !== 'installation') line.system = spec.system;
  if (spec.urls.length > 0) line.urls = spec.urls;
  if (spec.warnings.length > 0) line.warnings = spec.warnings;
  if (filled(spec.metadata)) line.metadata = spec.metadata;
  if (spec.priority !== DEFAULT_PRIORITY) line.priority = spec.priority;
  if (spec.webhook) line.webhook = spec.webhook;
  if (spec.endpoint !== undefined) line.endpoint = spec.endpoint;
  if (spec.echo !== undefined && filled(spec.echo)) line.echo = spec.echo;
  if (spec.retrieval !== undefined) line.retrieval = spec.retrieval;
  if (spec.ingest !== undefined) line.ingest = spec.ingest;
  if (spec.pauseBudgetMs !== undefined) line.pauseBudgetMs = spec.pauseBudgetMs;
  if (spec.runAtMs !== undefined) line.runAtMs = spec.runAtMs;
  if (spec.deadlineSeconds !== undefined) line.deadlineSeconds = spec.deadlineSeconds;
  if (spec.sessionId !== undefined) line.sessionId = spec.sessionId;
  if (spec.takesSessionPictures) line.takesSessionPictures = true;
  if (spec.language !== undefined) line.language = spec.language;
  if (spec.ownedBlobIds.length > 0) line.ownedBlobIds = spec.ownedBlobIds;
  return JSON.stringify(line);
};

/** Priorities go from 1 (first) to 10. */
export const DEFAULT_PRIORITY = 5;

/** The inverse of `encodeSpec`. */
export const decodeSpec = (text: string): JobSpec => {
  const { input, ...line }: Line = JSON.parse(text);
  return {
    parameters: {},
    system: { source: 'installation' },
    urls: [],
    warnings: [],
    metadata: {},
    priority: DEFAULT_PRIORITY,
    ownedBlobIds: [],
    inputPreview: previewOf(input?.text ?? ''),
    ...line,
    ...(input && { input: { images: [], ...input } }),
  };
};
