import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { type BatchEndpointName, ENDPOINTS } from '../endpoints/table.ts';
import { AppError } from '../errors.ts';
import { findFile } from '../files/store.ts';
import { metadataSchema } from '../jobs/submission.ts';
import { parseWith } from '../parse.ts';
import { assertAllowedUrl } from '../web/allowed-url.ts';
import { BATCH_EVENTS } from '../webhooks/event.ts';
import type { BatchRecord, BatchSpec } from './batch.ts';
import { stepMessage } from './messages.ts';
import { insertBatch, readBatch } from './store.ts';

const DAY_MS = 86_400_000;

/** Endpoints by the path that a client names. */
const BY_URL: ReadonlyMap<string, BatchEndpointName> = new Map((Object.keys(ENDPOINTS) as BatchEndpointName[]).map((name) => [ENDPOINTS[name].url, name]));
const URLS = [...BY_URL.keys()];

const body = z.strictObject({
  input_file_id: z.string().max(100),
  endpoint: z.string().refine((url) => BY_URL.has(url), `must be one of ${URLS.join(', ')}`),
  completion_window: z.literal('24h', { error: 'must be 24h' }),
  metadata: metadataSchema.nullish(),
  output_expires_after: z.strictObject({ anchor: z.literal('created_at'), seconds: z.int().min(3600).max(2_592_000) }).nullish(),
  // Beyond OpenAI (contract 5).
  max_cost_usd: z.number().positive().max(1_000_000).nullish(),
  webhook: z
    .strictObject({
      url: z
        .string()
        .max(8192)
        .refine((url) => URL.canParse(url), 'must be an http or https URL'),
      events: z
        .array(z.enum(BATCH_EVENTS))
        .min(1)
        .max(BATCH_EVENTS.length)
        .default([...BATCH_EVENTS]),
    })
    .nullish(),
});

/** Whom a batch belongs to, and what its key allows. */
export type BatchCreator = { tenant: string; keyId: string; system?: string | undefined; models?: readonly string[] | undefined };

/** Whose lines run and how; `retryOf` says where they come from. */
type NewBatch = Omit<BatchSpec, 'expiresMs'>;

/** Writes a batch and sends its first message; from then on it is never lost. @throws AppError `unavailable` (it may exist). */
export const startBatch = async (deps: Pick<Deps, 'redis' | 'queues' | 'now'>, id: string, batch: NewBatch): Promise<BatchRecord> => {
  await insertBatch(deps, id, { ...batch, expiresMs: deps.now() + DAY_MS });
  await deps.queues.enqueue([stepMessage(id, 'validate')]);
  const record = await readBatch(deps, id);
  if (!record) throw new AppError('internal_error', 'The batch that was just made is gone.');
  return record;
};

/**
 * Makes a batch of the lines of a file. Its lines are checked after this, by a worker: a bad one ends the batch as `failed`.
 * @throws AppError `invalid_request` with `param`, `invalid_url`, `unavailable` (the batch may exist).
 */
export const createBatch = async (deps: Deps, creator: BatchCreator, id: string, given: Record<string, unknown>): Promise<BatchRecord> => {
  const { input_file_id: fileId, endpoint, metadata, output_expires_after: outputLife, max_cost_usd: maxCostUsd, webhook } = parseWith(body, given);
  if (webhook) assertAllowedUrl(webhook.url, deps.config.web.allowPrivateNetwork, 'webhook.url');
  const file = await findFile(deps, creator.tenant, fileId);
  if (!file) throw new AppError('invalid_request', 'input_file_id: there is no such file.', { param: 'input_file_id' });
  if (file.purpose !== 'batch') throw new AppError('invalid_request', 'input_file_id: the file must have the purpose batch.', { param: 'input_file_id' });
  return startBatch(deps, id, {
    tenant: creator.tenant,
    keyId: creator.keyId,
    endpoint: BY_URL.get(endpoint) as BatchEndpointName,
    inputFileId: file.id,
    inputBlobId: file.blobId,
    metadata: metadata ?? {},
    ...(outputLife && { outputTtlSeconds: outputLife.seconds }),
    ...(maxCostUsd && { maxCostUsd }),
    ...(webhook && { webhook }),
    ...(creator.system !== undefined && { system: creator.system }),
    ...(creator.models && { models: creator.models }),
  });
};
