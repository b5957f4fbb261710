import { createChunks } from '@fana/core/endpoints/chat-chunks.ts';
import type { JobRecord, TextOutput } from '@fana/core/jobs/job.ts';
import { expect, it } from 'vitest';

const job: JobRecord = {
  id: 'job_0123456789abcdefghijkl',
  spec: {
    tenant: 't',
    keyId: 'k',
    type: 'chat',
    trigger: { label: 'chat', confidence: 1, source: 'request' },
    model: 'chat-default',
    inputPreview: '',
    parameters: {},
    system: { source: 'installation' },
    urls: [],
    warnings: [],
    metadata: {},
    priority: 5,
    ownedBlobIds: [],
  },
  status: 'in_progress',
  run: 1,
  createdMs: 1_800_000_000_500,
  attempts: [{ number: 1, provider: 'groq', model: 'm', startedAt: 0, finishedAt: null, outcome: null, error: null }],
  earlierCalls: 0,
  warnings: [],
  pictures: {},
  cancelRequested: false,
  usage: { inputTokens: 2, outputTokens: 3 },
} as JobRecord;

const head = { id: 'chatcmpl-0123456789abcdefghijkl', object: 'chat.completion.chunk', created: 1_800_000_000, model: 'm' };
const chunk = (index: number, delta: object, finish_reason: string | null = null, logprobs: object | null = null) => ({
  ...head,
  choices: [{ index, delta, finish_reason, logprobs }],
});
const plain: TextOutput = { kind: 'text', text: 'Lima.', finishReason: 'stop' };

it('tells the role first, then the text, then the finish reason', () => {
  const chunks = createChunks(job, false);
  expect(chunks.piece({ delta: 'Li' })).toEqual([chunk(0, { role: 'assistant', content: '', refusal: null }), chunk(0, { content: 'Li' })]);
  expect(chunks.piece({ delta: 'ma.' })).toEqual([chunk(0, { content: 'ma.' })]);
  expect(chunks.piece({ delta: '' })).toEqual([]);
  expect(chunks.end(job, plain)).toEqual([chunk(0, {}, 'stop')]);
});

it('tells usage in a chunk without choices when it is asked for, and null before', () => {
  const chunks = createChunks(job, true);
  expect(chunks.piece({ delta: 'Lima.' }).at(-1)).toMatchObject({ usage: null });
  expect(chunks.end(job, { ...plain, envelope: { system_fingerprint: 'fp' } })).toEqual([
    { ...chunk(0, {}, 'stop'), usage: null, system_fingerprint: 'fp' },
    { ...head, choices: [], usage: { prompt_tokens: 2, completion_tokens: 3, total_tokens: 5 }, system_fingerprint: 'fp' },
  ]);
});

it('tells several answers, tool calls and log probabilities as they come', () => {
  const chunks = createChunks(job, false);
  const call = { index: 0, id: 'call_1', type: 'function', function: { name: 'f', arguments: '{' } };
  expect(
    chunks.piece({
      delta: 'Hm',
      choices: [
        { index: 1, delta: { tool_calls: [call] } },
        { index: 0, delta: { refusal: 'no' }, logprobs: { content: [1] } },
      ],
    }),
  ).toEqual([
    chunk(0, { role: 'assistant', content: '', refusal: null }),
    chunk(0, { content: 'Hm', refusal: 'no' }, null, { content: [1], refusal: null }),
    chunk(1, { role: 'assistant', content: null, refusal: null }),
    chunk(1, { tool_calls: [call] }),
  ]);
});

it('tells all of an answer at the end of which no piece was told', () => {
  const output: TextOutput = {
    kind: 'text',
    text: 'Lima.',
    finishReason: 'stop',
    choices: [
      { message: { content: 'Lima.' }, finishReason: 'stop' },
      { message: { tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } }] }, finishReason: 'tool_calls' },
    ],
  };
  expect(createChunks(job, false).end(job, output)).toEqual([
    chunk(0, { role: 'assistant', content: '', refusal: null }),
    chunk(0, { content: 'Lima.' }),
    chunk(1, { role: 'assistant', content: null, refusal: null }),
    chunk(1, { tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } }] }),
    chunk(0, {}, 'stop'),
    chunk(1, {}, 'tool_calls'),
  ]);
});
