import { createHmac } from 'node:crypto';

/**
 * The headers of one delivery attempt: Standard Webhooks 1.0, `v1` (HMAC-SHA256 over `id.timestamp.body`).
 * `secrets` are `whsec_` strings; two while one rotates, each gives a signature.
 */
export const signatureHeaders = (id: string, timestampSeconds: number, body: string, secrets: string[]): Record<string, string> => ({
  'webhook-id': id,
  'webhook-timestamp': String(timestampSeconds),
  'webhook-signature': secrets.map((secret) => `v1,${sign(id, timestampSeconds, body, secret)}`).join(' '),
});

const sign = (id: string, timestampSeconds: number, body: string, secret: string): string =>
  createHmac('sha256', Buffer.from(secret.replace(/^whsec_/, ''), 'base64'))
    .update(`${id}.${timestampSeconds}.${body}`)
    .digest('base64');
