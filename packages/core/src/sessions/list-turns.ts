import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { isId, renameId } from '../ids.ts';
import { findSession } from './manage-sessions.ts';
import { lastTurn, type NumberedTurn, readTurns } from './store.ts';

/** Lines read in one round trip. */
const STEP = 100;

/** Turns in the order of their numbers, from `from` on, at most `count`. */
const walk = async (deps: Pick<Deps, 'redis'>, id: string, from: number, count: number): Promise<NumberedTurn[]> => {
  const last = await lastTurn(deps.redis, id);
  const found: NumberedTurn[] = [];
  for (let at = from; at <= last && found.length < count; at += count) {
    found.push(...(await readTurns(deps.redis, id, at, Math.min(last, at + count - 1))));
  }
  return found.slice(0, count);
};

/** Where a turn stands. Its job may have expired, so its session is asked. */
const numberOf = async (deps: Pick<Deps, 'redis'>, id: string, turnId: string): Promise<number | undefined> => {
  if (!isId('turn', turnId)) return undefined;
  const jobId = renameId('job', turnId);
  const last = await lastTurn(deps.redis, id);
  for (let from = 1; from <= last; from += STEP) {
    const turn = (await readTurns(deps.redis, id, from, Math.min(last, from + STEP - 1))).find((one) => one.jobId === jobId);
    if (turn) return turn.number;
  }
  return undefined;
};

/** A session's turns, oldest first, from the one after `after`. @throws AppError `invalid_request`, `not_found`. */
export const listTurns = async (
  deps: Pick<Deps, 'redis'>,
  tenant: string,
  id: string,
  { limit, after }: { limit: number; after?: string | undefined },
): Promise<{ turns: NumberedTurn[]; hasMore: boolean }> => {
  await findSession(deps, tenant, id);
  const start = after === undefined ? 0 : await numberOf(deps, id, after);
  if (start === undefined) throw new AppError('invalid_request', 'after: there is no such turn.', { param: 'after' });
  const turns = await walk(deps, id, start + 1, limit + 1);
  return { turns: turns.slice(0, limit), hasMore: turns.length > limit };
};
