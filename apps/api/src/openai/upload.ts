import type { BlobRecord } from '@fana/core/blobs/blob.ts';
import { removeBlobs } from '@fana/core/blobs/store.ts';
import { AppError, toAppError } from '@fana/core/errors.ts';
import { cleanFilename, type FilePurpose, type FileRecord, MAX_FILE_BYTES, UPLOAD_PURPOSES } from '@fana/core/files/file.ts';
import { findFile, recordFile, storeFileBytes } from '@fana/core/files/store.ts';
import { newId } from '@fana/core/ids.ts';
import { parseWith } from '@fana/core/parse.ts';
import type { Context } from 'hono';
import { z } from 'zod';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { createOnce, readIdempotencyKey } from '../middleware/idempotency.ts';
import { type FormPart, formParts } from '../middleware/multipart.ts';

export type FileDeps = Pick<ApiDeps, 'keys' | 'redis' | 'blobs' | 'config' | 'now' | 'logger'>;

/** Beside the file itself: part headers and a few short fields. */
const LIMITS = { maxFileBytes: MAX_FILE_BYTES, maxBodyBytes: MAX_FILE_BYTES + 1024 * 1024 };
const MEDIA_TYPE = /^[a-z0-9][a-z0-9.+-]{0,80}\/[a-z0-9][a-z0-9.+-]{0,80}$/;

const invalid = (param: string, problem: string): AppError => new AppError('invalid_request', `${param}: ${problem}.`, { param });

/** Each field by itself: one that is wrong is refused when it comes, before the file if it can be. */
const FIELDS = z.strictObject({
  purpose: z.enum(UPLOAD_PURPOSES, { error: `must be one of ${UPLOAD_PURPOSES.join(', ')}` }).optional(),
  'expires_after[anchor]': z.literal('created_at', { error: 'must be created_at' }).optional(),
  'expires_after[seconds]': z
    .string()
    .regex(/^\d{1,9}$/, 'must be a whole number of seconds')
    .transform(Number)
    .pipe(z.number().min(3600, 'must be at least 3600').max(2_592_000, 'must be at most 2592000'))
    .optional(),
});
/** What has come so far; the bytes stay here when a later part is refused, so that they can be taken back. */
type Receiving = { fields: Map<string, string>; filename?: string; blob?: BlobRecord };

/** Keeps a part of the form: a field is checked, the bytes of the file go to the blob store. */
const receive = async (deps: FileDeps, tenant: string, receiving: Receiving, part: FormPart): Promise<void> => {
  const { name } = part;
  if (part.kind === 'field') {
    if (name === 'file') throw invalid('file', 'must be sent as a file, with a filename');
    if (receiving.fields.has(name)) throw invalid(name, 'must not be sent twice');
    parseWith(FIELDS, { [name]: part.value });
    receiving.fields.set(name, part.value);
    return;
  }
  if (name !== 'file')
    throw new AppError('invalid_request', Object.hasOwn(FIELDS.shape, name) ? `${name}: must be text.` : `Unknown field: ${name}.`, { param: name });
  if (receiving.blob) throw invalid('file', 'only one file can be sent at a time');
  receiving.filename = cleanFilename(part.filename);
  receiving.blob = await storeFileBytes(deps, { tenant, source: part.bytes, mediaType: mediaTypeOf(receiving.filename, part.mediaType) });
};

const mediaTypeOf = (filename: string, sent: string): string => {
  if (/\.jsonl$/i.test(filename)) return 'application/jsonl';
  const type = sent.toLowerCase();
  return MEDIA_TYPE.test(type) ? type : 'application/octet-stream';
};

type Upload = { blob: BlobRecord; filename: string; purpose: FilePurpose; expiresSeconds: number | undefined };

/** What only the end of the form can tell: that everything needed has come. */
const checkReceived = ({ fields, filename, blob }: Receiving): Upload => {
  const { purpose, 'expires_after[anchor]': anchor, 'expires_after[seconds]': expiresSeconds } = parseWith(FIELDS, Object.fromEntries(fields));
  if (blob === undefined || filename === undefined) throw invalid('file', 'is required');
  if (purpose === undefined) throw invalid('purpose', 'is required');
  if (anchor !== undefined && expiresSeconds === undefined) throw invalid('expires_after[seconds]', 'is required with expires_after[anchor]');
  if (anchor === undefined && expiresSeconds !== undefined) throw invalid('expires_after[anchor]', 'is required with expires_after[seconds]');
  return { blob, filename, purpose, expiresSeconds };
};

/**
 * Receives an upload: the bytes go to the blob store as they come, whatever the order of the fields, and the record is written at the end.
 * Its idempotency is settled then too, because the fingerprint is that of what came; a replay gives its own bytes back.
 * What a refused upload has stored is removed at once, what cannot be removed by the sweep.
 */
export const receiveUpload = async (deps: FileDeps, c: Context<Environment>): Promise<FileRecord> => {
  readIdempotencyKey(c);
  const { tenant } = c.var.caller;
  const receiving: Receiving = { fields: new Map() };
  let kept = false;
  try {
    for await (const part of formParts(c, LIMITS)) await receive(deps, tenant, receiving, part);
    const { blob, filename, purpose, expiresSeconds } = checkReceived(receiving);
    const once = await createOnce(c, {
      deps,
      route: 'files',
      rawBody: JSON.stringify([[...receiving.fields].sort(), filename, blob.sha256]),
      id: newId('file'),
      make: (id) => recordFile(deps, { id, tenant, filename, purpose, expiresMs: expiresSeconds && deps.now() + expiresSeconds * 1000 }, blob),
      find: (id) => findFile(deps, tenant, id),
    });
    kept = once.kind === 'made';
    return once.object;
  } catch (error) {
    // Redis may have the record although its answer was lost.
    kept = ['unavailable', 'internal_error'].includes(toAppError(error).code);
    throw error;
  } finally {
    if (!kept && receiving.blob) await takeBack(deps, receiving.blob);
  }
};

const takeBack = async (deps: FileDeps, blob: BlobRecord): Promise<void> => {
  try {
    await removeBlobs(deps, [blob.id]);
  } catch (error) {
    deps.logger.warn({ err: error, id: blob.id }, 'the bytes of a refused upload are left to the sweep');
  }
};
