import { hash } from 'node:crypto';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { claimOnce, endOnce } from './store.ts';

/** One creating request: who, which route, the client's key, and the body it came with. */
export type OnceRequest = { tenant: string; route: string; idempotencyKey: string; rawBody: string };

/** How a kind of object is made and found: `id` is chosen here before anything is made. */
export type OnceMaker<Made, Found> = { id: string; make: (id: string) => Promise<Made>; find: (id: string) => Promise<Found | undefined> };
export type OnceResult<Made, Found> = { kind: 'made'; object: Made } | { kind: 'replayed'; object: Found };

/** Whether an object may exist although making it failed. */
const mayExist = (error: unknown): boolean => !(error instanceof AppError) || error.code === 'unavailable' || error.code === 'internal_error';

/**
 * Makes an object once for an idempotency key, kept 24 h per tenant and route. A repeat finds the object, whatever happened to the
 * first request: the id is part of the claim, so an answer that was lost (or a process that died) is mended by the next repeat.
 * @throws AppError `idempotency_key_reused` (other body), `idempotency_in_progress` (the first is still being made), and what `make` throws.
 */
export const makeOnce = async <Made, Found>(
  deps: Pick<Deps, 'redis'>,
  { tenant, route, idempotencyKey, rawBody }: OnceRequest,
  { id: newId, make, find }: OnceMaker<Made, Found>,
): Promise<OnceResult<Made, Found>> => {
  const name = { tenant, route, keyHash: hash('sha256', idempotencyKey) };
  const { kind, id } = await claimOnce(deps.redis, name, hash('sha256', rawBody), newId);
  if (kind === 'mismatch') {
    throw new AppError('idempotency_key_reused', 'This Idempotency-Key was used with another body in the last 24 hours.', { param: 'Idempotency-Key' });
  }
  // A claim taken over from a request that died may have its object already; a new claim cannot.
  const found = kind === 'claimed' && id === newId ? undefined : await find(id);
  if (found !== undefined) {
    if (kind !== 'settled') await endOnce(deps.redis, name, id, 'settle');
    return { kind: 'replayed', object: found };
  }
  if (kind === 'settled') throw new AppError('not_found', 'What this Idempotency-Key made has been deleted.');
  if (kind === 'in_progress') {
    throw new AppError('idempotency_in_progress', 'The first request with this Idempotency-Key is still being answered.', { param: 'Idempotency-Key' });
  }
  try {
    const object = await make(id);
    await endOnce(deps.redis, name, id, 'settle');
    return { kind: 'made', object };
  } catch (error) {
    if (!mayExist(error)) await endOnce(deps.redis, name, id, 'release');
    throw error;
  }
};
