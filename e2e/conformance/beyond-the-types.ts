// What replies here hold that the package's types do not. Everything else must be as they say.

/** A value of these types, in JSON Schema. */
type Field = { type: string | string[]; items?: Field };

const TEXT_OR_NULL: Field = { type: ['string', 'null'] };
const NUMBER_OR_NULL: Field = { type: ['number', 'null'] };

const endpointFields: Record<string, Field> = {
  enabled: { type: 'boolean' },
  disabled_reason: TEXT_OR_NULL,
  disabled_at: NUMBER_OR_NULL,
  failing_since: NUMBER_OR_NULL,
  old_signing_secret_expires_at: NUMBER_OR_NULL,
};
/** One body for all our events. OpenAI's `data` holds the id alone. */
const eventFields: Record<string, Field> = { timestamp: { type: 'string' } };
const eventDataFields: Record<string, Field> = {
  object: { type: 'string' },
  status: { type: 'string' },
  type: TEXT_OR_NULL,
  metadata: { type: 'object' },
};
const EVENTS = ['BatchCompleted', 'BatchFailed', 'BatchExpired', 'BatchCancelled', 'ResponseCompleted', 'ResponseFailed'];

/** Fields of ours, beside OpenAI's (docs/openai-compatibility.md). */
export const BEYOND_THE_TYPES: Readonly<Record<string, Record<string, Field>>> = {
  ErrorBody: { request_id: { type: 'string' } },
  Batch: { cost_usd: NUMBER_OR_NULL, max_cost_usd: NUMBER_OR_NULL, retry_of: TEXT_OR_NULL },
  // OpenAI's API reference has it in its example of a response.
  Response: { store: { type: 'boolean' } },
  // OpenAI's list of models is not paged; ours has what every list here has.
  ModelListBody: { first_id: TEXT_OR_NULL, last_id: TEXT_OR_NULL, has_more: { type: 'boolean' } },
  Model: { types: { type: 'array', items: { type: 'string' } }, alias_of: { type: 'string' }, successor: { type: 'string' } },
  // Base64 is how the SDK asks for vectors; its type is of what it makes of them.
  Embedding: { embedding: { type: ['array', 'string'], items: { type: 'number' } } },
  WebhookEndpoint: endpointFields,
  WebhookEndpointWithSecret: endpointFields,
  ...Object.fromEntries(
    EVENTS.flatMap((name) => [
      [`${name}WebhookEvent`, eventFields],
      [`${name}WebhookEvent.Data`, eventDataFields],
    ]),
  ),
};

/** OpenAI's own replies hold null here (see the examples of its API reference), its types only absence. */
export const NULL_FOR_ABSENT: Readonly<Record<string, string[]>> = {
  Response: ['usage'],
  Batch: [
    ...['cancelled_at', 'cancelling_at', 'completed_at', 'error_file_id', 'errors', 'expired_at', 'failed_at', 'finalizing_at'],
    ...['in_progress_at', 'model', 'output_file_id'],
  ],
};

/** Made by the SDK from the rest: no reply has it. */
export const SDK_COMPUTES: Readonly<Record<string, string[]>> = { Response: ['output_text'] };
