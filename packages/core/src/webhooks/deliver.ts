import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { parseRetryAfter } from '../web/retry-after.ts';
import { safeFetch } from '../web/safe-fetch.ts';
import type { DeliveryAttempt, DeliveryRecord } from './delivery.ts';
import { defaultSecret } from './secret.ts';
import { signatureHeaders } from './sign.ts';

/** Contract 6. */
const TIMEOUT_MS = 15_000;
/** The receiver's answer is of no interest beyond its status. */
const MAX_REPLY_BYTES = 65_536;

export type DeliveryOutcome = { attempt: DeliveryAttempt; retryAfterMs?: number | undefined };

/** Makes one attempt: signs with a fresh timestamp, POSTs, reads the status. Redirects are not followed. What goes wrong is part of the attempt. */
export const deliver = async (deps: Pick<Deps, 'redis' | 'config' | 'now'>, delivery: DeliveryRecord): Promise<DeliveryOutcome> => {
  const { spec } = delivery;
  const startedMs = deps.now();
  const number = delivery.attempts.length + 1;
  const secret = await defaultSecret(deps, spec.tenant);
  const done = (status: number | null, error: string | null): DeliveryAttempt => ({
    number,
    at: startedMs / 1000,
    status,
    error,
    durationMs: deps.now() - startedMs,
  });
  try {
    const response = await safeFetch(spec.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'FANA-Webhooks/1',
        ...signatureHeaders(spec.eventId, Math.floor(startedMs / 1000), spec.body, [secret]),
      },
      body: spec.body,
      timeoutMs: TIMEOUT_MS,
      maxBytes: MAX_REPLY_BYTES,
      truncate: true,
      maxRedirects: 0,
      allowPrivateNetwork: deps.config.web.allowPrivateNetwork,
    });
    return { attempt: done(response.status, null), retryAfterMs: parseRetryAfter(response.headers['retry-after'], deps.now()) };
  } catch (thrown) {
    if (thrown instanceof AppError) return { attempt: done(null, thrown.message) };
    throw thrown;
  }
};
