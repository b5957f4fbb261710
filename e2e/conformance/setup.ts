import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { ADMIN_KEY, type Installation, startInstallation } from '../support/installation.ts';
import { startUpstream, type Upstream } from '../support/upstream.ts';
import { type WatchedFetch, watchFetch } from './watched-fetch.ts';

export const TEXT = 'The capital of Peru is Lima, on the shore of the Pacific.';
export const WEATHER = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false } as const;
export const CITY = { name: 'city', schema: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'], additionalProperties: false } };

export type Conformance = WatchedFetch & { fana: Installation; upstream: Upstream; client: OpenAI };

/** What the upstream answers: by the last message of the user. */
const teach = ({ mock }: Upstream): void => {
  const vector = Array.from({ length: 1536 }, (_, at) => Math.fround(Math.sin(at) / 28));
  mock.prependFixture({ match: { endpoint: 'embedding' }, response: { embedding: vector } });
  const error = (status: number, code: string) => ({ status, error: { message: `Said no: ${code}.`, type: 'invalid_request_error', code } });
  mock.prependFixture({ match: { endpoint: 'image', userMessage: 'refuse this' }, response: error(400, 'moderation_blocked') });
  mock.prependFixture({ match: { endpoint: 'image', userMessage: 'no money left' }, response: error(429, 'insufficient_quota') });
  mock.prependFixture({ match: { userMessage: 'too long' }, response: error(400, 'context_length_exceeded') });
  mock.prependFixture({ match: { userMessage: 'weather' }, response: { toolCalls: [{ id: 'call_1', name: 'weather', arguments: '{"city":"Lima"}' }] } });
  mock.prependFixture({ match: { userMessage: 'weather', hasToolResult: true }, response: { content: 'Sun in Lima.' } });
  mock.prependFixture({ match: { userMessage: 'as JSON' }, response: { content: '{"name":"Lima"}' } });
  mock.prependFixture({ match: { userMessage: 'break off' }, response: { content: TEXT.repeat(4) }, latency: 60, chunkSize: 8, truncateAfterChunks: 5 });
  const calls = ['Lima', 'Cusco'].map((city) => ({ name: 'weather', arguments: JSON.stringify({ city }) }));
  mock.prependFixture({ match: { userMessage: 'two cities' }, response: { content: 'I look it up.', toolCalls: calls } });
  mock.prependFixture({ match: { userMessage: 'at length' }, response: { content: 'Well', finishReason: 'length' } });
  mock.prependFixture({ match: { userMessage: 'slowly' }, response: { content: TEXT.repeat(6) }, latency: 40, chunkSize: 8 });
};

/**
 * An installation of two workers before aimock, and SDKs whose every reply is held against OpenAI's published shapes: a test fails by a reply
 * it never looked at. Call at the top of a test file.
 */
export const conformance = (): Conformance => {
  const parts = { ...watchFetch() } as Conformance;
  beforeAll(async () => {
    parts.upstream = await startUpstream(() => TEXT);
    teach(parts.upstream);
    parts.fana = await startInstallation({ env: { ...parts.upstream.env, FANA_ALLOW_PRIVATE_NETWORK: 'true' }, workers: 2 });
    parts.client = new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${parts.fana.url}/v1`, maxRetries: 0, fetch: parts.fetch });
  });
  afterEach(async () => expect(await parts.problems()).toEqual([]));
  afterAll(async () => {
    await parts.fana?.stop();
    await parts.upstream?.stop();
    expect(parts.checked.size).toBeGreaterThan(2);
  });
  return parts;
};

export const collect = async <Item>(stream: AsyncIterable<Item>): Promise<Item[]> => {
  const items: Item[] = [];
  for await (const item of stream) items.push(item);
  return items;
};
