import { removeBlobs } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { eraseAnyJob } from '../jobs/erase.ts';
import { jobKey } from '../jobs/store.ts';
import { findSession } from './manage-sessions.ts';
import { closeSession, forgetSession, readSessions, removeTurns, SESSIONS, scanTurns } from './store.ts';
import { madePictures, type Turn } from './turn.ts';

type EraseDeps = Pick<Deps, 'redis' | 'blobs' | 'queues' | 'now'>;

/** The score of a closed session whose jobs are erased with it; one that expired has 1. */
const ERASING = 0;

/** Turns erased side by side: each takes some round trips and removes files. */
const AT_ONCE = 16;

const blobsOf = (turn: Turn, withMade: boolean): string[] => [
  ...(turn.blobIds ?? []),
  ...(withMade ? madePictures(turn.output).map(({ blobId }) => blobId) : []),
];

const eraseTurn = async (deps: EraseDeps, turn: Turn, withJob: boolean): Promise<void> => {
  if (withJob) await eraseAnyJob(deps, turn.jobId);
  // A job that has not expired yet owns its blobs again.
  if (withJob || (await deps.redis.exists(jobKey(turn.jobId))) === 0) await removeBlobs(deps, blobsOf(turn, withJob));
};

/** Erases the turns of a closed session, and with `withJobs` their jobs, running ones too. Can be taken up again wherever it stopped. */
const eraseTurns = async (deps: EraseDeps, id: string, withJobs: boolean): Promise<void> => {
  for (;;) {
    const turns = await scanTurns(deps.redis, id);
    if (turns.length === 0) break;
    for (let at = 0; at < turns.length; at += AT_ONCE) await Promise.all(turns.slice(at, at + AT_ONCE).map((turn) => eraseTurn(deps, turn, withJobs)));
    await removeTurns(
      deps.redis,
      id,
      turns.map(({ number }) => number),
    );
  }
  await forgetSession(deps.redis, id);
};

/**
 * Erases a session: from now on no route finds it; then its turns, and its jobs with all their texts and blobs, also one that is running: its
 * upstream call is aborted and its result is refused. What a process that dies leaves is erased by the sweep.
 * @throws AppError `invalid_request`, `not_found`.
 */
export const eraseSession = async (deps: EraseDeps, tenant: string, id: string): Promise<void> => {
  const session = await findSession(deps, tenant, id);
  await closeSession(deps.redis, session, deps.now(), false);
  await eraseTurns(deps, id, true);
};

/** For the sweep: goes on with a session that is being erased, or ends one whose time has come. */
export const sweepSession = async (deps: EraseDeps, id: string): Promise<void> => {
  const [session] = await readSessions(deps.redis, [id]);
  if (!session) {
    const score = Number(await deps.redis.zscore(SESSIONS, id));
    await eraseTurns(deps, id, score === ERASING);
    return;
  }
  if ((await closeSession(deps.redis, session, deps.now(), true)) === 'closed') await eraseTurns(deps, id, false);
};
