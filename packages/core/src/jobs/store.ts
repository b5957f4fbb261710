import type { Redis } from 'ioredis';
import { loadScript } from '../redis.ts';
import { type Delivery, deliveryArguments } from '../webhooks/delivery.ts';
import type { AttemptOutcome, JobError, JobRecord, JobStatus, TerminalStatus } from './job.ts';
import { decodeRecord } from './record.ts';

/** Zset of everything that is not at its end (jobs, deliveries); score: unix ms at which the sweep looks at it, less `RUNNING_BAND_MS` for a running job. */
export const DUE = 'fana:due';
/** Running jobs stand in a band of their own below zero, so that a lapsed lease is found at once, however many queued jobs are due. */
export const RUNNING_BAND_MS = 10_000_000_000_000;
/** Zset of ended jobs; score: unix ms of expiry. */
export const ENDED = 'fana:ended';

/** Hash of a job: record.ts reads it. */
export const jobKey = (id: string): string => `fana:job:${id}`;
/** Stream of a job's events (events.ts). */
export const eventsKey = (id: string): string => `fana:events:${id}`;
/** Zset of a tenant's jobs; score: unix µs of acceptance. */
export const tenantJobsKey = (tenant: string): string => `fana:tenant:${tenant}:jobs`;
/** Zset of the jobs that one request began and whose reply was not delivered; score: unix ms of acceptance. */
const joinKey = (digest: string): string => `fana:join:${digest}`;
/** Pub/sub channel of one job: published at every new event. */
export const jobChannel = (id: string): string => `fana:job:${id}`;
/** Pub/sub channel on which workers hear the ids of jobs to stop. */
export const CANCEL_CHANNEL = 'fana:cancel';

/** A lease lasts as long as BullMQ's lock: a dead worker's job is free after at most this. */
const LEASE_MS = 10_000;
/** The sweep looks at a lapsed lease this long after its end: BullMQ's own stalled check comes first. */
const GRACE_MS = 4_000;
/** The sweep looks for the message of a queued record this long after its acceptance. */
const FIRST_CHECK_MS = 10_000;
/** The place of a waiting caller is renewed every second: when its process has died, it is free after this. */
const WAITER_LEASE_MS = 3000;
/** Contract 3: a job is joined up to this after its end. */
const JOINABLE_MS = 600_000;
/** Longer than that and than any caller waits: looking for a job to join renews it. */
const JOIN_KEPT_SECONDS = 3600;
/** Events stay readable this long after the end. */
const EVENTS_TTL_SECONDS = 600;

const scripts = {
  accept: loadScript(import.meta.url, './accept.lua'),
  notePicture: loadScript(import.meta.url, './note-picture.lua'),
  claim: loadScript(import.meta.url, './claim.lua'),
  beginAttempt: loadScript(import.meta.url, './begin-attempt.lua'),
  settleAttempt: loadScript(import.meta.url, './settle-attempt.lua'),
  appendDelta: loadScript(import.meta.url, './append-delta.lua'),
  finish: loadScript(import.meta.url, './finish.lua'),
  release: loadScript(import.meta.url, './release.lua'),
  renew: loadScript(import.meta.url, './renew.lua'),
  cancel: loadScript(import.meta.url, './cancel.lua'),
  retry: loadScript(import.meta.url, './retry.lua'),
  erase: loadScript(import.meta.url, './erase.lua'),
  fence: loadScript(import.meta.url, './fence.lua'),
  restWaiting: loadScript(import.meta.url, './rest-waiting.lua'),
  join: loadScript(import.meta.url, './join.lua'),
  renewWaiters: loadScript(import.meta.url, './renew-waiters.lua'),
  leave: loadScript(import.meta.url, './leave.lua'),
};

/** One submission on its way into Redis. */
export type AcceptItem = {
  id: string;
  tenant: string;
  spec: string;
  type: string;
  keyId: string;
  requestsPerMinute: number;
  idempotencyKey: string;
  fingerprint: string;
  runAtMs: number;
  deadlineSeconds: number;
  /** The place of the caller that waits for it; undefined: no repetition of the request joins it. */
  place: Place | undefined;
  /** The session whose next turn it is, and whether that turn makes or shows a picture. */
  session: { id: string; showsPicture: boolean } | undefined;
};
/** A caller that waits for a job: `digest` tells requests apart (join.ts), `waiter` is its token. */
export type Place = { digest: string; waiter: string };
/** `waits`: an earlier job of its session has not ended, so its message is not to be sent yet. */
export type AcceptReply = {
  kind: 'accepted' | 'replayed' | 'mismatch' | 'limited' | 'no_session' | 'session_ended';
  waits: boolean;
  id: string;
  createdMs: number;
  remaining: number;
  resetSeconds: number;
};

/** Between the fields of an item; none of them can hold it (ids, numbers, hashes, and tenants by their schema). */
const UNIT_SEPARATOR = '\x1f';

/** The integers of accept.lua. */
const ACCEPT_KINDS = [undefined, 'accepted', 'replayed', 'mismatch', 'limited', 'accepted', 'no_session', 'session_ended'] as const;
/** The one of them that says `waits`. */
const ACCEPTED_WAITING = 5;

/** Accepts a group of submissions in one step; the replies have their order. @throws when Redis is away: some may have been accepted. */
export const acceptJobs = async (redis: Redis, items: AcceptItem[]): Promise<AcceptReply[]> => {
  const args: string[] = [String(FIRST_CHECK_MS)];
  for (const item of items) {
    const { id, tenant, type, keyId, requestsPerMinute, idempotencyKey, fingerprint, runAtMs, deadlineSeconds, place, session } = item;
    const join = place && ` j${place.digest} ${place.waiter} ${WAITER_LEASE_MS} ${JOIN_KEPT_SECONDS}`;
    const turn = session && ` s${session.showsPicture ? 1 : 0}${session.id}`;
    const last = `${deadlineSeconds}${join ?? turn ?? ''}`;
    args.push([id, tenant, type, keyId, requestsPerMinute, idempotencyKey, fingerprint, runAtMs, last].join(UNIT_SEPARATOR), item.spec);
  }
  const [now, ...values] = (await scripts.accept(redis, [DUE], args)) as (string | number)[];
  const createdMs = Number(now);
  let nextReplayed = 3 * items.length;
  return items.map((item, at) => {
    const code = Number(values[3 * at]);
    const kind = ACCEPT_KINDS[code] ?? 'mismatch';
    const id = kind === 'replayed' ? String(values[nextReplayed++]) : item.id;
    return { kind, waits: code === ACCEPTED_WAITING, id, createdMs, remaining: Number(values[3 * at + 1]), resetSeconds: Number(values[3 * at + 2]) };
  });
};

/** The record of a job, whoever owns it; undefined when there is none. */
export const readJob = async (redis: Redis, id: string): Promise<JobRecord | undefined> => {
  const hash = await redis.hgetall(jobKey(id));
  return hash['spec'] === undefined ? undefined : decodeRecord(id, hash);
};

/** `stale`: the run has ended, or a later one began. `leased`: another worker holds it until `untilMs` at least. */
export type ClaimReply = { kind: 'gone' } | { kind: 'stale' } | { kind: 'leased'; untilMs: number } | { kind: 'claimed'; job: JobRecord };

/** Takes the lease of a run, if it is free; an attempt that a dead worker left open is closed as `unknown`. */
export const claimJob = async (redis: Redis, id: string, run: number, lease: string): Promise<ClaimReply> => {
  const [kind, ...rest] = (await scripts.claim(redis, [jobKey(id), DUE, eventsKey(id)], [id, run, lease, LEASE_MS, GRACE_MS - RUNNING_BAND_MS])) as string[];
  if (kind === 'leased') return { kind, untilMs: Number(rest[0]) };
  if (kind !== 'claimed') return { kind: kind === 'gone' ? 'gone' : 'stale' };
  return { kind, job: decodeRecord(id, toHash(rest)) };
};

/** `lost`: another worker holds the job. `cancelling`: no further call may be made. */
export type BeginReply = { kind: 'begun'; number: number } | { kind: 'lost' } | { kind: 'cancelling' };

/** Writes the line of a provider call into the ledger, before the call is made. */
export const beginAttempt = async (redis: Redis, id: string, lease: string, provider: string, model: string): Promise<BeginReply> => {
  const [kind, number] = (await scripts.beginAttempt(redis, [jobKey(id), eventsKey(id)], [lease, provider, model, id])) as [string, number];
  if (kind === 'begun') return { kind, number };
  return { kind: kind === 'cancelling' ? 'cancelling' : 'lost' };
};

/** Adds a stored picture to the job. False: the lease is lost. */
export const notePicture = async (redis: Redis, id: string, lease: string, field: string, blobId: string): Promise<boolean> =>
  (await scripts.notePicture(redis, [jobKey(id)], [lease, field, blobId])) === 1;

/** Closes the open attempt while the run goes on. False: the lease is lost. */
export const settleAttempt = async (redis: Redis, id: string, lease: string, outcome: AttemptOutcome, error?: JobError): Promise<boolean> =>
  (await scripts.settleAttempt(redis, [jobKey(id)], [lease, outcome, error ? JSON.stringify(error) : ''])) === 1;

/** A piece of output: `number` counts the pieces of its attempt from 1; `choices` is what it adds beside the text of the first answer (JSON, or ''). */
export type Piece = { id: string; lease: string; attempt: number; number: number; text: string; choices: string };

/** Publishes a piece of output, once however often it is sent. False: the lease is lost. */
export const appendDelta = async (redis: Redis, { id, lease, attempt, number, text, choices }: Piece): Promise<boolean> =>
  (await scripts.appendDelta(redis, [jobKey(id), eventsKey(id)], [lease, attempt, text, id, number, choices])) === 1;

export type FinishInput = {
  id: string;
  tenant: string;
  run: number;
  /** Empty: the job must still be queued. */
  lease: string;
  status: TerminalStatus;
  attempt?: { outcome: AttemptOutcome; error?: JobError };
  lastDelta?: string;
  resultTtlMs: number;
  /** What webhooks are owed (webhooks/publish.ts). */
  deliveries: Delivery[];
  /** The line of its turn (sessions/turn.ts), if it has a session. */
  turn?: string | undefined;
  /** The language its message is surely in. */
  spoken?: string | undefined;
  fields: Record<string, string | number>;
};
/** `lost`: someone else ended or holds the job, and nothing was changed. */
export type FinishReply =
  /** `nextJobId`: the job of its session that may run now, whose message is to be sent. */
  { kind: 'finished'; endEventId: string; finishedMs: number; expiresMs: number; nextJobId?: string } | { kind: 'lost'; status: string };

/** Ends a run, once: status, result, last event and webhook deliveries in one step. */
export const finishJob = async (redis: Redis, input: FinishInput): Promise<FinishReply> => {
  const { id, attempt } = input;
  const args = [
    id,
    input.lease,
    input.run,
    input.status,
    attempt?.outcome ?? '',
    attempt?.error ? JSON.stringify(attempt.error) : '',
    input.lastDelta ?? '',
    input.resultTtlMs,
    input.tenant,
    EVENTS_TTL_SECONDS,
    input.turn ?? '',
    input.spoken ?? '',
    ...deliveryArguments(input.deliveries),
    ...Object.entries(input.fields).flat(),
  ];
  const reply = (await scripts.finish(redis, [jobKey(id), DUE, eventsKey(id)], args)) as string[];
  if (reply[0] !== 'finished') return { kind: 'lost', status: reply[1] ?? '' };
  return { kind: 'finished', endEventId: reply[1] ?? '', finishedMs: Number(reply[2]), expiresMs: Number(reply[3]), ...(reply[4] && { nextJobId: reply[4] }) };
};

/** `waitedMs`: what the record keeps as its `waitedMs`, this delay included if it is a provider's. `aside`: see `JobRecord`. */
export type ReleaseInput = {
  id: string;
  lease: string;
  attempt?: { outcome: AttemptOutcome; error?: JobError };
  delayMs: number;
  waitedMs?: number;
  aside?: string;
};

/** Gives a run back to the queue. `cancelling`: it is to be ended instead, and nothing was changed. */
export const releaseJob = async (
  redis: Redis,
  { id, lease, attempt, delayMs, waitedMs = 0, aside = '' }: ReleaseInput,
): Promise<'released' | 'lost' | 'cancelling'> =>
  (await scripts.release(
    redis,
    [jobKey(id), DUE, eventsKey(id)],
    [id, lease, attempt?.outcome ?? '', attempt?.error ? JSON.stringify(attempt.error) : '', Math.ceil(delayMs), FIRST_CHECK_MS, Math.ceil(waitedMs), aside],
  )) as 'released' | 'lost' | 'cancelling';

export type LeaseState = 'held' | 'cancelling' | 'lost';

/** Renews every lease of this process in one call; the reply has the order of `held`. */
export const renewLeases = async (redis: Redis, held: { id: string; lease: string }[]): Promise<LeaseState[]> =>
  (await scripts.renew(redis, [DUE], [LEASE_MS, GRACE_MS - RUNNING_BAND_MS, ...held.flatMap(({ id, lease }) => [id, lease])])) as LeaseState[];

/** Marks a running job as cancelling and tells its worker; returns the status before, '' if there is no such job. */
export const requestCancel = async (redis: Redis, id: string): Promise<JobStatus | ''> => (await scripts.cancel(redis, [jobKey(id)], [id])) as JobStatus | '';

/** `waits`: another job of its session runs; its message is sent when its turn comes. */
export type RestartReply = { kind: 'retried'; run: number; waits: boolean } | { kind: 'refused' } | { kind: 'gone' };

/** Queues a new run of an ended job. `refused`: it is not one that can be retried, or not in the run the caller saw. */
export const restartJob = async (redis: Redis, id: string, run: number): Promise<RestartReply> => {
  const [kind, value, waits] = (await scripts.retry(redis, [jobKey(id), DUE, eventsKey(id), ENDED], [id, FIRST_CHECK_MS, run])) as [string, number, number];
  if (kind === 'retried') return { kind, run: value, waits: waits === 1 };
  return { kind: kind === 'gone' ? 'gone' : 'refused' };
};

/** `nextJobId`: the job of its session that may run now, whose message is to be sent. `isRemembered`: a turn of its session keeps its blobs. */
export type EraseReply = { kind: 'erased'; nextJobId?: string; isRemembered: boolean } | { kind: 'running' } | { kind: 'gone' };

/**
 * Removes the record, events and deliveries of a job, unless it runs or was retried since it was read. `expired`: its time came by
 * itself, so a delivery that is still pending is sent all the same, and its session still remembers the turn.
 */
export const eraseJobKeys = async (redis: Redis, { id, run, spec: { tenant } }: JobRecord, expired: boolean): Promise<EraseReply> => {
  const keys = [jobKey(id), DUE, eventsKey(id), ENDED, tenantJobsKey(tenant)];
  const [kind, nextJobId, remembered] = (await scripts.erase(redis, keys, [id, run, expired ? 1 : 0, tenant])) as [string, string, number];
  if (kind === 'erased') return { kind, isRemembered: remembered === 1, ...(nextJobId !== '' && { nextJobId }) };
  return { kind: kind === 'running' ? kind : 'gone' };
};

/** Stops a job before it is erased: nobody can claim it, and a worker that runs it can write nothing any more. Returns the record as it is then. */
export const fenceJob = async (redis: Redis, id: string): Promise<JobRecord | undefined> => {
  const fields = (await scripts.fence(redis, [jobKey(id)], [id])) as string[];
  return fields.length === 0 ? undefined : decodeRecord(id, toHash(fields));
};

/** A job that waits for another one of its session is not looked at again, but at its deadline (unix ms). */
export const restWaiting = async (redis: Redis, id: string, deadline: number | undefined): Promise<void> => {
  await scripts.restWaiting(redis, [jobKey(id), DUE], [id, deadline ?? '']);
};

const toHash = (flat: string[]): Record<string, string> => {
  const hash: Record<string, string> = {};
  for (let at = 0; at < flat.length; at += 2) hash[flat[at] as string] = flat[at + 1] as string;
  return hash;
};

/** `busy`: there are jobs of this request, but each has a caller that waits for it. */
export type JoinReply = { kind: 'joined'; id: string } | { kind: 'busy' } | { kind: 'none' };

/** Takes the free place of a caller at a job of this request. */
export const joinJob = async (redis: Redis, { digest, waiter }: Place): Promise<JoinReply> => {
  const [kind, id] = (await scripts.join(redis, [joinKey(digest)], [waiter, WAITER_LEASE_MS, JOINABLE_MS, JOIN_KEPT_SECONDS])) as string[];
  if (kind === 'joined') return { kind, id: id ?? '' };
  return { kind: kind === 'busy' ? 'busy' : 'none' };
};

/** Keeps the places of everybody who waits in this process. */
export const renewWaiters = async (redis: Redis, held: { id: string; waiter: string }[]): Promise<void> => {
  await scripts.renewWaiters(redis, [], [WAITER_LEASE_MS, ...held.flatMap(({ id, waiter }) => [id, waiter])]);
};

/** Gives up the place of a caller; after a `delivered` final reply nobody joins the job any more. */
export const leaveJob = async (redis: Redis, id: string, { digest, waiter }: Place, delivered: boolean): Promise<void> => {
  await scripts.leave(redis, [jobKey(id), joinKey(digest)], [id, waiter, delivered ? 1 : 0]);
};
