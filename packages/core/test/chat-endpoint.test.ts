import { chatCompletions } from '@fana/core/endpoints/chat-completions.ts';
import type { Finished, PresentDeps } from '@fana/core/endpoints/endpoint.ts';
import type { TextOutput, Usage } from '@fana/core/jobs/job.ts';
import { describe, expect, it } from 'vitest';
import { failure } from './provider-requests.ts';

type Deps = Parameters<typeof chatCompletions.parse>[0];
const parse = (body: Record<string, unknown>) =>
  chatCompletions.parse({} as Deps, 'default', { model: 'm', messages: [{ role: 'user', content: 'Hi' }], ...body });

const present = (output: Omit<TextOutput, 'kind'>, usage?: Usage): Promise<Record<string, unknown>> => {
  const finished: Finished = {
    id: 'job_0123456789abcdefghijkl',
    createdMs: 1_800_000_000_123,
    finishedMs: 1_800_000_001_000,
    servedBy: { provider: 'openai', model: 'gpt-4o-2024-08-06' },
    warnings: [],
    ...(usage && { usage }),
    spec: { tenant: 'default', model: 'gpt-4o', type: 'chat', parameters: {}, metadata: {} },
    output: { kind: 'text', ...output },
  };
  return chatCompletions.present({} as PresentDeps, finished);
};

describe('the body of a chat completion', () => {
  it('keeps messages as they came, and what is not a text or a picture too', async () => {
    const { input, type } = await parse({
      messages: [
        { role: 'developer', content: 'Be brief.' },
        {
          role: 'user',
          name: 'ann',
          content: [
            { type: 'text', text: 'What is it?' },
            { type: 'image_url', image_url: { url: 'https://example.com/a.png', detail: 'low' } },
            { type: 'file', file: { file_id: 'file_1' } },
          ],
        },
        { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } }] },
        { role: 'tool', tool_call_id: 'call_1', content: '4' },
      ],
    });
    expect(type).toBe('vision');
    expect(input.text).toBe('What is it?');
    expect(input.messages).toMatchObject([
      { role: 'developer', content: 'Be brief.' },
      {
        role: 'user',
        other: { name: 'ann' },
        content: [
          { type: 'text', text: 'What is it?' },
          { type: 'image', image: { kind: 'url', url: 'https://example.com/a.png' }, detail: 'low' },
          { type: 'other', part: { type: 'file', file: { file_id: 'file_1' } } },
        ],
      },
      { role: 'assistant', content: null, other: { tool_calls: [{ id: 'call_1' }] } },
      { role: 'tool', content: '4', other: { tool_call_id: 'call_1' } },
    ]);
  });

  it('passes every parameter on, null as nothing, max_completion_tokens as max_tokens, metadata where it is stored', async () => {
    const { parameters, metadata } = await parse({ max_completion_tokens: 5, temperature: null, flavour: 'mint', n: 2, store: true, metadata: { a: 'b' } });
    expect(parameters).toEqual({ max_tokens: 5, flavour: 'mint', n: 2, store: true, metadata: { a: 'b' } });
    expect(metadata).toEqual({ a: 'b' });
    expect((await parse({ metadata: { a: 'b' } })).parameters).toEqual({});
  });

  it.each([
    [{ messages: [] }, 'messages'],
    [{ messages: 'Hi' }, 'messages'],
    [{ messages: [{ role: 'robot', content: 'Hi' }] }, 'messages.0.role'],
    [{ messages: [{ role: 'user', content: 5 }] }, 'messages.0.content'],
    [{ messages: [{ role: 'user', content: [{ type: 'text' }] }] }, 'messages.0.content'],
    [{ model: 5 }, 'model'],
    [{ n: 0 }, 'n'],
    [{ n: '2' }, 'n'],
    [{ temperature: 3 }, 'temperature'],
    [{ top_logprobs: 21 }, 'top_logprobs'],
    [{ tools: {} }, 'tools'],
    [{ response_format: 'json' }, 'response_format'],
    [{ max_tokens: 5, max_completion_tokens: 6 }, 'max_tokens'],
    [{ stream_options: { include_usage: true } }, 'stream_options'],
    [{ stream: true, stream_options: { include_obfuscation: true } }, 'stream_options.include_obfuscation'],
    [{ stream: true, stream_options: { flavour: 'mint' } }, 'stream_options.flavour'],
    [{ stream: 'yes' }, 'stream'],
    [{ metadata: { a: 1 } }, 'metadata.a'],
  ])('%o is 400 with param %s', async (body, param) => {
    const error = await failure(parse(body));
    expect(error).toMatchObject({ code: 'invalid_request' });
    expect(error.param).toMatch(new RegExp(`^${param.replaceAll('.', '\\.')}(\\.|$)`));
  });
});

describe('the reply of a chat completion', () => {
  it('has the shape of OpenAI', async () => {
    expect(await present({ text: 'Lima.', finishReason: 'stop' }, { inputTokens: 3, outputTokens: 4, cachedInputTokens: 1, reasoningTokens: 2 })).toEqual({
      id: 'chatcmpl-0123456789abcdefghijkl',
      object: 'chat.completion',
      created: 1_800_000_000,
      model: 'gpt-4o-2024-08-06',
      choices: [{ index: 0, message: { role: 'assistant', content: 'Lima.', refusal: null }, finish_reason: 'stop', logprobs: null }],
      usage: {
        prompt_tokens: 3,
        completion_tokens: 4,
        total_tokens: 7,
        prompt_tokens_details: { cached_tokens: 1 },
        completion_tokens_details: { reasoning_tokens: 2 },
      },
    });
  });

  it('has every answer, tool calls without text as null, and what the provider said of the whole', async () => {
    const call = { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } };
    const reply = await present({
      text: '',
      finishReason: 'tool_calls',
      choices: [
        { message: { tool_calls: [call], reasoning: 'Hm.' }, finishReason: 'tool_calls' },
        { message: { content: 'Two', refusal: 'No.' }, finishReason: 'stop', logprobs: { content: [] } },
      ],
      envelope: { system_fingerprint: 'fp_1', service_tier: 'default' },
    });
    expect(reply).toMatchObject({
      system_fingerprint: 'fp_1',
      service_tier: 'default',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: null, refusal: null, tool_calls: [call], reasoning: 'Hm.' },
          finish_reason: 'tool_calls',
          logprobs: null,
        },
        { index: 1, message: { role: 'assistant', content: 'Two', refusal: 'No.' }, finish_reason: 'stop', logprobs: { content: [], refusal: null } },
      ],
    });
  });
});
