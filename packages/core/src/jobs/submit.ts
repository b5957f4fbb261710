import { hash } from 'node:crypto';
import { removeBlobs, saveBlob } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { checkCall, type EndpointCall } from '../endpoints/endpoint.ts';
import { AppError } from '../errors.ts';
import { newId } from '../ids.ts';
import { DEFAULT_TOP_K } from '../retrieval/collection.ts';
import { findCollection } from '../retrieval/manage-collections.ts';
import { findSession } from '../sessions/manage-sessions.ts';
import type { Session } from '../sessions/session.ts';
import { overRequestLimit } from '../tenants/limits.ts';
import { findUrls } from '../triggers/urls.ts';
import { assertAllowedUrl } from '../web/allowed-url.ts';
import type { Acceptor } from './acceptor.ts';
import { parametersOf, pictureTask } from './catalog.ts';
import { buildInput, keepPictures } from './input.ts';
import type { EndpointName, JobInput, JobRecord, JobSpec, JobType } from './job.ts';
import { mayHoldBytes } from './long-texts.ts';
import { decideType } from './route.ts';
import { DEFAULT_PRIORITY, encodeSpec, previewOf } from './spec-line.ts';
import { type Place, readJob } from './store.ts';
import { parseSubmission, type Submission } from './submission.ts';

/** Who submits: a valid key. */
export type Submitter = { tenant: string; keyId: string; requestsPerMinute: number; system?: string | undefined; models?: readonly string[] | undefined };

export type SubmitOptions = { idempotencyKey?: string | undefined; rawBody: string };
/** `limit` is set when the key has a limit of requests per minute. */
export type SubmitResult = { job: JobRecord; replayed: boolean; limit?: { remaining: number; resetSeconds: number } };

/** Inputs and parameters longer than this live in the blob store. */
const INLINE_BYTES = 8192;

/** 132 bits of SHA-256 are enough to tell a tenant's keys and bodies apart. */
const digest = (text: string): string => hash('sha256', text, 'base64url').slice(0, 22);

/** Most keys are short and plain and stand for themselves; any other by its hash, which `#` tells from them. */
const PLAIN_KEY = /^[\w-]{1,64}$/;
const idempotencyField = (route: string | undefined, key: string): string => {
  const field = PLAIN_KEY.test(key) ? key : `#${digest(key)}`;
  return route === undefined ? field : `${route}:${field}`;
};

/** The last one given wins: installation, key, session, job. */
const systemOf = (submission: Submission, submitter: Submitter, session: Session | undefined): JobSpec['system'] => {
  if (submission.system !== undefined) return { source: 'job', text: submission.system };
  if (session?.system !== undefined) return { source: 'session', text: session.system };
  if (submitter.system !== undefined) return { source: 'key', text: submitter.system };
  return { source: 'installation' };
};

/**
 * The collection a message is to be answered from. A picture is made from no documents: when the message alone decided on one, it is told.
 * @throws AppError `not_found`, `invalid_request`, with `param`.
 */
const retrievalOf = async (deps: Deps, tenant: string, submission: Submission, type: JobType): Promise<JobSpec['retrieval']> => {
  if (!submission.retrieval) return undefined;
  const { collection_id: collectionId, top_k: topK = DEFAULT_TOP_K } = submission.retrieval;
  const collection = await findCollection(deps, tenant, collectionId);
  const param = 'retrieval.collection_id';
  if (!collection) throw new AppError('not_found', `${param}: there is no such collection.`, { param });
  if (type !== 'image') return { collectionId, topK };
  if (submission.type === 'image') throw new AppError('invalid_request', 'retrieval: does not apply to jobs of type image.', { param: 'retrieval' });
  return undefined;
};

/** Builds the part of the record that never changes. Bytes it had to store are named in `ownedBlobIds`. */
const buildSpec = async (deps: Deps, submitter: Submitter, submission: Submission, ownedBlobIds: string[]): Promise<JobSpec> => {
  const input = await buildInput({ deps, tenant: submitter.tenant, ownedBlobIds }, submission.input);
  const urls = findUrls(input.text).map(({ url, kind }) => ({ url, kind }));
  // Whether it has ended is for the acceptance to say, which knows a repetition.
  const session = submission.session_id === undefined ? undefined : await findSession(deps, submitter.tenant, submission.session_id, 'session_id');
  const { type, trigger, model, warnings, takesSessionPictures } = await decideType(deps, { submission, input, urls, session });
  if (submitter.models && !submitter.models.includes(model)) throw new AppError('insufficient_scope', `This key may not use ${model}.`, { param: 'model' });
  deps.providers.targets(model, type);
  const { known, other } = parametersOf(type, submission.parameters ?? {});
  if (other.length > 0 && (submission.type ?? 'auto') !== 'auto') {
    throw new AppError('invalid_request', `parameters.${other[0]} does not apply to jobs of type ${type}.`, { param: `parameters.${other[0]}` });
  }
  // How closely pictures are looked at is said with each picture, not as a parameter of the call.
  const { detail: _detail, ...said } = known;
  deps.providers.checkParameters(model, type, said, takesSessionPictures && type === 'image' ? 'edit' : pictureTask(type, input));
  const retrieval = await retrievalOf(deps, submitter.tenant, submission, type);
  const spec: JobSpec = {
    tenant: submitter.tenant,
    keyId: submitter.keyId,
    type,
    trigger,
    model,
    input,
    inputPreview: previewOf(input.text),
    parameters: known,
    system: systemOf(submission, submitter, session),
    urls,
    warnings: [...warnings, ...other.map((name) => `parameters.${name} does not apply to jobs of type ${type} and was left out.`)],
    metadata: submission.metadata ?? {},
    priority: submission.priority ?? DEFAULT_PRIORITY,
    ownedBlobIds,
  };
  if (submission.webhook)
    spec.webhook = {
      url: submission.webhook.url,
      events: submission.webhook.events ?? ['job.completed', 'job.failed', 'job.cancelled', 'job.unknown_outcome'],
    };
  if (retrieval) spec.retrieval = retrieval;
  else if (submission.retrieval) spec.warnings.push('retrieval does not apply to jobs of type image and was left out.');
  if (session) spec.sessionId = session.id;
  if (takesSessionPictures) spec.takesSessionPictures = true;
  const language = submission.language ?? session?.language ?? 'auto';
  if (language !== 'auto') spec.language = language;
  if (submission.run_at !== undefined) spec.runAtMs = Math.round(submission.run_at * 1000);
  if (submission.deadline_seconds !== undefined) spec.deadlineSeconds = submission.deadline_seconds;
  return spec;
};

/** Whether the job makes a picture or looks at one. */
const showsPicture = ({ type, input, urls }: JobSpec): boolean =>
  type === 'image' || type === 'vision' || (input?.images ?? []).length > 0 || urls.some(({ kind }) => kind === 'image');

const belongsInBlob = (text: string): boolean => mayHoldBytes(text) || Buffer.byteLength(text) > INLINE_BYTES;

/** Parts that are passed on as they came: a file among them may be a picture, in base64 alone. */
const holdsParts = ({ messages = [] }: JobInput): boolean =>
  messages.some(({ content }) => Array.isArray(content) && content.some(({ type }) => type === 'other'));

/** Moves what belongs in no record into blobs of the job's own; returns the line of the record. */
const moveTexts = async (deps: Deps, spec: JobSpec): Promise<string> => {
  const hasParts = spec.input !== undefined && holdsParts(spec.input);
  const line = encodeSpec(spec);
  if (!hasParts && !belongsInBlob(line)) return line;
  const keep = async (text: string): Promise<string> => {
    const { id } = await saveBlob(deps, { tenant: spec.tenant, bytes: Buffer.from(text), mediaType: 'application/json' });
    spec.ownedBlobIds.push(id);
    return id;
  };
  const input = JSON.stringify(spec.input);
  if (hasParts || belongsInBlob(input)) spec.inputBlobId = await keep(input);
  const parameters = JSON.stringify(spec.parameters);
  if (belongsInBlob(parameters)) spec.parametersBlobId = await keep(parameters);
  return encodeSpec(spec);
};

type Build = (ownedBlobIds: string[]) => Promise<JobSpec>;
/** `route` tells the idempotency keys of one route from those of another. */
/** `id`: that of the job, where something else had to know it first. */
type Arrival = SubmitOptions & { route?: string; place?: Place; id?: string };

/** Builds and accepts. What was stored for a job that was not accepted is removed again. */
const accept = async (deps: Deps, acceptor: Acceptor, submitter: Submitter, build: Build, arrival: Arrival): Promise<SubmitResult> => {
  const ownedBlobIds: string[] = [];
  const { id = newId('job') } = arrival;
  let spec: JobSpec;
  let reply: Awaited<ReturnType<Acceptor['accept']>>;
  try {
    spec = await build(ownedBlobIds);
    const line = await moveTexts(deps, spec);
    const { idempotencyKey, route, rawBody, place } = arrival;
    reply = await acceptor.accept({
      spec,
      item: {
        id,
        tenant: submitter.tenant,
        spec: line,
        type: spec.type,
        keyId: submitter.keyId,
        requestsPerMinute: submitter.requestsPerMinute,
        idempotencyKey: idempotencyKey === undefined ? '' : idempotencyField(route, idempotencyKey),
        fingerprint: idempotencyKey === undefined ? '' : digest(rawBody),
        runAtMs: spec.runAtMs ?? 0,
        deadlineSeconds: spec.deadlineSeconds ?? 0,
        place,
        session: spec.sessionId === undefined ? undefined : { id: spec.sessionId, showsPicture: showsPicture(spec) },
      },
    });
  } catch (error) {
    // After `unavailable` the job may exist and need its blobs; they then end at their own expiry.
    if (!(error instanceof AppError && error.code === 'unavailable')) await removeBlobs(deps, ownedBlobIds);
    throw error;
  }
  if (reply.kind === 'accepted') {
    return {
      job: freshJob(id, spec, reply.createdMs),
      replayed: false,
      ...(reply.remaining >= 0 && { limit: { remaining: reply.remaining, resetSeconds: reply.resetSeconds } }),
    };
  }
  await removeBlobs(deps, ownedBlobIds);
  return answerUnaccepted(deps, reply);
};

/** The record of a job that was just accepted. */
const freshJob = (id: string, spec: JobSpec, createdMs: number): JobRecord => ({
  id,
  spec,
  status: 'queued',
  run: 1,
  createdMs,
  attempts: [],
  earlierCalls: 0,
  warnings: spec.warnings,
  pictures: {},
  cancelRequested: false,
});

/**
 * Accepts a job: once this resolves, the job is never lost (promise 1).
 * @throws AppError `invalid_request`, `unsupported_parameter`, `model_not_found`, `model_not_available`, `model_type_mismatch` (with `param`),
 *   `insufficient_scope` (the key may not use the model), `not_found` (param `session_id`), `session_ended`, `idempotency_key_reused`, `rate_limit_exceeded`, `unavailable` (the job may still have been accepted).
 */
export const submitJob = async (deps: Deps, acceptor: Acceptor, submitter: Submitter, body: unknown, options: SubmitOptions): Promise<SubmitResult> => {
  const submission = parseSubmission(body, deps.now());
  if (submission.webhook) assertAllowedUrl(submission.webhook.url, deps.config.web.allowPrivateNetwork, 'webhook.url');
  return accept(deps, acceptor, submitter, (ownedBlobIds) => buildSpec(deps, submitter, submission, ownedBlobIds), options);
};

/** What a compatible route adds to its call. */
export type CallOptions = SubmitOptions & { endpoint: EndpointName; pauseBudgetMs?: number; place?: Place };

/**
 * Accepts the call of an OpenAI endpoint as a job. Its messages are stored and passed on as they came.
 * @throws as `submitJob`, with `param` as a path in the endpoint's body.
 */
export const submitCall = async (deps: Deps, acceptor: Acceptor, submitter: Submitter, call: EndpointCall, options: CallOptions): Promise<SubmitResult> => {
  const build: Build = async (ownedBlobIds) => {
    ownedBlobIds.push(...(call.ownedBlobIds ?? []));
    checkCall(deps, call, submitter.models);
    const input = await keepPictures({ deps, tenant: submitter.tenant, ownedBlobIds }, call.input, call.input.messages ? 'messages' : 'images');
    return {
      tenant: submitter.tenant,
      keyId: submitter.keyId,
      type: call.type,
      trigger: { label: call.type, confidence: 1, source: 'request' },
      model: call.model,
      input,
      inputPreview: previewOf(input.text),
      parameters: call.parameters,
      system: submitter.system === undefined ? { source: 'installation' } : { source: 'key', text: submitter.system },
      urls: [],
      warnings: call.warnings ?? [],
      metadata: call.metadata,
      priority: DEFAULT_PRIORITY,
      endpoint: options.endpoint,
      echo: Object.fromEntries(Object.entries(call.echo).filter(([name]) => !call.inInput?.includes(name))),
      ...(options.pauseBudgetMs !== undefined && { pauseBudgetMs: options.pauseBudgetMs }),
      ownedBlobIds,
    };
  };
  return accept(deps, acceptor, submitter, build, { ...options, route: options.endpoint });
};

/** An ingest: `jobId` is the version of the document that it makes. */
export type IngestCall = { jobId: string; documentId: string; collectionId: string; preview: string; model: string };

/**
 * Accepts the ingest of a document as a job. The request was counted by its route.
 * @throws AppError `unavailable` (the job may still have been accepted).
 */
export const submitIngest = async (deps: Deps, acceptor: Acceptor, { tenant, keyId }: Submitter, call: IngestCall): Promise<JobRecord> => {
  const { jobId, documentId, collectionId, preview, model } = call;
  const build: Build = async (ownedBlobIds) => ({
    tenant,
    keyId,
    type: 'ingest',
    trigger: { label: 'ingest', confidence: 1, source: 'request' },
    model,
    input: { text: preview, images: [] },
    inputPreview: previewOf(preview),
    parameters: {},
    system: { source: 'installation' },
    urls: [],
    warnings: [],
    metadata: {},
    priority: DEFAULT_PRIORITY,
    ingest: { collectionId, documentId },
    ownedBlobIds,
  });
  return (await accept(deps, acceptor, { tenant, keyId, requestsPerMinute: 0 }, build, { rawBody: '', id: jobId })).job;
};

const answerUnaccepted = async (deps: Deps, reply: Awaited<ReturnType<Acceptor['accept']>>): Promise<SubmitResult> => {
  if (reply.kind === 'limited') throw overRequestLimit(reply.resetSeconds);
  if (reply.kind === 'mismatch') {
    throw new AppError('idempotency_key_reused', 'This Idempotency-Key was used with another body in the last 24 hours.', { param: 'Idempotency-Key' });
  }
  if (reply.kind === 'no_session') throw new AppError('not_found', 'There is no such session.', { param: 'session_id' });
  if (reply.kind === 'session_ended') {
    throw new AppError('session_ended', 'This session has ended and takes no further job: start a new one.', { param: 'session_id' });
  }
  const job = await readJob(deps.redis, reply.id);
  if (!job) throw new AppError('not_found', 'The job of this Idempotency-Key has been deleted.');
  return { job, replayed: true };
};
