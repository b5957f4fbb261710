import type { WebhookEventType } from './event.ts';

/** What does not change of a delivery: one JSON field of its record. */
export type DeliverySpec = {
  tenant: string;
  /** `default` for the URLs of single jobs and batches. */
  endpointId: string;
  /** Where the endpoint was when the event happened; an attempt goes where it is then. */
  url: string;
  eventId: string;
  type: WebhookEventType;
  /** What the event is about, and what the delivery is erased with: `job_…` or `batch_…`. */
  subject: string;
  body: string;
  /** The delivery that this one repeats. */
  redeliveryOf?: string;
};

export const DELIVERY_STATUSES = ['pending', 'delivered', 'failed'] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];
/** Why a delivery was given up. */
export type FailureReason = 'receiver_gone' | 'attempts_exhausted' | 'endpoint_disabled' | 'endpoint_deleted';

/** One POST to the receiver. `error` is what went wrong when no status came. */
export type DeliveryAttempt = { number: number; at: number; status: number | null; error: string | null; durationMs: number };

export type DeliveryRecord = {
  id: string;
  spec: DeliverySpec;
  status: DeliveryStatus;
  attempts: DeliveryAttempt[];
  createdMs: number;
  nextAttemptMs?: number;
  failureReason?: FailureReason;
};

/** A delivery to be written with the end of a job or batch; `spec` is the JSON of its `DeliverySpec`. */
export type Delivery = { id: string; endpointId: string; spec: string };

/** A list of deliveries as deliveries.lua reads it from the arguments of a script. */
export const deliveryArguments = (deliveries: Delivery[]): (string | number)[] => [
  deliveries.length,
  ...deliveries.flatMap(({ id, endpointId, spec }) => [id, endpointId, spec]),
];
