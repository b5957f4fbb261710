import { describe, expect, it } from 'vitest';
import type { ChatMessage } from '../provider.ts';
import { toClaudeMessages } from './messages.ts';

const MODEL = 'claude-sonnet-5-5';
const say = (...messages: ChatMessage[]) => toClaudeMessages(MODEL, messages);
const call = (id: string, name: string, args: string) => ({ id, type: 'function', function: { name, arguments: args } });

describe('a conversation in the words of Claude', () => {
  it('has every system and developer message in its system prompt, in their order', () => {
    expect(
      say({ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Hi' }, { role: 'developer', content: [{ type: 'text', text: 'In French.' }] }),
    ).toEqual({ system: 'Be brief.\n\nIn French.', messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }] });
    expect(say({ role: 'system', content: '' }, { role: 'user', content: 'Hi' })).not.toHaveProperty('system');
  });

  it('has calls of tools and their results as blocks, results of one turn in one message with what the user said after them', () => {
    const { messages } = say(
      { role: 'user', content: 'Weather?' },
      { role: 'assistant', content: '', other: { tool_calls: [call('call_a', 'f', '{"x":1}'), call('call_b', 'g', '')] } },
      { role: 'tool', content: 'sunny', other: { tool_call_id: 'call_a' } },
      { role: 'tool', content: [{ type: 'text', text: 'dry' }], other: { tool_call_id: 'call_b' } },
      { role: 'user', content: 'And tomorrow?' },
    );
    expect(messages).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'Weather?' }] },
      {
        role: 'assistant',
        content: [
          { type: 'tool_use', id: 'call_a', name: 'f', input: { x: 1 } },
          { type: 'tool_use', id: 'call_b', name: 'g', input: {} },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'call_a', content: [{ type: 'text', text: 'sunny' }] },
          { type: 'tool_result', tool_use_id: 'call_b', content: [{ type: 'text', text: 'dry' }] },
          { type: 'text', text: 'And tomorrow?' },
        ],
      },
    ]);
  });

  it('gives back what Claude thought before its calls', () => {
    const thinking_blocks = [{ type: 'thinking', thinking: '', signature: 'sig' }];
    const { messages } = say(
      { role: 'user', content: 'Weather?' },
      { role: 'assistant', content: null, other: { thinking_blocks, tool_calls: [call('call_a', 'f', '{}')] } },
    );
    expect(messages[1]?.content).toEqual([...thinking_blocks, { type: 'tool_use', id: 'call_a', name: 'f', input: {} }]);
  });

  it('has pictures and PDFs as base64 blocks', () => {
    const picture = { bytes: Buffer.from('png'), mediaType: 'image/png' };
    const file = { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERg==' } };
    const { messages } = say({
      role: 'user',
      content: [
        { type: 'image', picture, detail: 'high' },
        { type: 'other', part: file },
      ],
    });
    expect(messages[0]?.content).toEqual([
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'cG5n' } },
      { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERg==' }, title: 'a.pdf' },
    ]);
  });

  it('tells a refusal that was kept as what Claude said', () => {
    const { messages } = say(
      { role: 'user', content: 'a' },
      { role: 'assistant', content: [{ type: 'other', part: { type: 'refusal', refusal: 'No.' } }] },
      { role: 'user', content: 'b' },
    );
    expect(messages[1]).toEqual({ role: 'assistant', content: [{ type: 'text', text: 'No.' }] });
  });

  const picture = { bytes: Buffer.from('png'), mediaType: 'image/png' };
  it.each<[string, ChatMessage[], string, string]>([
    ['sound', [{ role: 'user', content: [{ type: 'other', part: { type: 'input_audio' } }] }], 'unsupported_parameter', 'messages.0.content.0'],
    [
      'a file by its id',
      [{ role: 'user', content: [{ type: 'other', part: { type: 'file', file: { file_id: 'f' } } }] }],
      'unsupported_parameter',
      'messages.0.content.0',
    ],
    [
      'a picture in low detail',
      [{ role: 'user', content: [{ type: 'image', picture, detail: 'low' }] }],
      'unsupported_parameter',
      'messages.0.content.0.image_url.detail',
    ],
    ['a picture in instructions', [{ role: 'system', content: [{ type: 'image', picture }] }], 'unsupported_parameter', 'messages.0'],
    ['the role function', [{ role: 'function', content: 'x' }], 'unsupported_parameter', 'messages.0.role'],
    [
      'arguments that are no JSON',
      [{ role: 'assistant', content: null, other: { tool_calls: [call('a', 'f', '{')] } }],
      'invalid_request',
      'messages.0.tool_calls.0.function.arguments',
    ],
    [
      'arguments that are a list',
      [{ role: 'assistant', content: null, other: { tool_calls: [call('a', 'f', '[]')] } }],
      'invalid_request',
      'messages.0.tool_calls.0.function.arguments',
    ],
    [
      'calls of another kind',
      [{ role: 'assistant', content: null, other: { tool_calls: [{ id: 'a', type: 'custom' }] } }],
      'unsupported_parameter',
      'messages.0.tool_calls.0',
    ],
    ['a result of no call', [{ role: 'tool', content: 'x' }], 'invalid_request', 'messages.0.tool_call_id'],
    ['instructions alone', [{ role: 'system', content: 'Be brief.' }], 'invalid_request', 'messages'],
  ])('refuses %s by its place', (_what, messages, code, param) => {
    expect(() => say(...messages)).toThrow(expect.objectContaining({ code, param }));
  });
});
