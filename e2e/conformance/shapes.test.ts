import { describe, expect, it } from 'vitest';
import { problemsOf } from './shapes.ts';

const completion = {
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'gpt-4o',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Lima.', refusal: null }, finish_reason: 'stop', logprobs: null }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
};

describe('the check against published shapes', () => {
  it('accepts what is right', () => expect(problemsOf('ChatCompletionBody', completion)).toEqual([]));

  it.each([
    ['a field is missing', { ...completion, choices: undefined }],
    ['a value has another type', { ...completion, created: '1' }],
    ['a word is not one of the list', { ...completion, choices: [{ ...completion.choices[0], finish_reason: 'done' }] }],
    ['null stands where there is none', { ...completion, choices: [{ ...completion.choices[0], message: { role: 'assistant', content: 'Lima.' } }] }],
    ['a field is unknown', { ...completion, flavour: 'mint' }],
    ['a field deep inside is unknown', { ...completion, usage: { ...completion.usage, coins: 1 } }],
  ])('refuses it when %s', (_, body) => expect(problemsOf('ChatCompletionBody', JSON.parse(JSON.stringify(body)))).not.toEqual([]));

  it('knows an event by its type', () => {
    const delta = { type: 'response.output_text.delta', sequence_number: 1, item_id: 'msg_1', output_index: 0, content_index: 0, delta: 'L', logprobs: [] };
    expect(problemsOf('ResponseStreamEventBody', delta)).toEqual([]);
    expect(problemsOf('ResponseStreamEventBody', { ...delta, delta: undefined })).toHaveLength(1);
    expect(problemsOf('ResponseStreamEventBody', { ...delta, type: 'response.invented' })).toEqual(['ResponseStreamEventBody has no type "response.invented"']);
  });

  it('asks for a shape that exists', () => expect(() => problemsOf('NoSuchBody', {})).toThrow('NoSuchBody'));
});
