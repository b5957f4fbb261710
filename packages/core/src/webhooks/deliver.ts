import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import { parseRetryAfter } from '../web/retry-after.ts';
import { type SafeReply, safeFetch } from '../web/safe-fetch.ts';
import type { DeliveryAttempt, DeliveryRecord } from './delivery.ts';
import { signatureHeaders } from './sign.ts';
import type { Target } from './target.ts';

/** Contract 6. */
const TIMEOUT_MS = 15_000;
/** The receiver's answer is of no interest beyond its status. */
const MAX_REPLY_BYTES = 65_536;

export type DeliveryOutcome = { attempt: DeliveryAttempt; retryAfterMs?: number | undefined };

/** Signs an event with a fresh timestamp and POSTs it. Redirects are not followed. @throws AppError `invalid_url`, `fetch_failed` when no status came. */
export const postEvent = (deps: Pick<Deps, 'config' | 'now'>, { url, secrets }: Target, event: { id: string; body: string }): Promise<SafeReply> =>
  safeFetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'user-agent': 'FANA-Webhooks/1',
      ...signatureHeaders(event.id, Math.floor(deps.now() / 1000), event.body, secrets),
    },
    body: event.body,
    timeoutMs: TIMEOUT_MS,
    maxBytes: MAX_REPLY_BYTES,
    truncate: true,
    maxRedirects: 0,
    allowPrivateNetwork: deps.config.web.allowPrivateNetwork,
  });

/** Makes one attempt and reads the status. What goes wrong is part of the attempt. */
export const deliver = async (deps: Pick<Deps, 'config' | 'now'>, delivery: DeliveryRecord, target: Target): Promise<DeliveryOutcome> => {
  const { eventId, body } = delivery.spec;
  const startedMs = deps.now();
  const number = delivery.attempts.length + 1;
  const done = (status: number | null, error: string | null): DeliveryAttempt => ({
    number,
    at: startedMs / 1000,
    status,
    error,
    durationMs: deps.now() - startedMs,
  });
  try {
    const response = await postEvent(deps, target, { id: eventId, body });
    return { attempt: done(response.status, null), retryAfterMs: parseRetryAfter(response.headers['retry-after'], deps.now()) };
  } catch (thrown) {
    if (thrown instanceof AppError) return { attempt: done(null, thrown.message) };
    throw thrown;
  }
};
