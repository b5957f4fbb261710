import { END_EVENTS, type JobEventType } from '../jobs/job.ts';

/** One for each end of a batch. */
export const BATCH_EVENTS = ['batch.completed', 'batch.failed', 'batch.expired', 'batch.cancelled'] as const;
export type BatchEventType = (typeof BATCH_EVENTS)[number];
type ResponseEventType = 'response.completed' | 'response.failed';

export type WebhookEventType = JobEventType | BatchEventType | ResponseEventType;
/** Every event an endpoint can ask for (contract 6). */
export const WEBHOOK_EVENT_TYPES: readonly WebhookEventType[] = [...END_EVENTS, ...BATCH_EVENTS, 'response.completed', 'response.failed'];

/** What an event is about: never a text, a picture or a link to one. */
export type EventData = { id: string; object: 'job' | 'batch' | 'response'; status: string; type: string; metadata: Record<string, string> };

/** The body of a webhook: OpenAI's fields and those of Standard Webhooks side by side. */
export type WebhookEvent = {
  id: string;
  object: 'event';
  type: WebhookEventType;
  created_at: number;
  timestamp: string;
  data: EventData & { metadata_omitted?: true };
};

/** Contract 6: bodies stay under 20 kB. */
const MAX_BODY_BYTES = 20_000;

/** The body as it is signed and sent, the same at every attempt. Metadata that does not fit is left out, and the body says so. */
export const eventBody = (id: string, type: WebhookEventType, data: EventData, nowMs: number): string => {
  const event: WebhookEvent = { id, object: 'event', type, created_at: Math.floor(nowMs / 1000), timestamp: new Date(nowMs).toISOString(), data };
  const body = JSON.stringify(event);
  if (Buffer.byteLength(body) < MAX_BODY_BYTES) return body;
  return JSON.stringify({ ...event, data: { ...data, metadata: {}, metadata_omitted: true } });
};
