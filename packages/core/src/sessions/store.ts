import type { Redis } from 'ioredis';
import { execute, loadScript } from '../redis.ts';
import type { Session } from './session.ts';
import { decodeTurn, type Turn } from './turn.ts';

/** Zset of every session; score: unix ms of expiry; 0 or 1 when it is closed and its turns are being erased. */
export const SESSIONS = 'fana:sessions';

/** Hash of a session. */
export const sessionKey = (id: string): string => `fana:session:${id}`;
/** Hash of its turns: number from 1 → line (turn.ts). */
const turnsKey = (id: string): string => `fana:session:${id}:turns`;
/** Zset of a tenant's sessions; score: unix µs of creation. */
const tenantSessionsKey = (tenant: string): string => `fana:tenant:${tenant}:sessions`;

const scripts = {
  changeSession: loadScript(import.meta.url, './change-session.lua'),
  closeSession: loadScript(import.meta.url, './close-session.lua'),
  window: loadScript(import.meta.url, './window.lua'),
};

const decodeSession = (id: string, fields: Record<string, string>, turnCount: number): Session | undefined => {
  const { tenant, metadata = '{}', system, language, spoken, created_ms, expires_ms, ended_ms, shows } = fields;
  if (tenant === undefined) return undefined;
  return {
    id,
    tenant,
    metadata: JSON.parse(metadata),
    ...(system !== undefined && { system }),
    ...(language !== undefined && { language }),
    ...(spoken !== undefined && { spoken }),
    turnCount,
    showsPicture: shows === '1',
    createdMs: Number(created_ms),
    expiresMs: Number(expires_ms),
    ...(ended_ms !== undefined && { endedMs: Number(ended_ms) }),
  };
};

/** Tells sessions of the same millisecond apart. */
let made = 0;

/** Writes a new session; `ttlMs` is how long it lives after its last use. */
export const insertSession = async (redis: Redis, session: Session, ttlMs: number): Promise<void> => {
  const { id, tenant, metadata, system, language, createdMs, expiresMs } = session;
  const fields = {
    tenant,
    metadata: JSON.stringify(metadata),
    ...(system !== undefined && { system }),
    ...(language !== undefined && { language }),
    created_ms: createdMs,
    expires_ms: expiresMs,
    ttl_ms: ttlMs,
  };
  await execute(
    redis
      .multi()
      .hset(sessionKey(id), fields)
      .zadd(SESSIONS, expiresMs, id)
      .zadd(tenantSessionsKey(tenant), createdMs * 1000 + (made++ % 1000), id),
  );
};

/** Sessions by their ids, in that order, without those that are gone. */
export const readSessions = async (redis: Redis, ids: string[]): Promise<Session[]> => {
  if (ids.length === 0) return [];
  const pipeline = redis.pipeline();
  for (const id of ids) pipeline.hgetall(sessionKey(id)).hlen(turnsKey(id));
  const replies = await execute(pipeline);
  return ids.flatMap((id, at) => decodeSession(id, replies[2 * at] as Record<string, string>, replies[2 * at + 1] as number) ?? []);
};

/** Ids of a tenant's sessions, newest first, from the one after `after`. Undefined: `after` is none of them. */
export const listSessionIds = async (redis: Redis, tenant: string, count: number, after?: string): Promise<string[] | undefined> => {
  const index = tenantSessionsKey(tenant);
  const rank = after === undefined ? -1 : await redis.zrevrank(index, after);
  return rank === null ? undefined : redis.zrevrange(index, rank + 1, rank + count);
};

/** Fields of a session to set; null takes one away. `endedMs` is set once. */
export type SessionChanges = { metadata?: Record<string, string>; system?: string | null; language?: string | null; endedMs?: number };

/** Changes a session, which counts as a use of it. False: it is gone. */
export const changeSession = async (redis: Redis, id: string, changes: SessionChanges, nowMs: number): Promise<boolean> => {
  const { metadata, system, language, endedMs } = changes;
  const args = [
    ...(metadata ? ['metadata', JSON.stringify(metadata)] : []),
    ...(system === undefined ? [] : ['system', system ?? '']),
    ...(language === undefined ? [] : ['language', language ?? '']),
    ...(endedMs === undefined ? [] : ['+ended_ms', endedMs]),
  ];
  return (await scripts.changeSession(redis, [sessionKey(id)], [id, nowMs, ...args])) === 1;
};

/** Takes a session away; its turns are left to be erased. `in_use`: it was to go only if it has expired, and it has not. */
export const closeSession = async (redis: Redis, { id, tenant }: Pick<Session, 'id' | 'tenant'>, nowMs: number, ifExpired: boolean) =>
  (await scripts.closeSession(redis, [sessionKey(id), SESSIONS, tenantSessionsKey(tenant)], [id, ifExpired ? 1 : 0, nowMs])) as 'closed' | 'in_use' | 'gone';

/** A turn with its number. */
export type NumberedTurn = Turn & { number: number };

/** How many turns a session has had: numbers go from 1 to this. */
export const lastTurn = async (redis: Redis, id: string): Promise<number> => Number((await redis.hget(sessionKey(id), 'last_turn')) ?? 0);

/** Turns by number, `from` to `to` (downwards if `from` is the greater), without those that were erased. */
export const readTurns = async (redis: Redis, id: string, from: number, to: number): Promise<NumberedTurn[]> => {
  const step = from > to ? -1 : 1;
  const numbers = Array.from({ length: Math.abs(to - from) + 1 }, (_, at) => from + step * at);
  const lines = await redis.hmget(turnsKey(id), ...numbers.map(String));
  return lines.flatMap((line, at) => (line === null ? [] : [{ ...decodeTurn(line), number: numbers[at] as number }]));
};

/** A message is not sent with what came before it for the sake of more turns without an answer than these. */
const MAX_PASSED = 100;

/** What a window may hold: `budget` in tokens, `withPictures`: pictures are shown in it, so they are counted. */
export type WindowRequest = { sessionId: string; beforeTurn: number; budget: number; withPictures: boolean };

/** The newest answered turns before one that fit the budget, oldest first, and how many earlier turns were left out. One round trip. */
export const readWindow = async (redis: Redis, { sessionId, beforeTurn, budget, withPictures }: WindowRequest): Promise<{ turns: Turn[]; leftOut: number }> => {
  const args = [beforeTurn, Math.max(0, Math.floor(budget)), withPictures ? 1 : 0, MAX_PASSED];
  const [leftOut, ...lines] = (await scripts.window(redis, [turnsKey(sessionId)], args)) as [number, ...string[]];
  return { turns: lines.reverse().map(decodeTurn), leftOut };
};

/** Some turns of a session in no order, for erasing it: also of one that is closed. */
export const scanTurns = async (redis: Redis, id: string): Promise<NumberedTurn[]> => {
  const turns: NumberedTurn[] = [];
  let cursor = '0';
  do {
    const [next, flat] = await redis.hscan(turnsKey(id), cursor, 'COUNT', 200);
    for (let at = 0; at + 1 < flat.length; at += 2) turns.push({ ...decodeTurn(flat[at + 1] as string), number: Number(flat[at]) });
    cursor = next;
  } while (turns.length === 0 && cursor !== '0');
  return turns;
};

/** Removes turns of a session, whose blobs are gone. */
export const removeTurns = async (redis: Redis, id: string, numbers: number[]): Promise<void> => {
  if (numbers.length > 0) await redis.hdel(turnsKey(id), ...numbers.map(String));
};

/** Nothing is left of a session that was closed. */
export const forgetSession = async (redis: Redis, id: string): Promise<void> => {
  await execute(redis.multi().del(turnsKey(id)).zrem(SESSIONS, id));
};
