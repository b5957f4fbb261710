import { Readable } from 'node:stream';
import type { BatchProblem, BatchSpec } from '@fana/core/batches/batch.ts';
import { validateFile } from '@fana/core/batches/validate.ts';
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

const SPEC: BatchSpec = {
  tenant: 'validators',
  keyId: 'key_test',
  endpoint: 'chat.completions',
  inputFileId: 'file_test',
  inputBlobId: 'blob_test',
  metadata: {},
  expiresMs: Date.now() + 86_400_000,
};

const problemsOf = async (...lines: (string | Buffer)[]): Promise<BatchProblem[]> => {
  const source = Readable.from(lines.flatMap((line) => [Buffer.from(line), Buffer.from('\n')]));
  return (await validateFile(deps, SPEC, source, AbortSignal.timeout(10_000))).problems;
};

const chat = (customId: string, more: object = {}): string => {
  const body = { model: 'chat-default', messages: [{ role: 'user', content: 'hi' }], ...more };
  return JSON.stringify({ custom_id: customId, method: 'POST', url: '/v1/chat/completions', body });
};

/** A line whose body nests brackets `depth` deep, itself the first of them. */
const nested = (customId: string, depth: number): string => {
  // tools: [{ function: { parameters: …
  const inner = `${'['.repeat(depth - 5)}${']'.repeat(depth - 5)}`;
  const tools = [{ type: 'function', function: { name: 'f', parameters: { at: 'HERE' } } }];
  return chat(customId, { tools }).replace('"HERE"', inner);
};

test('brackets nest in the body of a line as deep as in that of a request: 64, and no deeper', async () => {
  expect(await problemsOf(nested('a', 64))).toEqual([]);
  expect(await problemsOf(chat('a'), nested('b', 65), nested('c', 30_000))).toEqual([
    { code: 'invalid_request', line: 2, param: 'body', message: expect.stringContaining('64') },
    { code: 'invalid_request', line: 3, param: 'body', message: expect.stringContaining('64') },
  ]);
});

test('a line that is not UTF-8 is refused: no letter of a prompt is replaced in silence', async () => {
  const latin1 = Buffer.from(chat('b', { messages: [{ role: 'user', content: 'caf\u00e9' }] }), 'latin1');
  expect(await problemsOf(chat('a', { messages: [{ role: 'user', content: 'caf\u00e9 \ufffd' }] }), latin1)).toEqual([
    { code: 'invalid_json_line', line: 2, param: null, message: expect.stringContaining('UTF-8') },
  ]);
});
