import { expect, test } from 'vitest';
import { chatParameters, tellParameters } from './response-parameters.ts';

const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
const tool = { type: 'function', name: 'weather', description: 'of a city', parameters: schema, strict: true };

test('every field has its word in a chat completion, and is told back as it came', () => {
  const fields = {
    max_output_tokens: 100,
    tools: [tool],
    tool_choice: { type: 'function', name: 'weather' },
    parallel_tool_calls: false,
    text: { format: { type: 'json_schema' as const, name: 'place', schema, strict: true }, verbosity: 'low' as const },
    reasoning: { effort: 'low' as const },
    top_logprobs: 3,
  };
  const said = chatParameters(fields, false);
  expect(said).toEqual({
    max_tokens: 100,
    tools: [{ type: 'function', function: { name: 'weather', description: 'of a city', parameters: schema, strict: true } }],
    tool_choice: { type: 'function', function: { name: 'weather' } },
    parallel_tool_calls: false,
    response_format: { type: 'json_schema', json_schema: { name: 'place', schema, strict: true } },
    verbosity: 'low',
    reasoning_effort: 'low',
    logprobs: true,
    top_logprobs: 3,
  });
  expect(tellParameters(said)).toMatchObject({ ...fields, reasoning: { effort: 'low', summary: null } });
});

test('a choice among some of the tools keeps its names both ways', () => {
  const choice = { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'weather' }] };
  const said = chatParameters({ tools: [tool], tool_choice: choice }, false);
  expect(said['tool_choice']).toEqual({
    type: 'allowed_tools',
    allowed_tools: { mode: 'required', tools: [{ type: 'function', function: { name: 'weather' } }] },
  });
  expect(tellParameters(said)['tool_choice']).toEqual(choice);
});

test('nothing said is nothing passed on', () => {
  expect(chatParameters({}, false)).toEqual({});
  expect(chatParameters({ text: { format: { type: 'text' } }, tools: [], tool_choice: 'auto', reasoning: null }, false)).toEqual({});
  expect(chatParameters({}, true)).toEqual({ logprobs: true });
  expect(tellParameters({})).toMatchObject({ tools: [], tool_choice: 'auto', text: { format: { type: 'text' } }, parallel_tool_calls: true });
});

test.each([
  [{ tools: [tool, { type: 'web_search' }] }, 'tools.1.type'],
  [{ tools: [{ type: 'mcp', server_label: 'x' }] }, 'tools.0.type'],
  [{ tools: [tool], tool_choice: { type: 'file_search' } }, 'tool_choice.type'],
  [{ tools: [tool], tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'mcp' }] } }, 'tool_choice.tools.0.type'],
  [{ reasoning: { summary: 'auto' } }, 'reasoning.summary'],
])('what no chat completion can do is refused by its name: %j', (fields, param) => {
  expect(() => chatParameters(fields, false)).toThrow(expect.objectContaining({ code: 'unsupported_parameter', param }));
});
