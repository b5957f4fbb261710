import { describe, expect, it } from 'vitest';
import { JOB_CATALOG } from '../jobs/catalog.ts';
import { MODELS } from './models.ts';
import { type ParameterFamily, translateParameters } from './parameters.ts';

describe('parameters in the words of a model', () => {
  it.each([
    ['openai-chat', { max_tokens: 5, temperature: 0.5, stop: ['x'] }, { max_completion_tokens: 5, temperature: 0.5, stop: ['x'] }],
    ['openai-plain', { reasoning_effort: 'none', seed: 1 }, { seed: 1 }],
    ['openai-vision-preview', { max_tokens: 9, temperature: 0.5 }, { max_tokens: 9, temperature: 0.5 }],
    ['openai-reasoning', { temperature: 1, max_tokens: 9, reasoning_effort: 'high' }, { max_completion_tokens: 9, reasoning_effort: 'high' }],
    ['any-chat', { max_tokens: 5, frequency_penalty: 1 }, { max_tokens: 5, frequency_penalty: 1 }],
    ['groq-gpt-oss', { reasoning_effort: 'none', frequency_penalty: 0 }, { reasoning_effort: 'low' }],
    ['groq-qwen', { reasoning_effort: 'high' }, { reasoning_effort: 'default' }],
    ['groq-llama', { max_tokens: 3 }, { max_completion_tokens: 3 }],
    ['gpt-image-2', { quality: 'standard', size: '1792x1024', n: 4 }, { quality: 'medium', size: '1792x1024', n: 4 }],
    ['gpt-image-2', { quality: 'hd', style: 'vivid' }, { quality: 'high', promptSuffix: 'Style: vivid, hyper-real and dramatic.' }],
    ['gpt-image-2.5', { quality: 'max' }, { quality: 'max' }],
    ['dall-e-3', { quality: 'high', style: 'natural', n: 1, size: 'auto', output_format: 'png' }, { quality: 'hd', style: 'natural' }],
    ['dall-e-2', { size: '256x256', n: 3, quality: 'standard' }, { size: '256x256', n: 3 }],
    ['dall-e-3', { safety_identifier: 's' }, { user: 's' }],
    ['gpt-image-2', { safety_identifier: 's', user: 'u' }, { safety_identifier: 's', user: 'u' }],
    ['any-image', { flavour: 'mint', n: 2 }, { flavour: 'mint', n: 2 }],
    ['text-embedding-ada-002', { dimensions: 1536 }, {}],
    ['any-chat', { flavour: 'mint', n: 9 }, { flavour: 'mint', n: 9 }],
    ['openai-plain', { n: 2, logprobs: true, top_logprobs: 3, tools: [], modalities: ['text'] }, { n: 2, logprobs: true, top_logprobs: 3, tools: [] }],
    ['openai-reasoning', { verbosity: 'low', logprobs: false, logit_bias: {} }, { verbosity: 'low' }],
    ['groq-gpt-oss', { n: 1, safety_identifier: 'u', service_tier: 'default', store: false }, { user: 'u', service_tier: 'on_demand' }],
    [
      'groq-qwen',
      { tools: [], response_format: { type: 'json_object' }, reasoning_format: 'parsed' },
      { tools: [], response_format: { type: 'json_object' }, reasoning_format: 'parsed' },
    ],
    [
      'claude-sonnet-5.5',
      { max_tokens: 9, stop: 'x', temperature: 1, n: 1, safety_identifier: 'u', reasoning_effort: 'none', parallel_tool_calls: true },
      { max_tokens: 9, stop_sequences: ['x'], metadata: { user_id: 'u' }, thinking: { type: 'between_tools' } },
    ],
    ['claude-always-thinking', { reasoning_effort: 'none', tool_choice: 'auto' }, { effort: 'low', choice: { type: 'auto' } }],
    ['claude-5', { tool_choice: 'required', parallel_tool_calls: false }, { choice: { type: 'any' }, isSerial: true, thinking: { type: 'disabled' } }],
    [
      'claude-4.6',
      { temperature: 0.5, reasoning_effort: 'high', tool_choice: { type: 'function', function: { name: 'f' } } },
      { temperature: 0.5, effort: 'high', thinking: { type: 'adaptive' }, choice: { type: 'tool', name: 'f' } },
    ],
    ['claude-4.5', { reasoning_effort: 'none', top_k: 5, service_tier: 'default' }, { top_k: 5, service_tier: 'standard_only' }],
    [
      'claude-4.5',
      {
        tools: [
          { type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object', properties: { x: {} } }, strict: true } },
          { type: 'function', function: { name: 'g' } },
        ],
        response_format: { type: 'json_schema', json_schema: { name: 's', schema: { type: 'object' } } },
      },
      {
        tools: [
          { name: 'f', description: 'd', input_schema: { type: 'object', properties: { x: {} } }, strict: true },
          { name: 'g', input_schema: { type: 'object', properties: {} } },
        ],
        format: { type: 'json_schema', schema: { type: 'object' } },
      },
    ],
    ['claude-3', { tools: [], response_format: { type: 'text' }, temperature: 0.2 }, { temperature: 0.2 }],
    ['simulated-chat', { n: 2, temperature: 0.5, stop: 'x' }, { n: 2, temperature: 0.5, stop: 'x' }],
  ] satisfies [ParameterFamily, object, object][])('%s: %o → %o', (family, given, said) => {
    expect(translateParameters(family, 'm', { ...given })).toEqual(said);
  });

  it.each([
    ['openai-plain', 'reasoning_effort', 'low'],
    ['openai-reasoning', 'temperature', 0.2],
    ['groq-llama', 'presence_penalty', 0.5],
    ['groq-gpt-oss', 'size', '1x1'],
    ['groq-llama', 'n', 2],
    ['groq-gpt-oss', 'logprobs', true],
    ['groq-gpt-oss', 'top_logprobs', 2],
    ['groq-qwen', 'logit_bias', { 1: 5 }],
    ['groq-llama', 'prompt_cache_key', 'k'],
    ['groq-llama', 'store', true],
    ['groq-llama', 'toString', 1],
    ['openai-chat', 'flavour', 'mint'],
    ['openai-chat', 'modalities', ['text', 'audio']],
    ['openai-plain', 'verbosity', 'low'],
    ['openai-reasoning', 'logit_bias', { 1: 5 }],
    ['simulated-chat', 'logprobs', true],
    ['claude-sonnet-5.5', 'temperature', 0.5],
    ['claude-sonnet-5.5', 'tool_choice', 'required'],
    ['claude-sonnet-5.5', 'tool_choice', 'constructor'],
    ['claude-sonnet-5.5', 'response_format', { type: 'json_object' }],
    ['claude-sonnet-5.5', 'seed', 7],
    ['claude-sonnet-5.5', 'n', 2],
    ['claude-sonnet-5.5', 'flavour', 'mint'],
    ['claude-sonnet-5.5', 'logit_bias', { 1: 5 }],
    ['claude-always-thinking', 'top_k', 5],
    ['claude-5', 'tools', [{ type: 'custom', custom: { name: 'c' } }]],
    ['claude-5', 'tool_choice', { type: 'allowed_tools', allowed_tools: {} }],
    ['claude-4.6', 'temperature', 1.5],
    ['claude-4.6', 'reasoning_effort', 'xhigh'],
    ['claude-4.5', 'reasoning_effort', 'low'],
    ['claude-3', 'response_format', { type: 'json_schema', json_schema: { schema: {} } }],
    ['claude-3', 'tools', [{ type: 'function', function: { name: 'f', strict: true } }]],
    ['gpt-image-2', 'quality', 'max'],
    ['gpt-image-1', 'size', '1792x1024'],
    ['dall-e-3', 'n', 2],
    ['dall-e-3', 'size', '512x512'],
    ['dall-e-3', 'background', 'transparent'],
    ['dall-e-2', 'quality', 'hd'],
    ['dall-e-2', 'style', 'vivid'],
  ] satisfies [ParameterFamily, string, unknown][])('%s refuses %s = %s by name', (family, name, value) => {
    expect(() => translateParameters(family, 'm', { [name]: value })).toThrow(
      expect.objectContaining({ code: 'unsupported_parameter', param: `parameters.${name}` }),
    );
  });

  // A parameter added to a job type must be thought of in every family, or it is refused for all models.
  it.each(['chat', 'image', 'embedding'] as const)('some model of type %s can do each parameter of it', (type) => {
    const values: Record<string, unknown[]> = {
      stop: ['x'],
      style: ['vivid'],
      quality: ['high'],
      size: ['1024x1024'],
      reasoning_effort: ['low'],
      background: ['auto'],
      output_format: ['png'],
      moderation: ['auto'],
    };
    const families = new Set(MODELS.filter(({ types }) => types.includes(type)).map(({ family }) => family));
    for (const name of Object.keys(JOB_CATALOG[type].parameters.shape)) {
      const able = [...families].filter((family) => {
        try {
          return translateParameters(family, 'm', { [name]: values[name]?.[0] ?? 1 });
        } catch {
          return false;
        }
      });
      expect(able, name).not.toHaveLength(0);
    }
  });
});
