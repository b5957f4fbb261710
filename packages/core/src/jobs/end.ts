import type { Deps } from '../deps.ts';
import { encodeTurn, type TurnEnd, turnOf } from '../sessions/turn.ts';
import { jobOccasion } from '../webhooks/occasion.ts';
import { prepareDeliveries, sendDeliveries } from '../webhooks/publish.ts';
import type { AttemptOutcome, JobError, JobRecord, TerminalStatus } from './job.ts';
import { sendNext } from './send-next.ts';
import { type FinishReply, finishJob } from './store.ts';

/** How a run ends. `fields` are written to the record as they are. */
export type Ending = {
  status: TerminalStatus;
  /** Empty: the job must still be queued. */
  lease: string;
  attempt?: { outcome: AttemptOutcome; error?: JobError };
  lastDelta?: string;
  /** The answer was cut short (length, content filter): the webhook of a response says so. */
  isCut?: boolean;
  error?: JobError;
  fields?: Record<string, string | number>;
  /** What the session remembers of it beside the status. */
  turn?: Omit<TurnEnd, 'status'>;
  /** The language its message is surely in. */
  spoken?: string;
};

/**
 * Ends a run once: result, event and outbox line in one step; then sends the deliveries' messages (the sweep does it if we die here).
 * `lost` means that someone else ended or holds the job: nothing was changed.
 */
export const endJob = async (deps: Pick<Deps, 'redis' | 'queues' | 'config' | 'now' | 'endpoints'>, job: JobRecord, ending: Ending): Promise<FinishReply> => {
  const deliveries = await prepareDeliveries(deps, jobOccasion(job, ending.status, ending.isCut));
  const reply = await finishJob(deps.redis, {
    id: job.id,
    tenant: job.spec.tenant,
    run: job.run,
    lease: ending.lease,
    status: ending.status,
    ...(ending.attempt && { attempt: ending.attempt }),
    ...(ending.lastDelta !== undefined && { lastDelta: ending.lastDelta }),
    resultTtlMs: deps.config.results.ttlSeconds * 1000,
    deliveries,
    ...(job.session && { turn: encodeTurn(turnOf(job, { ...ending.turn, status: ending.status })), spoken: ending.spoken }),
    fields: { ...ending.fields, ...(job.language !== undefined && { language: job.language }), ...(ending.error && { error: JSON.stringify(ending.error) }) },
  });
  if (reply.kind === 'finished') {
    await sendDeliveries(deps, deliveries);
    await sendNext(deps, reply.nextJobId);
  }
  return reply;
};
