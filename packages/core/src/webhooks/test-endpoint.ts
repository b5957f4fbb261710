import type { Deps } from '../deps.ts';
import { type IdPrefix, newId } from '../ids.ts';
import { postEvent } from './deliver.ts';
import type { WebhookEndpoint } from './endpoint.ts';
import { type EventData, eventBody, type WebhookEventType } from './event.ts';
import { signingSecrets } from './secret.ts';

const PREFIXES: Record<EventData['object'], IdPrefix> = { job: 'job', batch: 'batch', response: 'resp' };

/** What a sample event is about: something that does not exist, and whose metadata says so. */
const sampleData = (type: WebhookEventType): EventData => {
  const [object, status] = type.split('.') as [EventData['object'], string];
  return { id: newId(PREFIXES[object]), object, status, type: object === 'job' ? 'chat' : object, metadata: { test: 'true' } };
};

/**
 * Sends one signed sample event to an endpoint at once, enabled or not, whether it asked for that event or not. It is no delivery:
 * it is not listed, not repeated, and says nothing of the endpoint's health.
 * @returns the status of the answer, whatever it is; redirects are not followed.
 * @throws AppError `invalid_url`, `fetch_failed` when no status came.
 */
export const testEndpoint = async (deps: Pick<Deps, 'config' | 'now'>, endpoint: WebhookEndpoint, type: WebhookEventType): Promise<number> => {
  const id = newId('evt');
  const body = eventBody(id, type, sampleData(type), deps.now());
  return (await postEvent(deps, { url: endpoint.url, secrets: signingSecrets(deps, endpoint) }, { id, body })).status;
};
