import { AppError } from '@fana/core/errors.ts';
import { makeOnce, type OnceMaker, type OnceResult } from '@fana/core/tenants/idempotency.ts';
import type { Context } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';

const MAX_CHARS = 255;
// RFC 8941 3.3.3: a quoted string with \" and \\ as its only escapes; parameters after it are read over.
const QUOTED = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"(?:\s*;.*)?$/;
const BARE = /^[\x21\x23-\x7e][\x20-\x7e]*$/;

const invalid = (problem: string): AppError => new AppError('invalid_request', `Idempotency-Key: ${problem}.`, { param: 'Idempotency-Key' });

/**
 * The client's `Idempotency-Key`, quoted (draft-ietf-httpapi-idempotency-key-header) or bare: both forms of a text are the same key.
 * @throws AppError `invalid_request` (param `Idempotency-Key`) when it is empty, over 255 characters or malformed.
 */
export const readIdempotencyKey = (c: Context): string | undefined => {
  const header = c.req.header('idempotency-key');
  if (header === undefined) return undefined;
  const value = header.trim();
  const quoted = QUOTED.exec(value)?.[1];
  if (quoted === undefined && value !== '' && !BARE.test(value)) throw invalid('must be printable ASCII, bare or in double quotes');
  const key = quoted === undefined ? value : quoted.replace(/\\(["\\])/g, '$1');
  if (key === '') throw invalid('must not be empty');
  if (key.length > MAX_CHARS) throw invalid(`must have at most ${MAX_CHARS} characters`);
  return key;
};

type Creation<Made, Found> = OnceMaker<Made, Found> & { deps: Pick<ApiDeps, 'redis'>; route: string; rawBody: string };

/**
 * Makes an object once for the request's `Idempotency-Key`, or simply makes it when there is none. A replay is marked with
 * `Idempotent-Replayed: true` and rebuilt from the object. Read and check the body before: a bad one must not use up the key.
 * @throws AppError `idempotency_key_reused`, `idempotency_in_progress`, and what `make` throws.
 */
export const createOnce = async <Made, Found>(c: Context<Environment>, creation: Creation<Made, Found>): Promise<OnceResult<Made, Found>> => {
  const { deps, route, rawBody, ...maker } = creation;
  const idempotencyKey = readIdempotencyKey(c);
  if (idempotencyKey === undefined) return { kind: 'made', object: await maker.make(maker.id) };
  const result = await makeOnce(deps, { tenant: c.var.caller.tenant, route, idempotencyKey, rawBody }, maker);
  if (result.kind === 'replayed') c.header('Idempotent-Replayed', 'true');
  return result;
};
