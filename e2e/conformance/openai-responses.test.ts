import type OpenAI from 'openai';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { CITY, collect, conformance, TEXT, WEATHER } from './setup.ts';

const suite = conformance();
const weather: OpenAI.Responses.FunctionTool = { type: 'function', name: 'weather', parameters: WEATHER, strict: true };

const ended = async (id: string): Promise<OpenAI.Responses.Response> => {
  let response = await suite.client.responses.retrieve(id);
  await expect
    .poll(
      async () => {
        response = await suite.client.responses.retrieve(id);
        return response.status;
      },
      { timeout: 30_000, interval: 50 },
    )
    .not.toMatch(/queued|in_progress/);
  return response;
};

it('a response is answered, retrieved, listed by its input and deleted', async () => {
  const made = await suite.client.responses.create({ model: 'gpt-4o', input: 'Capital of Peru?', instructions: 'Be brief.', metadata: { order: '42' } });
  expect(made.output_text).toBe(TEXT);
  expect(await suite.client.responses.retrieve(made.id)).toEqual(made);
  const items = await collect(suite.client.responses.inputItems.list(made.id));
  expect(items).toMatchObject([{ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Capital of Peru?' }] }]);
  await suite.client.responses.delete(made.id);
  await expect(suite.client.responses.retrieve(made.id)).rejects.toMatchObject({ status: 404 });
});

it('a stream tells of every part, and ends with the response', async () => {
  const events = await collect(await suite.client.responses.create({ model: 'gpt-4o', input: 'Capital of Peru?', stream: true }));
  expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, at) => at));
  expect(events[0]?.type).toBe('response.created');
  expect(events.at(-1)).toMatchObject({ type: 'response.completed', response: { status: 'completed', output: [{ content: [{ text: TEXT }] }] } });
  const helper = suite.client.responses.stream({ model: 'gpt-4o', input: 'Capital of Peru?' });
  expect((await helper.finalResponse()).output_text).toBe(TEXT);
});

it('a background response is queued, streamed later, and kept', async () => {
  const queued = await suite.client.responses.create({ model: 'gpt-4o', input: 'Capital of Peru?', background: true });
  expect(['queued', 'in_progress']).toContain(queued.status);
  expect(await ended(queued.id)).toMatchObject({ status: 'completed', output_text: TEXT, background: true });
  const events = await collect(await suite.client.responses.retrieve(queued.id, { stream: true, starting_after: 2 }));
  expect(events[0]?.sequence_number).toBe(3);
  expect(events.at(-1)?.type).toBe('response.completed');
});

it('a running background response is cancelled', async () => {
  const { id } = await suite.client.responses.create({ model: 'gpt-4o', input: 'Tell it slowly.', background: true });
  expect(await suite.client.responses.cancel(id)).toMatchObject({ id });
  expect((await ended(id)).status).toBe('cancelled');
});

it('functions are called and answered, over previous_response_id', async () => {
  const asked = await suite.client.responses.create({ model: 'gpt-4o', input: 'What is the weather in Lima?', tools: [weather] });
  const [call] = asked.output;
  expect(call).toMatchObject({ type: 'function_call', name: 'weather', arguments: '{"city":"Lima"}' });
  const answered = await suite.client.responses.create({
    model: 'gpt-4o',
    previous_response_id: asked.id,
    tools: [weather],
    input: [{ type: 'function_call_output', call_id: call?.type === 'function_call' ? call.call_id : '', output: 'sunny' }],
  });
  expect(answered.output_text).toBe('Sun in Lima.');
});

it('function calls stream as their own events', async () => {
  const events = await collect(await suite.client.responses.create({ model: 'gpt-4o', input: 'What is the weather in Lima?', tools: [weather], stream: true }));
  expect(events.find(({ type }) => type === 'response.function_call_arguments.done')).toMatchObject({ arguments: '{"city":"Lima"}' });
});

it.each([
  ['two cities', 'completed', ['message', 'function_call', 'function_call']],
  ['Tell it at length', 'incomplete', ['message']],
])('%s: plain and streamed the same items, %s', async (input, status, types) => {
  const plain = await suite.client.responses.create({ model: 'gpt-4o', input, tools: [weather] });
  expect([plain.status, plain.output.map(({ type }) => type)]).toEqual([status, types]);
  const streamed = await suite.client.responses.stream({ model: 'gpt-4o', input, tools: [weather] }).finalResponse();
  const told = ({ output }: OpenAI.Responses.Response) => JSON.stringify(output, (key, value) => (/^(id|call_id|parsed.*)$/.test(key) ? undefined : value));
  expect(told(streamed)).toBe(told(plain));
});

it('a conversation is sent back item by item, with pictures, and listed as it was', async () => {
  const image_url = `data:image/png;base64,${(
    await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
      .png()
      .toBuffer()
  ).toString('base64')}`;
  const call = { type: 'function_call', call_id: 'call_1', name: 'weather', arguments: '{"city":"Lima"}' } as const;
  const said = [
    { role: 'developer', content: 'Be kind.' },
    {
      role: 'user',
      content: [
        { type: 'input_text', text: 'Where is this?' },
        { type: 'input_image', image_url, detail: 'auto' },
      ],
    },
    { role: 'assistant', content: 'In Lima.' },
    call,
    { type: 'function_call_output', call_id: 'call_1', output: 'sunny' },
    { role: 'user', content: 'Capital of Peru?' },
  ] satisfies OpenAI.Responses.ResponseInput;
  const { id } = await suite.client.responses.create({ model: 'gpt-4o', input: said, tools: [weather] });
  const items = await collect(suite.client.responses.inputItems.list(id, { order: 'asc', limit: 4 }));
  expect(items.map(({ type }) => type)).toEqual(['message', 'message', 'message', 'function_call', 'function_call_output', 'message']);
});

it('a stream that breaks off ends with an error event', async () => {
  const broken = suite.client.responses.create({ model: 'gpt-4o', input: 'break off', stream: true }).then(collect);
  await expect(broken).rejects.toThrow(/resp_/);
});

it('a JSON schema is kept to, and parsed', async () => {
  const parsed = await suite.client.responses.parse({
    model: 'gpt-4o',
    input: 'The city, as JSON',
    text: { format: { type: 'json_schema', name: CITY.name, schema: CITY.schema, strict: true } },
  });
  expect(parsed.output_parsed).toEqual({ name: 'Lima' });
});

it('tools that OpenAI runs itself are refused by name', async () => {
  const asked = suite.client.responses.create({ model: 'gpt-4o', input: 'Search', tools: [{ type: 'web_search' }] });
  await expect(asked).rejects.toMatchObject({ status: 400, code: 'unsupported_parameter', param: expect.stringContaining('tools') });
});

it('a failing provider is an error of the response', async () => {
  const { id } = await suite.client.responses.create({ model: 'gpt-4o', input: 'too long', background: true });
  expect(await ended(id)).toMatchObject({ status: 'failed', error: { code: expect.any(String), message: expect.any(String) } });
});
