import type OpenAI from 'openai';

// The bodies of OpenAI's replies as the official package publishes them; shapes.ts makes a JSON Schema of each type here.
// Names end in `Body`: a name that the package has too would be one definition for both.

type ListOf<Item> = { object: 'list'; data: Item[]; first_id: string | null; last_id: string | null; has_more: boolean };

export type ErrorBody = { error: OpenAI.ErrorObject };
export type ChatCompletionBody = OpenAI.ChatCompletion;
export type ChatCompletionChunkBody = OpenAI.ChatCompletionChunk;
export type ResponseBody = OpenAI.Responses.Response;
export type ResponseStreamEventBody = OpenAI.Responses.ResponseStreamEvent;
export type ResponseItemListBody = OpenAI.Responses.ResponseItemList;
/** The package gives nothing for a deleted response; the API reference does. */
export type ResponseDeletedBody = { id: string; object: 'response'; deleted: true };
export type ImagesResponseBody = OpenAI.ImagesResponse;
export type CreateEmbeddingResponseBody = OpenAI.CreateEmbeddingResponse;
export type ModelBody = OpenAI.Model;
export type ModelListBody = { object: 'list'; data: OpenAI.Model[] };
export type FileObjectBody = OpenAI.FileObject;
export type FileListBody = ListOf<OpenAI.FileObject>;
export type FileDeletedBody = OpenAI.FileDeleted;
export type BatchBody = OpenAI.Batch;
export type BatchListBody = ListOf<OpenAI.Batch>;
export type WebhookEndpointBody = OpenAI.Webhooks.WebhookEndpoint;
export type WebhookEndpointWithSecretBody = OpenAI.Webhooks.WebhookEndpointWithSecret;
export type WebhookEndpointListBody = OpenAI.Webhooks.WebhookEndpointList;
export type WebhookEndpointTestResultBody = OpenAI.Webhooks.WebhookEndpointTestResult;
export type WebhookEndpointDeletedBody = OpenAI.Webhooks.DeletedWebhookEndpoint;
export type WebhookEventTypeListBody = OpenAI.Webhooks.WebhookEventTypeList;
export type WebhookEventBody = OpenAI.Webhooks.UnwrapWebhookEvent;
