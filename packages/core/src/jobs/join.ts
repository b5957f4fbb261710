import { hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Deps } from '../deps.ts';
import type { EndpointName } from './job.ts';
import { joinJob, type Place } from './store.ts';

/** A caller that times out asks again at once, maybe before its old connection is seen to be gone: longer than the lease of a dead caller's place. */
const BUSY_WAIT_MS = 4000;
const LOOK_EVERY_MS = 150;

/** What a request and its repetition have in common: key, route and body. 132 bits of SHA-256. */
export const requestDigest = (keyId: string, endpoint: EndpointName, rawBody: string): string =>
  hash('sha256', `${keyId}\n${endpoint}\n${rawBody}`, 'base64url').slice(0, 22);

/**
 * Finds the job that an earlier try of the same request began, if its reply was never delivered, and takes the place of the caller that
 * waits for it (contract 3). A job has one such place: of several tries at once each gets a job of its own. Resolves with the job's id.
 */
export const joinEarlierTry = async (deps: Pick<Deps, 'redis'>, place: Place, signal: AbortSignal): Promise<string | undefined> => {
  const until = performance.now() + BUSY_WAIT_MS;
  for (;;) {
    const reply = await joinJob(deps.redis, place);
    if (reply.kind === 'joined') return reply.id;
    if (reply.kind === 'none' || signal.aborted || performance.now() > until) return undefined;
    await sleep(LOOK_EVERY_MS);
  }
};
