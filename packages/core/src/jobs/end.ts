import type { Deps } from '../deps.ts';
import { prepareDelivery } from '../webhooks/publish.ts';
import type { AttemptOutcome, JobError, JobRecord, TerminalStatus } from './job.ts';
import { type FinishReply, finishJob } from './store.ts';

/** How a run ends. `fields` are written to the record as they are. */
export type Ending = {
  status: TerminalStatus;
  /** Empty: the job must still be queued. */
  lease: string;
  attempt?: { outcome: AttemptOutcome; error?: JobError };
  lastDelta?: string;
  error?: JobError;
  fields?: Record<string, string | number>;
};

/**
 * Ends a run once: result, event and outbox line in one step; then sends the delivery's message (the sweep does it if we die here).
 * `lost` means that someone else ended or holds the job: nothing was changed.
 */
export const endJob = async (deps: Pick<Deps, 'redis' | 'queues' | 'config' | 'now'>, job: JobRecord, ending: Ending): Promise<FinishReply> => {
  const delivery = prepareDelivery(job, ending.status, deps.now());
  const reply = await finishJob(deps.redis, {
    id: job.id,
    tenant: job.spec.tenant,
    run: job.run,
    lease: ending.lease,
    status: ending.status,
    ...(ending.attempt && { attempt: ending.attempt }),
    ...(ending.lastDelta !== undefined && { lastDelta: ending.lastDelta }),
    resultTtlMs: deps.config.results.ttlSeconds * 1000,
    delivery,
    fields: { ...ending.fields, ...(job.language !== undefined && { language: job.language }), ...(ending.error && { error: JSON.stringify(ending.error) }) },
  });
  if (reply.kind === 'finished' && delivery) {
    await deps.queues.enqueue([{ queue: 'webhook', messageId: `${delivery.id}-1`, message: { id: delivery.id, run: 1 } }]);
  }
  return reply;
};
