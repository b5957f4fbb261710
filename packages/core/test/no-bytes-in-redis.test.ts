import { chatCompletions } from '@fana/core/endpoints/chat-completions.ts';
import { responses } from '@fana/core/endpoints/responses.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { readInput } from '@fana/core/jobs/long-texts.ts';
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
