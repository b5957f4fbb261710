import { hash } from 'node:crypto';
import { removeBlobs, saveBlob } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { newId } from '../ids.ts';
import { overRequestLimit } from '../tenants/limits.ts';
import { findUrls } from '../triggers/urls.ts';
import { assertAllowedUrl } from '../web/allowed-url.ts';
import type { Acceptor } from './acceptor.ts';
import { parametersOf } from './catalog.ts';
import { buildInput } from './input.ts';
import type { JobRecord, JobSpec } from './job.ts';
import { decideType } from './route.ts';
import { DEFAULT_PRIORITY, encodeSpec, previewOf } from './spec-line.ts';
import { readJob } from './store.ts';
import { parseSubmission, type Submission } from './submission.ts';

/** Who submits: a valid key. */
export type Submitter = { tenant: string; keyId: string; requestsPerMinute: number; system?: string | undefined; models?: readonly string[] | undefined };

export type SubmitOptions = { idempotencyKey?: string | undefined; rawBody: string };
/** `limit` is set when the key has a limit of requests per minute. */
export type SubmitResult = { job: JobRecord; replayed: boolean; limit?: { remaining: number; resetSeconds: number } };

/** Inputs longer than this live in the blob store. */
const INLINE_INPUT_BYTES = 8192;

/** 132 bits of SHA-256 are enough to tell a tenant's keys and bodies apart. */
const digest = (text: string): string => hash('sha256', text, 'base64url').slice(0, 22);

/** Most keys are short and plain and stand for themselves; any other by its hash, which `#` tells from them. */
const PLAIN_KEY = /^[\w-]{1,64}$/;
const idempotencyField = (key: string): string => (PLAIN_KEY.test(key) ? key : `#${digest(key)}`);

const systemOf = (submission: Submission, submitter: Submitter): JobSpec['system'] => {
  if (submission.system !== undefined) return { source: 'job', text: submission.system };
  if (submitter.system !== undefined) return { source: 'key', text: submitter.system };
  return { source: 'installation' };
};

/** Builds the part of the record that never changes. Bytes it had to store are named in `ownedBlobIds`. */
const buildSpec = async (deps: Deps, submitter: Submitter, submission: Submission, ownedBlobIds: string[]): Promise<JobSpec> => {
  const input = await buildInput({ deps, tenant: submitter.tenant, ownedBlobIds }, submission.input);
  const urls = findUrls(input.text).map(({ url, kind }) => ({ url, kind }));
  const { type, trigger, model, warnings } = await decideType(deps, { submission, input, urls });
  if (submitter.models && !submitter.models.includes(model)) throw new AppError('insufficient_scope', `This key may not use ${model}.`, { param: 'model' });
  deps.providers.targets(model, type);
  const { known, other } = parametersOf(type, submission.parameters ?? {});
  if (other.length > 0 && (submission.type ?? 'auto') !== 'auto') {
    throw new AppError('invalid_request', `parameters.${other[0]} does not apply to jobs of type ${type}.`, { param: `parameters.${other[0]}` });
  }
  deps.providers.checkParameters(model, type, known);
  const spec: JobSpec = {
    tenant: submitter.tenant,
    keyId: submitter.keyId,
    type,
    trigger,
    model,
    input,
    inputPreview: previewOf(input.text),
    parameters: known,
    system: systemOf(submission, submitter),
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
  if (submission.run_at !== undefined) spec.runAtMs = Math.round(submission.run_at * 1000);
  if (submission.deadline_seconds !== undefined) spec.deadlineSeconds = submission.deadline_seconds;
  return spec;
};

/** Moves an input that is too long for Redis into a blob of the job's own. */
const moveLongInput = async (deps: Deps, spec: JobSpec): Promise<string> => {
  const line = encodeSpec(spec);
  if (line.length <= INLINE_INPUT_BYTES) return line;
  const bytes = Buffer.from(JSON.stringify(spec.input));
  if (bytes.length <= INLINE_INPUT_BYTES) return line;
  const blob = await saveBlob(deps, { tenant: spec.tenant, bytes, mediaType: 'application/json' });
  spec.ownedBlobIds.push(blob.id);
  spec.inputBlobId = blob.id;
  return encodeSpec(spec, true);
};

/**
 * Accepts a job: once this resolves, the job is never lost (promise 1).
 * @throws AppError `invalid_request`, `unsupported_parameter`, `model_not_found`, `model_not_available`, `model_type_mismatch` (with `param`),
 *   `insufficient_scope` (the key may not use the model), `idempotency_key_reused`, `rate_limit_exceeded`, `unavailable` (the job may still have been accepted).
 */
export const submitJob = async (deps: Deps, acceptor: Acceptor, submitter: Submitter, body: unknown, options: SubmitOptions): Promise<SubmitResult> => {
  const submission = parseSubmission(body, deps.now());
  if (submission.webhook) assertAllowedUrl(submission.webhook.url, deps.config.web.allowPrivateNetwork, 'webhook.url');
  const ownedBlobIds: string[] = [];
  let reply: Awaited<ReturnType<Acceptor['accept']>>;
  const id = newId('job');
  let spec: JobSpec;
  try {
    spec = await buildSpec(deps, submitter, submission, ownedBlobIds);
    const line = await moveLongInput(deps, spec);
    const { idempotencyKey } = options;
    reply = await acceptor.accept({
      spec,
      item: {
        id,
        tenant: submitter.tenant,
        spec: line,
        type: spec.type,
        keyId: submitter.keyId,
        requestsPerMinute: submitter.requestsPerMinute,
        idempotencyKey: idempotencyKey === undefined ? '' : idempotencyField(idempotencyKey),
        fingerprint: idempotencyKey === undefined ? '' : digest(options.rawBody),
        runAtMs: spec.runAtMs ?? 0,
        deadlineSeconds: spec.deadlineSeconds ?? 0,
      },
    });
  } catch (error) {
    // After `unavailable` the job may exist and need its blobs; they then end at their own expiry.
    if (!(error instanceof AppError && error.code === 'unavailable')) await removeBlobs(deps, ownedBlobIds);
    throw error;
  }
  if (reply.kind === 'accepted') {
    const job: JobRecord = {
      id,
      spec,
      status: 'queued',
      run: 1,
      createdMs: reply.createdMs,
      attempts: [],
      earlierCalls: 0,
      warnings: spec.warnings,
      pictures: {},
      cancelRequested: false,
    };
    return { job, replayed: false, ...(reply.remaining >= 0 && { limit: { remaining: reply.remaining, resetSeconds: reply.resetSeconds } }) };
  }
  await removeBlobs(deps, ownedBlobIds);
  return answerUnaccepted(deps, reply);
};

const answerUnaccepted = async (deps: Deps, reply: Awaited<ReturnType<Acceptor['accept']>>): Promise<SubmitResult> => {
  if (reply.kind === 'limited') throw overRequestLimit(reply.resetSeconds);
  if (reply.kind === 'mismatch') {
    throw new AppError('idempotency_key_reused', 'This Idempotency-Key was used with another body in the last 24 hours.', { param: 'Idempotency-Key' });
  }
  const job = await readJob(deps.redis, reply.id);
  if (!job) throw new AppError('not_found', 'The job of this Idempotency-Key has been deleted.');
  return { job, replayed: true };
};
