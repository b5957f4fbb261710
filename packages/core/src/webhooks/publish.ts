import { newId } from '../ids.ts';
import type { JobRecord, TerminalStatus } from '../jobs/job.ts';
import type { Delivery } from '../jobs/store.ts';
import type { DeliverySpec } from './delivery.ts';
import { eventBody } from './event.ts';

/** The delivery that the end of a run owes its webhook, to be written in the same step as the end itself; undefined if nobody asked for it. */
export const prepareDelivery = (job: JobRecord, status: TerminalStatus, nowMs: number): Delivery | undefined => {
  const { webhook, tenant } = job.spec;
  if (!webhook?.events.includes(`job.${status}`)) return undefined;
  const eventId = newId('evt');
  const spec: DeliverySpec = {
    tenant,
    endpointId: 'default',
    url: webhook.url,
    eventId,
    type: `job.${status}`,
    jobId: job.id,
    body: eventBody(eventId, job, status, nowMs),
  };
  return { id: newId('whd'), spec: JSON.stringify(spec) };
};
