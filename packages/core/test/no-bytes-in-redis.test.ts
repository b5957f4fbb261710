import { chatCompletions } from '@fana/core/endpoints/chat-completions.ts';
import { imageGenerations } from '@fana/core/endpoints/image-generations.ts';
import { responses } from '@fana/core/endpoints/responses.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { readInput, readParameters } from '@fana/core/jobs/long-texts.ts';
import { readJob } from '@fana/core/jobs/store.ts';
import { submitCall } from '@fana/core/jobs/submit.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';

let redis: TestRedis;
let deps: TestDeps;
beforeAll(async () => {
  redis = await startRedis();
  deps = testDeps(redis.url);
});
afterAll(async () => {
  await deps.close();
  await redis.stop();
});

const TENANT = 'senders';
const BYTES = Buffer.from('the bytes of a small picture').toString('base64');
const FILE = { filename: 'a.png', file_data: `data:image/png;base64,${BYTES}` };

test.each([
  [chatCompletions, { messages: [{ role: 'user', content: [{ type: 'file', file: FILE }] }] }],
  [responses, { input: [{ role: 'user', content: [{ type: 'input_file', ...FILE }] }] }],
])('what is sent as a file, however small, is no part of the record (promise 6)', async (endpoint, fields) => {
  const call = await endpoint.parse(deps, TENANT, { model: 'gpt-4o', ...fields });
  const submitter = { tenant: TENANT, keyId: 'key_test', requestsPerMinute: 0 };
  const { job } = await submitCall(deps, createAcceptor(deps), submitter, call, { endpoint: endpoint.name, rawBody: '' });
  expect(JSON.stringify(await deps.redis.hgetall(`fana:job:${job.id}`))).not.toContain(BYTES);
  expect(JSON.stringify(await readInput(deps, { ...job.spec, input: undefined as never }))).toContain(BYTES);
});

const ownServer = { OPENAI_API_KEY: 'sk-test', OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' };

test.each([
  ['a picture in a field that only a server of your own knows', { init_image: `data:image/png;base64,${BYTES}` }],
  ['parameters of a megabyte', { init_images: [BYTES.repeat(25_000)] }],
])('%s: no part of the record, and given to the provider all the same', async (_, fields) => {
  const own = testDeps(redis.url, ownServer);
  const call = await imageGenerations.parse(own, TENANT, { model: 'openai/own-image', prompt: 'a fox', ...fields });
  const submitter = { tenant: TENANT, keyId: 'key_test', requestsPerMinute: 0 };
  const { job } = await submitCall(own, createAcceptor(own), submitter, call, { endpoint: 'images.generations', rawBody: '' });
  expect(JSON.stringify(await own.redis.hgetall(`fana:job:${job.id}`))).not.toContain(BYTES);
  const read = await readJob(own.redis, job.id);
  expect(read && (await readParameters(own, read.spec))).toEqual(fields);
  expect(read?.spec.ownedBlobIds).toContain(read?.spec.parametersBlobId);
  await own.close();
});
