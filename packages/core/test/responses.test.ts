import { beforeEach, expect, test } from 'vitest';
import type { EndpointCall } from '../src/endpoints/endpoint.ts';
import { responses } from '../src/endpoints/responses.ts';
import { createRegistry } from '../src/providers/registry.ts';
import { memoryDeps } from './memory-deps.ts';

let deps: ReturnType<typeof memoryDeps>;
beforeEach(() => {
  deps = memoryDeps();
});

const parse = (body: Record<string, unknown>): Promise<EndpointCall> =>
  responses.parse({ ...deps, providers: createRegistry(deps.config) }, 'acme', { model: 'gpt-4o', ...body });

const messagesOf = async (input: unknown, more: Record<string, unknown> = {}) => (await parse({ input, ...more })).input.messages;

test('a text is a user message, behind the instructions', async () => {
  expect(await messagesOf('Hi', { instructions: 'Be brief.' })).toEqual([
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Hi' },
  ]);
});

test('items are messages: the calls of one answer stand beside its text, their outputs behind it', async () => {
  const input = [
    { role: 'user', content: [{ type: 'input_text', text: 'Weather?' }] },
    { type: 'message', id: 'msg_1', status: 'completed', role: 'assistant', content: [{ type: 'output_text', text: 'Let me see.', annotations: [] }] },
    { type: 'function_call', id: 'fc_1', call_id: 'call_1', name: 'weather', arguments: '{"city":"Lima"}', status: 'completed' },
    { type: 'function_call', call_id: 'call_2', name: 'weather', arguments: '{"city":"Cusco"}', parsed_arguments: { city: 'Cusco' }, caller: null },
    { type: 'function_call_output', call_id: 'call_1', output: 'sun', id: null, status: null },
    { type: 'function_call_output', call_id: 'call_2', output: [{ type: 'input_text', text: 'rain' }] },
  ];
  expect(await messagesOf(input)).toEqual([
    { role: 'user', content: [{ type: 'text', text: 'Weather?' }] },
    {
      role: 'assistant',
      content: 'Let me see.',
      other: {
        tool_calls: [
          { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Lima"}' } },
          { id: 'call_2', type: 'function', function: { name: 'weather', arguments: '{"city":"Cusco"}' } },
        ],
      },
    },
    { role: 'tool', content: 'sun', other: { tool_call_id: 'call_1' } },
    { role: 'tool', content: [{ type: 'text', text: 'rain' }], other: { tool_call_id: 'call_2' } },
  ]);
});

test('a picture makes it a vision job; documents with their bytes are passed on', async () => {
  const url = 'https://example.com/a.png';
  const call = await parse({
    input: [
      {
        role: 'user',
        content: [
          { type: 'input_image', image_url: url, detail: 'low' },
          { type: 'input_file', filename: 'a.pdf', file_data: 'data:,x' },
        ],
      },
    ],
  });
  expect(call.type).toBe('vision');
  expect(call.input.messages?.[0]?.content).toEqual([
    { type: 'image', image: { kind: 'url', url }, detail: 'low' },
    { type: 'other', part: { type: 'file', file: { filename: 'a.pdf', file_data: 'data:,x' } } },
  ]);
});

test('what is passed over is told on the job', async () => {
  const call = await parse({
    include: ['reasoning.encrypted_content'],
    input: [
      { type: 'reasoning', id: 'rs_1', summary: [] },
      { role: 'assistant', phase: 'commentary', content: 'Hm.' },
      { role: 'user', content: 'Go on.' },
    ],
  });
  expect(call.input.messages).toHaveLength(2);
  expect(call.warnings).toEqual([expect.stringContaining('No reasoning'), expect.stringContaining('Reasoning items'), expect.stringContaining('phase')]);
});

test.each([
  [{ input: 'x', conversation: 'conv_1' }, 'conversation'],
  [{ input: 'x', prompt: { id: 'pmpt_1' } }, 'prompt'],
  [{ input: 'x', truncation: 'auto' }, 'truncation'],
  [{ input: 'x', include: ['message.input_image.image_url', 'web_search_call.results'] }, 'include.1'],
  [{ input: 'x', max_tool_calls: 3 }, 'max_tool_calls'],
  [{ input: 'x', tools: [{ type: 'image_generation' }] }, 'tools.0.type'],
  [{ input: 'x', stream: true, stream_options: { include_obfuscation: true } }, 'stream_options.include_obfuscation'],
  [{ input: [{ type: 'web_search_call', id: 'ws_1' }] }, 'input.0.type'],
  [{ input: [{ role: 'user', content: [{ type: 'input_audio' }] }] }, 'input.0.content.0.type'],
  [{ input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'file_1' }] }] }, 'input.0.content.0.file_id'],
  [
    { input: [{ type: 'function_call_output', call_id: 'c', output: [{ type: 'input_image', image_url: 'https://example.com/a.png' }] }] },
    'input.0.output.0.type',
  ],
])('%j is refused by name', async (body, param) => {
  await expect(parse(body)).rejects.toMatchObject({ code: 'unsupported_parameter', param });
});

test.each([
  [{}, 'input'],
  [{ input: [] }, 'input'],
  [{ input: 7 }, 'input'],
  [{ input: 'x', model: '' }, 'model'],
  [{ input: 'x', temperature: 3 }, 'temperature'],
  [{ input: 'x', max_output_tokens: 0 }, 'max_output_tokens'],
  [{ input: 'x', background: true, store: false }, 'store'],
  [{ input: 'x', stream_options: {} }, 'stream_options'],
  [{ input: 'x', metadata: { a: 1 } }, 'metadata.a'],
  [{ input: 'x', text: { format: { type: 'xml' } } }, 'text.format.type'],
  [{ input: 'x', text: { format: { type: 'json_schema', name: 'a' } } }, 'text.format.schema'],
  [{ input: 'x', tools: [{ type: 'function' }] }, 'tools.0.name'],
  [{ input: [{ role: 'robot', content: 'x' }] }, 'input.0.role'],
  [{ input: [{ role: 'user', content: [{ type: 'input_text' }] }] }, 'input.0.content.0.text'],
  [{ input: [{ role: 'user', content: [{ type: 'input_image' }] }] }, 'input.0.content.0.image_url'],
  [{ input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'ftp://x' }] }] }, 'input.0.content.0.image_url'],
  [{ input: [{ type: 'reasoning', id: 'rs_1', summary: [] }] }, 'input'],
])('%j is a bad request', async (body, param) => {
  await expect(parse(body)).rejects.toMatchObject({ code: 'invalid_request', param });
});

test('an unknown file or earlier response is not found, with its place', async () => {
  await expect(parse({ input: [{ role: 'user', content: [{ type: 'input_image', file_id: 'file_1' }] }] })).rejects.toMatchObject({
    code: 'not_found',
    param: 'input.0.content.0.file_id',
  });
  await expect(parse({ input: [{ type: 'item_reference', id: 'msg_1' }] })).rejects.toMatchObject({ code: 'not_found', param: 'input.0.id' });
  await expect(parse({ input: 'x', previous_response_id: 'resp_1' })).rejects.toMatchObject({ code: 'not_found', param: 'previous_response_id' });
});
