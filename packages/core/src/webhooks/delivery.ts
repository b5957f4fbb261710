import type { WebhookEventType } from '../jobs/job.ts';

/** What does not change of a delivery: one JSON field of its record. */
export type DeliverySpec = {
  tenant: string;
  /** `default` for per-job URLs. */
  endpointId: string;
  url: string;
  eventId: string;
  type: WebhookEventType;
  jobId: string;
  body: string;
};

export type DeliveryStatus = 'pending' | 'delivered' | 'failed';

/** One POST to the receiver. `error` is what went wrong when no status came. */
export type DeliveryAttempt = { number: number; at: number; status: number | null; error: string | null; durationMs: number };

export type DeliveryRecord = { id: string; spec: DeliverySpec; status: DeliveryStatus; attempts: DeliveryAttempt[]; createdMs: number; nextAttemptMs?: number };
