import type { WebhookEventType } from './event.ts';

/** The built-in endpoint of every tenant, to which the URLs of single jobs and batches belong. It is no record and never disabled. */
export const DEFAULT_ENDPOINT = 'default';

/** Why an endpoint gets nothing: its owner said so, it answered 410, or no attempt succeeded for 5 days. */
export type DisabledReason = 'requested' | 'gone' | 'failing';

/** Where a tenant wants its events. */
export type WebhookEndpoint = {
  id: string;
  tenant: string;
  name: string;
  url: string;
  eventTypes: readonly WebhookEventType[];
  createdMs: number;
  /** Of the last change of a setting or of the secret. */
  updatedMs: number;
  /** Signs what it gets (secret.ts). */
  encryptedSecret: string;
  /** By its last characters its owner tells the secret from others. */
  hint: string;
  /** The secret before the last rotation, which signs too until its time is over. */
  oldSecret?: { encrypted: string; untilMs: number } | undefined;
  disabled?: { reason: DisabledReason; atMs: number } | undefined;
  /** Since when every attempt has failed; unset after a success. */
  failingSinceMs?: number | undefined;
};
