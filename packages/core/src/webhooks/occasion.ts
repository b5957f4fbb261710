import { renameId } from '../ids.ts';
import type { JobRecord, TerminalStatus } from '../jobs/job.ts';
import type { BatchEventType, EventData, WebhookEventType } from './event.ts';

/** Something webhooks are told of: the end of a run of a job, or of a batch. */
export type Occasion = {
  tenant: string;
  /** `job_…` or `batch_…`. */
  subject: string;
  /** Most ends are one event; a job that is also a response is two. */
  events: { type: WebhookEventType; data: EventData }[];
  /** The URL that was given with the job or batch itself, and the events it is to hear of. */
  webhook?: { url: string; events: readonly WebhookEventType[] } | undefined;
};

/**
 * The event of a response: it completed, or it failed (also when its outcome is unknown). A cancelled one has none in the contract, and an
 * incomplete one is a completed one whose `data.status` says so.
 */
const responseEvents = ({ id, spec }: JobRecord, status: TerminalStatus, isCut: boolean): Occasion['events'] => {
  if (status === 'cancelled') return [];
  const end = status === 'completed' ? 'completed' : 'failed';
  const shown = isCut ? 'incomplete' : end;
  const data: EventData = { id: renameId('resp', id), object: 'response', status: shown, type: 'response', metadata: spec.metadata };
  return [{ type: `response.${end}`, data }];
};

/** The end of a run of a job. `isCut`: its answer came, but not to its end. */
export const jobOccasion = (job: JobRecord, status: TerminalStatus, isCut = false): Occasion => {
  const { tenant, type, metadata, webhook, endpoint } = job.spec;
  const data: EventData = { id: job.id, object: 'job', status, type, metadata };
  const events: Occasion['events'] = [{ type: `job.${status}`, data }];
  if (endpoint === 'responses') events.push(...responseEvents(job, status, isCut));
  return { tenant, subject: job.id, events, webhook };
};

/** A batch that has ended: `webhook` is the one of its create body. */
export type EndedBatch = {
  id: string;
  tenant: string;
  status: 'completed' | 'failed' | 'expired' | 'cancelled';
  metadata: Record<string, string>;
  webhook?: { url: string; events: readonly BatchEventType[] } | undefined;
};

/** The end of a batch. */
export const batchOccasion = ({ id, tenant, status, metadata, webhook }: EndedBatch): Occasion => ({
  tenant,
  subject: id,
  events: [{ type: `batch.${status}`, data: { id, object: 'batch', status, type: 'batch', metadata } }],
  webhook,
});
