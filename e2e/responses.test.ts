import OpenAI, { toFile } from 'openai';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { ADMIN_KEY, type Installation, startInstallation } from './support/installation.ts';
import { lastText, startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let fana: Installation;
let client: OpenAI;
let stranger: OpenAI;
/** Lets the call go on that a test holds back by asking `hold on`. */
let release: () => void = () => undefined;
let isHeld = false;

const newKey = async (tenant: string): Promise<string> => {
  const made = await fana.request('/v1/admin/keys', { body: { name: tenant, tenant, scopes: ['jobs'] } });
  return ((await made.json()) as { key: string }).key;
};
const clientOf = (apiKey: string): OpenAI => new OpenAI({ apiKey, baseURL: `${fana.url}/v1`, maxRetries: 0 });
const SLOW = 'A long answer that comes in many small pieces, one after the other, until it is whole.';
const CALL = { id: 'call_1', name: 'weather', arguments: '{"city":"Lima"}' };
const lastCall = () => upstream.calls().at(-1)?.body;

const weather: OpenAI.Responses.FunctionTool = {
  type: 'function',
  name: 'weather',
  description: 'The weather of a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false },
  strict: true,
};
const ASKED = { type: 'function', function: { name: weather.name, description: weather.description, parameters: weather.parameters, strict: true } };

/** Every event of a stream; stops after `limit`. */
const eventsOf = async (stream: AsyncIterable<OpenAI.Responses.ResponseStreamEvent>, limit = Number.POSITIVE_INFINITY) => {
  const events: OpenAI.Responses.ResponseStreamEvent[] = [];
  for await (const event of stream) {
    events.push(event);
    if (events.length >= limit) break;
  }
  return events;
};
const typesOf = (events: { type: string }[]): string[] => events.map(({ type }) => type).filter((type, at, all) => type !== all[at - 1]);
const textOf = (events: OpenAI.Responses.ResponseStreamEvent[]): string =>
  events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('');

beforeAll(async () => {
  upstream = await startUpstream(async (request) => {
    const asked = lastText(request);
    if (asked.includes('hold on')) {
      await new Promise<void>((resolve) => {
        release = resolve;
        isHeld = true;
      });
      isHeld = false;
    }
    return `You said: ${asked}`;
  });
  const { mock } = upstream;
  mock.prependFixture({ match: { userMessage: 'slowly' }, response: { content: SLOW }, latency: 60, chunkSize: 8 });
  mock.prependFixture({
    match: { userMessage: 'break off', sequenceIndex: 0 },
    response: { content: SLOW },
    latency: 60,
    chunkSize: 8,
    truncateAfterChunks: 5,
  });
  mock.prependFixture({ match: { userMessage: 'Weather' }, response: { toolCalls: [CALL, { ...CALL, id: 'call_2', arguments: '{"city":"Cusco"}' }] } });
  mock.prependFixture({ match: { userMessage: 'Weather', hasToolResult: true }, response: { content: 'Sun in Lima.' } });
  mock.prependFixture({ match: { userMessage: 'JSON' }, response: { content: '{"name":"Lima"}' } });
  mock.prependFixture({ match: { userMessage: 'at length' }, response: { content: 'Well', finishReason: 'length' } });
  fana = await startInstallation({ env: upstream.env });
  client = clientOf(ADMIN_KEY);
  stranger = clientOf(await newKey('stranger'));
});
afterEach(() => release());
afterAll(async () => {
  await fana.stop();
  await upstream.stop();
});

it('a response is one job and one chat completion upstream', async () => {
  const { data, response } = await client.responses
    .create({ model: 'gpt-4o', input: 'Hello', instructions: 'Be brief.', temperature: 0.5, max_output_tokens: 100, metadata: { order: '42' } })
    .withResponse();
  expect(data.output_text).toBe('You said: Hello');
  expect(data).toMatchObject({
    id: expect.stringMatching(/^resp_[0-9A-Za-z]{22}$/),
    object: 'response',
    status: 'completed',
    error: null,
    incomplete_details: null,
    instructions: 'Be brief.',
    output: [{ type: 'message', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: 'You said: Hello', annotations: [] }] }],
    temperature: 0.5,
    max_output_tokens: 100,
    metadata: { order: '42' },
    usage: { input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 }, output_tokens_details: { reasoning_tokens: 0 } },
    store: true,
    background: false,
    tools: [],
  });
  expect(lastCall()).toMatchObject({
    model: 'gpt-4o',
    max_completion_tokens: 100,
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello' },
    ],
  });
  const jobId = response.headers.get('x-fana-job-id') ?? '';
  expect(data.id.slice('resp_'.length)).toBe(jobId.slice('job_'.length));
  expect(await fana.job(jobId)).toMatchObject({ type: 'chat', status: 'completed', metadata: { order: '42' } });
  const again = await client.responses.retrieve(data.id);
  expect(again).toEqual({ ...data, output_text: again.output_text });
});

it('a chain hands on what was said, but not the instructions', async () => {
  const first = await client.responses.create({ model: 'gpt-4o', input: 'I am Ada.', instructions: 'Be brief.' });
  const second = await client.responses.create({ model: 'gpt-4o', input: 'Who am I?', previous_response_id: first.id });
  const third = await client.responses.create({ model: 'gpt-4o', input: [{ role: 'user', content: 'Sure?' }], previous_response_id: second.id });
  expect(third.previous_response_id).toBe(second.id);
  expect(lastCall()?.messages).toEqual([
    { role: 'user', content: 'I am Ada.' },
    { role: 'assistant', content: 'You said: I am Ada.' },
    { role: 'user', content: 'Who am I?' },
    { role: 'assistant', content: 'You said: Who am I?' },
    { role: 'user', content: 'Sure?' },
  ]);
  const before = upstream.calls().length;
  const unknown = client.responses.create({ model: 'gpt-4o', input: 'x', previous_response_id: 'resp_0000000000000000000000' });
  await expect(unknown).rejects.toMatchObject({ status: 404, param: 'previous_response_id' });
  const foreign = stranger.responses.create({ model: 'gpt-4o', input: 'x', previous_response_id: first.id });
  await expect(foreign).rejects.toMatchObject({ status: 404, param: 'previous_response_id' });
  expect(upstream.calls()).toHaveLength(before);
});

it('a chain keeps its pictures although the response they came with was deleted', async () => {
  const png = await sharp({ create: { width: 8, height: 8, channels: 3, background: '#112233' } })
    .png()
    .toBuffer();
  const url = `data:image/png;base64,${png.toString('base64')}`;
  const first = await client.responses.create({
    model: 'gpt-4o',
    input: [
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'What is it?' },
          { type: 'input_image', image_url: url, detail: 'low' },
        ],
      },
    ],
  });
  expect(lastCall()?.messages).toEqual([
    {
      role: 'user',
      content: [
        { type: 'text', text: 'What is it?' },
        { type: 'image_url', image_url: { url, detail: 'low' } },
      ],
    },
  ]);
  const second = await client.responses.create({ model: 'gpt-4o', input: 'And now?', previous_response_id: first.id });
  await client.responses.delete(first.id);
  await client.responses.create({ model: 'gpt-4o', input: 'Still?', previous_response_id: second.id });
  expect(JSON.stringify(lastCall()?.messages)).toContain(url);
});

it('a picture can be an uploaded file; nobody else can name it', async () => {
  const png = await sharp({ create: { width: 9, height: 9, channels: 3, background: '#445566' } })
    .png()
    .toBuffer();
  const file = await client.files.create({ file: await toFile(png, 'a.png'), purpose: 'vision' });
  const picture = { type: 'input_image' as const, file_id: file.id, detail: 'auto' as const };
  const asked = { model: 'gpt-4o', input: [{ role: 'user' as const, content: [picture] }] };
  await client.responses.create(asked);
  expect(JSON.stringify(lastCall()?.messages)).toContain(png.toString('base64'));
  await expect(stranger.responses.create(asked)).rejects.toMatchObject({ status: 404, param: 'input.0.content.0.file_id' });
});

it('in the background it is answered at once, fetched when it is done and gone when it is deleted', async () => {
  const queued = await client.responses.create({ model: 'gpt-4o', input: 'please hold on', background: true });
  expect(queued).toMatchObject({ status: 'queued', background: true, output: [] });
  await expect.poll(async () => (await client.responses.retrieve(queued.id)).status, { timeout: 20_000 }).toBe('in_progress');
  await expect(client.responses.delete(queued.id)).rejects.toMatchObject({ status: 409 });
  await expect.poll(() => isHeld, { timeout: 20_000 }).toBe(true);
  release();
  await expect.poll(async () => (await client.responses.retrieve(queued.id)).status, { timeout: 20_000 }).toBe('completed');
  expect((await client.responses.retrieve(queued.id)).output_text).toBe('You said: please hold on');
  const deleted = await fana.request(`/v1/responses/${queued.id}`, { method: 'DELETE' });
  expect(await deleted.json()).toEqual({ id: queued.id, object: 'response', deleted: true });
  await expect(client.responses.retrieve(queued.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
});

it('a response in the background can be cancelled, again and again; any other cannot', async () => {
  const { id } = await client.responses.create({ model: 'gpt-4o', input: 'please hold on', background: true });
  await expect.poll(async () => (await client.responses.retrieve(id)).status, { timeout: 20_000 }).toBe('in_progress');
  expect(await client.responses.cancel(id)).toMatchObject({ id, status: 'cancelled' });
  expect(await client.responses.cancel(id)).toMatchObject({ id, status: 'cancelled' });
  const blocking = await client.responses.create({ model: 'gpt-4o', input: 'Hi' });
  await expect(client.responses.cancel(blocking.id)).rejects.toMatchObject({ status: 400, param: 'response_id' });
});

it('what is not to be stored cannot be fetched, continued or deleted; its job is there', async () => {
  const { data, response } = await client.responses.create({ model: 'gpt-4o', input: 'Hi', store: false }).withResponse();
  expect(data).toMatchObject({ status: 'completed', store: false });
  await expect(client.responses.retrieve(data.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  await expect(client.responses.delete(data.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  await expect(client.responses.create({ model: 'gpt-4o', input: 'x', previous_response_id: data.id })).rejects.toMatchObject({ status: 404 });
  expect(await fana.job(response.headers.get('x-fana-job-id') ?? '')).toMatchObject({ status: 'completed' });
});

it('another tenant, and the id of a job that is no response, find nothing', async () => {
  const { id } = await client.responses.create({ model: 'gpt-4o', input: 'Hi', background: true });
  const job = await fana.submit({ type: 'chat', input: 'Hi' });
  const theirs = [client, job.id.replace('job_', 'resp_')] as const;
  for (const [who, what] of [[stranger, id], theirs] as const) {
    await expect(who.responses.retrieve(what)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(who.responses.cancel(what)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(who.responses.delete(what)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  }
  expect((await fana.request(`/openai/v1/responses/${id}`)).status).toBe(200);
  await Promise.all([fana.ended(job.id), fana.ended(id.replace('resp_', 'job_'))]);
});

it('functions are called and answered, by a chain and by handing the items back', async () => {
  const asked = { model: 'gpt-4o', tools: [weather], input: 'Weather in Lima and Cusco?' };
  const first = await client.responses.create(asked);
  expect(lastCall()).toMatchObject({ tools: [ASKED] });
  expect(first.tools).toEqual([weather]);
  expect(first.output).toEqual([
    { id: expect.stringMatching(/^fc_/), type: 'function_call', status: 'completed', call_id: 'call_1', name: 'weather', arguments: '{"city":"Lima"}' },
    { id: expect.stringMatching(/^fc_/), type: 'function_call', status: 'completed', call_id: 'call_2', name: 'weather', arguments: '{"city":"Cusco"}' },
  ]);
  const outputs = ['sun', 'rain'].map((output, at) => ({ type: 'function_call_output' as const, call_id: `call_${at + 1}`, output }));
  const messages = [
    { role: 'user', content: 'Weather in Lima and Cusco?' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [
        { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Lima"}' } },
        { id: 'call_2', type: 'function', function: { name: 'weather', arguments: '{"city":"Cusco"}' } },
      ],
    },
    { role: 'tool', tool_call_id: 'call_1', content: 'sun' },
    { role: 'tool', tool_call_id: 'call_2', content: 'rain' },
  ];
  const chained = await client.responses.create({ ...asked, input: outputs, previous_response_id: first.id });
  expect(chained.output_text).toBe('Sun in Lima.');
  expect(lastCall()?.messages).toEqual(messages);
  const input = [{ role: 'user', content: asked.input }, ...first.output, ...outputs] as OpenAI.Responses.ResponseInput;
  const handedBack = await client.responses.create({ ...asked, input });
  expect(handedBack.output_text).toBe('Sun in Lima.');
  expect(lastCall()?.messages).toEqual(messages);
  const references = first.output.map(({ id }) => ({ type: 'item_reference' as const, id: id ?? '' }));
  const referred = { ...asked, input: [{ role: 'user' as const, content: asked.input }, ...references, ...outputs] };
  expect((await client.responses.create(referred)).output_text).toBe('Sun in Lima.');
  expect(lastCall()?.messages).toEqual(messages);
  await expect(stranger.responses.create(referred)).rejects.toMatchObject({ status: 404, param: 'input.1.id' });
  const items = await client.responses.inputItems.list(chained.id, { order: 'asc' });
  expect(items.data.map(({ type }) => type)).toEqual(['message', 'function_call', 'function_call', 'function_call_output', 'function_call_output']);
  const page = await client.responses.inputItems.list(chained.id, { limit: 2 });
  expect(page.data.map((item) => ('output' in item ? item.output : ''))).toEqual(['rain', 'sun']);
  expect((await page.getNextPage()).data.map(({ type }) => type)).toEqual(['function_call', 'function_call']);
});

it('a schema asks for JSON, which the SDK reads', async () => {
  const schema = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'], additionalProperties: false };
  const made = await client.responses.parse({ model: 'gpt-4o', input: 'JSON', text: { format: { type: 'json_schema', name: 'place', schema, strict: true } } });
  expect(made.output_parsed).toEqual({ name: 'Lima' });
  expect(lastCall()).toMatchObject({ response_format: { type: 'json_schema', json_schema: { name: 'place', schema, strict: true } } });
});

it('an answer that was cut off is incomplete and says why', async () => {
  const made = await client.responses.create({ model: 'gpt-4o', input: 'at length', max_output_tokens: 16 });
  expect(made).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' }, output: [{ status: 'incomplete' }] });
});

it('a stream tells its answer piece by piece and ends with the whole', async () => {
  const stream = await client.responses.create({ model: 'gpt-4o', input: 'slowly', stream: true });
  const events = await eventsOf(stream);
  expect(typesOf(events)).toEqual([
    'response.created',
    'response.in_progress',
    'response.output_item.added',
    'response.content_part.added',
    'response.output_text.delta',
    'response.output_text.done',
    'response.content_part.done',
    'response.output_item.done',
    'response.completed',
  ]);
  expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, at) => at));
  expect(events.filter(({ type }) => type === 'response.output_text.delta').length).toBeGreaterThan(3);
  expect(textOf(events)).toBe(SLOW);
  const last = events.at(-1);
  if (last?.type !== 'response.completed') throw new Error('no end');
  expect(await client.responses.retrieve(last.response.id)).toMatchObject(last.response);
  expect(textOf(await eventsOf(await client.responses.retrieve(last.response.id, { stream: true })))).toBe(SLOW);
});

it('the stream helper of the SDK puts text and calls together', async () => {
  const said = await client.responses.stream({ model: 'gpt-4o', input: 'slowly' }).finalResponse();
  expect(said.output_text).toBe(SLOW);
  const called = client.responses.stream({ model: 'gpt-4o', input: 'Weather?', tools: [weather] });
  const pieces: string[] = [];
  called.on('response.function_call_arguments.delta', ({ delta }) => pieces.push(delta));
  const whole = await called.finalResponse();
  expect(whole.output).toMatchObject([
    { type: 'function_call', call_id: 'call_1', arguments: '{"city":"Lima"}' },
    { type: 'function_call', call_id: 'call_2', arguments: '{"city":"Cusco"}' },
  ]);
  expect(pieces.join('')).toBe('{"city":"Lima"}{"city":"Cusco"}');
});

it('a stream in the background is resumed behind the last event its reader has', async () => {
  const whole = await eventsOf(await client.responses.create({ model: 'gpt-4o', input: 'slowly', background: true, stream: true }));
  expect(typesOf(whole).slice(0, 3)).toEqual(['response.created', 'response.queued', 'response.in_progress']);
  const started = await eventsOf(await client.responses.create({ model: 'gpt-4o', input: 'slowly', background: true, stream: true }), 8);
  const [first] = started;
  if (first?.type !== 'response.created') throw new Error('no beginning');
  const { id } = first.response;
  const rest = await eventsOf(await client.responses.retrieve(id, { stream: true, starting_after: 7 }));
  const joined = [...started, ...rest];
  expect(joined.map(({ sequence_number }) => sequence_number)).toEqual(joined.map((_, at) => at));
  expect(textOf(joined)).toBe(SLOW);
  const again = await eventsOf(await client.responses.retrieve(id, { stream: true, starting_after: 7 }));
  expect(again).toEqual(rest);
});

it('a repetition that an SDK counts joins the response that its caller left', async () => {
  const body = { model: 'gpt-4o', input: 'please hold on', stream: true };
  const left = new AbortController();
  const first = fana.request('/v1/responses', { body, signal: left.signal });
  await expect.poll(() => isHeld, { timeout: 20_000 }).toBe(true);
  left.abort();
  await expect(first).rejects.toThrow();
  const joined = fana.request('/v1/responses', { body, headers: { 'x-stainless-retry-count': '1' } });
  const { data } = (await (await fana.request('/v1/jobs?limit=1')).json()) as { data: { id: string }[] };
  release();
  const response = await joined;
  expect(response.headers.get('x-fana-job-id')).toBe(data[0]?.id);
  expect(await response.text()).toContain('You said: please hold on');
});

it('an error before the answer begins has a status although a stream was asked for', async () => {
  const refused = client.responses.create({ model: 'gpt-4o', input: 'x', stream: true, tools: [{ type: 'web_search' }] });
  await expect(refused).rejects.toBeInstanceOf(OpenAI.BadRequestError);
  upstream.mock.nextRequestError(400, { message: 'Too long.', code: 'context_length_exceeded', type: 'invalid_request_error' });
  const failed = client.responses.create({ model: 'gpt-4o', input: 'x', stream: true });
  await expect(failed).rejects.toMatchObject({ status: 400, code: 'context_length_exceeded' });
});

it('an answer that breaks off ends its stream with an error that names the response, which goes on', async () => {
  const stream = await client.responses.create({ model: 'gpt-4o', input: 'break off', stream: true });
  const seen: OpenAI.Responses.ResponseStreamEvent[] = [];
  const reading = (async () => {
    for await (const event of stream) seen.push(event);
  })();
  await expect(reading).rejects.toMatchObject({ code: 'stream_interrupted' });
  const [first] = seen;
  if (first?.type !== 'response.created') throw new Error('no beginning');
  const { id } = first.response;
  await expect(reading).rejects.toThrow(id);
  await expect.poll(async () => (await client.responses.retrieve(id)).status, { timeout: 20_000 }).toBe('completed');
  expect((await client.responses.retrieve(id)).output_text).toBe('You said: break off');
  expect(textOf(await eventsOf(await client.responses.retrieve(id, { stream: true })))).toBe('You said: break off');
});

it('a line of a batch is a response too, with what it was asked with', async () => {
  const first = await client.responses.create({ model: 'gpt-4o', input: 'I am Ada.' });
  const asked = { model: 'gpt-4o', input: 'Who am I?', instructions: 'Be brief.', previous_response_id: first.id, tools: [weather] };
  const line = JSON.stringify({ custom_id: 'one', method: 'POST', url: '/v1/responses', body: asked });
  const file = await client.files.create({ file: await toFile(Buffer.from(line), 'lines.jsonl'), purpose: 'batch' });
  const { id } = await client.batches.create({ input_file_id: file.id, endpoint: '/v1/responses', completion_window: '24h' });
  await expect.poll(async () => (await client.batches.retrieve(id)).status, { timeout: 30_000 }).toBe('completed');
  const { output_file_id: outputId } = await client.batches.retrieve(id);
  const { response } = JSON.parse(await (await client.files.content(outputId ?? '')).text());
  expect(response).toMatchObject({
    status_code: 200,
    body: {
      object: 'response',
      status: 'completed',
      instructions: 'Be brief.',
      previous_response_id: first.id,
      tools: [weather],
      output: [{ content: [{ text: 'You said: Who am I?' }] }],
    },
  });
  expect(lastCall()?.messages).toEqual([
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'I am Ada.' },
    { role: 'assistant', content: 'You said: I am Ada.' },
    { role: 'user', content: 'Who am I?' },
  ]);
});

it('errors come as the classes of the SDK, with the place in the body', async () => {
  const before = upstream.calls().length;
  const bad = client.responses.create({ model: 'gpt-4o', input: 'x', tools: [{ type: 'web_search' }] });
  await expect(bad).rejects.toBeInstanceOf(OpenAI.BadRequestError);
  await expect(bad).rejects.toMatchObject({ code: 'unsupported_parameter', param: 'tools.0.type' });
  await expect(client.responses.create({ model: 'gpt-4o', input: 'x', reasoning: { effort: 'low' } })).rejects.toMatchObject({ param: 'reasoning.effort' });
  await expect(client.responses.create({ model: 'no-such', input: 'x' })).rejects.toMatchObject({ param: 'model' });
  await expect(client.responses.create({ model: 'gpt-4o', input: 'x', ...({ flavour: 'mint' } as object) })).rejects.toMatchObject({ param: 'flavour' });
  await expect(clientOf('sk-none').responses.create({ model: 'gpt-4o', input: 'x' })).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  expect(upstream.calls()).toHaveLength(before);
});
