import { createSimulated } from '@fana/core/providers/simulated/create.ts';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { chatRequest, failure, imageRequest, never, redPng } from './provider-requests.ts';

describe('the simulated provider', () => {
  const { chat, image } = createSimulated();
  if (!chat || !image) throw new Error('the simulated provider cannot do everything');

  it('streams the same marked answer to the same message', async () => {
    const deltas: string[] = [];
    const first = await chat(chatRequest(), { signal: never, onDelta: ({ delta }) => deltas.push(delta.content ?? '') });
    expect(first.text).toContain('simulated');
    expect(first.text).toContain('what is the capital of Peru?');
    expect(deltas.join('')).toBe(first.text);
    expect(await chat(chatRequest(), { signal: never })).toEqual(first);
  });

  it('ends an answer at max_tokens', async () => {
    const result = await chat(chatRequest({ parameters: { max_tokens: 5 } }), { signal: never });
    expect(result.finishReason).toBe('length');
    expect(result.usage.outputTokens).toBeLessThanOrEqual(5);
  });

  it('gives n answers, ends them at a stop sequence, and streams what it answers', async () => {
    const heard: Record<number, string> = {};
    const result = await chat(chatRequest({ parameters: { n: 2, stop: ['capital'] } }), {
      signal: never,
      onDelta: ({ index, delta }) => {
        heard[index] = (heard[index] ?? '') + (delta.content ?? '');
      },
    });
    const texts = result.choices?.map(({ message }) => message.content);
    expect(texts).toHaveLength(2);
    expect(texts?.[0]).not.toBe(texts?.[1]);
    for (const text of texts ?? []) expect(text).toMatch(/You wrote: “what is the $/);
    expect([heard[0], heard[1]]).toEqual(texts);
  });

  const schema = {
    type: 'object',
    properties: {
      city: { type: 'string', minLength: 12 },
      kind: { enum: ['capital', 'town'] },
      people: { type: 'integer', minimum: 1000, multipleOf: 7 },
      score: { type: 'number', exclusiveMinimum: 0, maximum: 1 },
      founded: { type: ['string', 'null'], format: 'date' },
      near: { type: 'array', items: { $ref: '#/$defs/place' }, minItems: 2 },
      twin: { anyOf: [{ $ref: '#/$defs/place' }, { type: 'null' }] },
    },
    required: ['city', 'kind', 'people', 'score', 'founded', 'near', 'twin'],
    additionalProperties: false,
    $defs: {
      place: {
        type: 'object',
        properties: { name: { type: 'string' }, twin: { anyOf: [{ $ref: '#/$defs/place' }, { type: 'null' }] } },
        required: ['name', 'twin'],
      },
    },
  };
  const validate = addFormats.default(new Ajv2020()).compile(schema);

  it('answers JSON that the asked schema allows', async () => {
    const parameters = { response_format: { type: 'json_schema', json_schema: { name: 'city', schema } } };
    const { text } = await chat(chatRequest({ parameters }), { signal: never });
    expect(validate(JSON.parse(text)), JSON.stringify(validate.errors)).toBe(true);
    const object = await chat(chatRequest({ parameters: { response_format: { type: 'json_object' } } }), { signal: never });
    expect(JSON.parse(object.text)).toMatchObject({ simulated: true });
  });

  it.each(['required', { type: 'function', function: { name: 'look_up' } }])('calls the tool that %o leaves no way around', async (tool_choice) => {
    const tools = [{ type: 'function', function: { name: 'look_up', parameters: schema } }];
    const { choices } = await chat(chatRequest({ parameters: { tools, tool_choice } }), { signal: never });
    const call = choices?.[0]?.message.tool_calls?.[0];
    expect(choices?.[0]?.finishReason).toBe('tool_calls');
    expect(call).toMatchObject({ type: 'function', id: expect.any(String), function: { name: 'look_up' } });
    expect(validate(JSON.parse(call?.function?.arguments ?? ''))).toBe(true);
    expect((await chat(chatRequest({ parameters: { tools } }), { signal: never })).choices).toBeUndefined();
  });

  it.each([undefined, null, {}])('gives an object to a tool whose parameters are %o', async (parameters) => {
    const tools = [{ type: 'function', function: { name: 'look_up', parameters } }];
    const { choices } = await chat(chatRequest({ parameters: { tools, tool_choice: 'required' } }), { signal: never });
    expect(choices?.[0]?.message.tool_calls?.[0]?.function?.arguments).toBe('{}');
  });

  it.each([
    [{ logprobs: true }, 'unsupported_parameter', 'parameters.logprobs'],
    [{ flavour: 'mint' }, 'unsupported_parameter', 'parameters.flavour'],
    [{ tools: [], tool_choice: { type: 'function', function: { name: 'none' } } }, 'invalid_request', 'tool_choice'],
    [{ response_format: { type: 'json_schema', json_schema: { schema: { type: 'string', pattern: '^a+$' } } } }, 'unsupported_parameter', 'response_format'],
  ])('refuses %o', async (parameters, code, param) => {
    expect(await failure(chat(chatRequest({ parameters }), { signal: never }))).toMatchObject({ code, param });
  });

  it('says what it sees of the actual picture', async () => {
    const content = [
      { type: 'text' as const, text: 'what is this?' },
      { type: 'image' as const, picture: { bytes: await redPng(), mediaType: 'image/png' } },
    ];
    const { text } = await chat({ model: 'simulated-vision', messages: [{ role: 'user', content }], parameters: {} }, { signal: never });
    expect(text).toContain('PNG of 64 × 48 pixels');
    expect(text).toContain('red');
  });

  it.each([
    [{}, 'png', 1024, 1024],
    [{ size: '320x200', output_format: 'jpeg' }, 'jpeg', 320, 200],
    [{ size: '16x16', output_format: 'webp' }, 'webp', 16, 16],
  ])('draws %o as a %s of %i × %i', async (parameters, format, width, height) => {
    const { images } = await image(imageRequest({ parameters }), { signal: never });
    expect(await sharp(images[0]?.bytes).metadata()).toMatchObject({ format, width, height });
  });

  it('draws different pictures for one prompt, and the same ones again', async () => {
    const request = imageRequest({ parameters: { n: 2, size: '64x64' } });
    const { images } = await image(request, { signal: never });
    expect(images).toHaveLength(2);
    expect(images[0]?.bytes).not.toEqual(images[1]?.bytes);
    expect((await image(request, { signal: never })).images).toEqual(images);
  });

  it('edits on the picture it is given', async () => {
    const pictures = [{ bytes: await redPng(), mediaType: 'image/png' }];
    const { images } = await image(imageRequest({ prompt: '', pictures }), { signal: never });
    const { dominant } = await sharp(images[0]?.bytes).extract({ left: 0, top: 0, width: 64, height: 30 }).stats();
    expect(dominant.r).toBeGreaterThan(dominant.b);
    expect(await sharp(images[0]?.bytes).metadata()).toMatchObject({ width: 64, height: 48 });
  });

  it('stops when it is aborted', async () => {
    expect(await failure(chat(chatRequest(), { signal: AbortSignal.abort() }))).toMatchObject({ code: 'cancelled', provider: { outcome: 'not_sent' } });
    expect(await failure(image(imageRequest(), { signal: AbortSignal.abort() }))).toMatchObject({ code: 'cancelled' });
  });
});
