import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { isId, newId } from '../ids.ts';
import type { Session } from './session.ts';
import { changeSession, insertSession, listSessionIds, readSessions, type SessionChanges } from './store.ts';

type SessionDeps = Pick<Deps, 'redis' | 'config' | 'now'>;

/** @throws AppError `invalid_request` for what has not the form of a session id. */
export const assertSessionId = (id: string, param = 'session_id'): void => {
  if (!isId('ses', id)) throw new AppError('invalid_request', `${param}: must be the id of a session, ses_ and 22 letters and digits.`, { param });
};

export type NewSession = { id?: string; tenant: string; metadata?: Record<string, string>; system?: string; language?: string };

/** Makes a session. It lives FANA_RESULT_TTL_SECONDS after its last use (docs/decisions). */
export const createSession = async (deps: SessionDeps, { id = newId('ses'), metadata = {}, ...given }: NewSession): Promise<Session> => {
  const createdMs = deps.now();
  const ttlMs = deps.config.results.ttlSeconds * 1000;
  const session: Session = { id, metadata, ...given, turnCount: 0, showsPicture: false, createdMs, expiresMs: createdMs + ttlMs };
  await insertSession(deps.redis, session, ttlMs);
  return session;
};

/** A session of this tenant; undefined when there is none. */
export const lookUpSession = async (deps: Pick<Deps, 'redis'>, tenant: string, id: string): Promise<Session | undefined> => {
  const [session] = await readSessions(deps.redis, [id]);
  return session?.tenant === tenant ? session : undefined;
};

/** @throws AppError `invalid_request` (no session id), `not_found` (also of another tenant), each with `param`, if it is given. */
export const findSession = async (deps: Pick<Deps, 'redis'>, tenant: string, id: string, param?: string): Promise<Session> => {
  assertSessionId(id, param);
  const session = await lookUpSession(deps, tenant, id);
  if (!session) throw new AppError('not_found', 'There is no such session.', param === undefined ? {} : { param });
  return session;
};

/** A tenant's sessions, newest first, from the one after `after`. @throws AppError `invalid_request` (param `after`). */
export const listSessions = async (
  deps: Pick<Deps, 'redis'>,
  tenant: string,
  { limit, after }: { limit: number; after?: string | undefined },
): Promise<{ sessions: Session[]; hasMore: boolean }> => {
  const ids = await listSessionIds(deps.redis, tenant, limit + 1, after);
  if (!ids) throw new AppError('invalid_request', 'after: there is no such session.', { param: 'after' });
  return { sessions: await readSessions(deps.redis, ids.slice(0, limit)), hasMore: ids.length > limit };
};

/** Changes what is named; null takes it away. @throws AppError `invalid_request`, `not_found`. */
export const updateSession = async (
  deps: Pick<Deps, 'redis' | 'now'>,
  tenant: string,
  id: string,
  changes: Omit<SessionChanges, 'endedMs'>,
): Promise<Session> => {
  await findSession(deps, tenant, id);
  await changeSession(deps.redis, id, changes, deps.now());
  return findSession(deps, tenant, id);
};

/** Ends a session: it takes no further job; those it has go on. Ending twice is no error. @throws AppError `invalid_request`, `not_found`. */
export const endSession = async (deps: Pick<Deps, 'redis' | 'now'>, tenant: string, id: string): Promise<Session> => {
  await findSession(deps, tenant, id);
  await changeSession(deps.redis, id, { endedMs: deps.now() }, deps.now());
  return findSession(deps, tenant, id);
};
