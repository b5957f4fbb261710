import type { JobRecord, TerminalStatus, WebhookEventType } from '../jobs/job.ts';

/** The body of a webhook: OpenAI's fields and those of Standard Webhooks side by side. */
export type WebhookEvent = {
  id: string;
  object: 'event';
  type: WebhookEventType;
  created_at: number;
  timestamp: string;
  data: { id: string; object: string; status: string; type: string; metadata: Record<string, string>; metadata_omitted?: true };
};

/** Contract 6: bodies stay under 20 kB. */
const MAX_BODY_BYTES = 20_000;

/** The body as it is signed and sent, the same at every attempt. Metadata that does not fit is left out, and the body says so. */
export const eventBody = (id: string, job: JobRecord, status: TerminalStatus, nowMs: number): string => {
  const event: WebhookEvent = {
    id,
    object: 'event',
    type: `job.${status}`,
    created_at: Math.floor(nowMs / 1000),
    timestamp: new Date(nowMs).toISOString(),
    data: { id: job.id, object: 'job', status, type: job.spec.type, metadata: job.spec.metadata },
  };
  const body = JSON.stringify(event);
  if (Buffer.byteLength(body) < MAX_BODY_BYTES) return body;
  return JSON.stringify({ ...event, data: { ...event.data, metadata: {}, metadata_omitted: true } });
};
