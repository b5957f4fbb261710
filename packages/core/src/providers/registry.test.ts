import { describe, expect, it } from 'vitest';
import { MODELS } from './models.ts';
import { createRegistry } from './registry.ts';

type Settings = Parameters<typeof createRegistry>[0]['providers'];
const account = (apiKey?: string, baseUrl?: string) => ({ apiKey, baseUrl });
const registry = (settings: Partial<Settings>, now?: () => number) =>
  createRegistry({ providers: { groq: account(), openai: account(), anthropic: account(), ...settings } }, now);
const none = () => registry({});
const both = (now?: () => number) => registry({ groq: account('g'), openai: account('o') }, now);
const served = (targets: ReturnType<ReturnType<typeof registry>['targets']>) => targets.map(({ provider, model }) => `${provider.name}: ${model}`);
const failing = (code: string, message: RegExp) => expect.objectContaining({ code, param: 'model', message: expect.stringMatching(message) });

describe('without any key', () => {
  it('serves every model and alias of the catalogue by the simulated provider, with a warning', () => {
    const { list, targets, simulated } = none();
    expect(simulated).toBe(true);
    expect(list().length).toBe(MODELS.length + 4);
    for (const { id, types } of list()) {
      for (const type of types) {
        const [target, ...more] = targets(id, type);
        expect(more).toEqual([]);
        expect(target?.provider.name).toBe('simulated');
        expect(target?.warnings).toEqual([expect.stringContaining('simulated')]);
      }
    }
  });

  it('says which model was asked for, and that an alias is simulated', () => {
    expect(served(none().targets('dall-e-3', 'image'))).toEqual(['simulated: dall-e-3']);
    expect(served(none().targets('chat-default', 'chat'))).toEqual(['simulated: simulated-chat']);
  });

  it('knows no price', () => {
    expect(none().costUsd('simulated', 'simulated-chat', { inputTokens: 1, outputTokens: 1 })).toBeUndefined();
  });
});

describe('aliases', () => {
  it.each([
    ['groq and openai', both(), 'groq: openai/gpt-oss-120b', 'openai: gpt-6-luna', 'openai: gpt-image-2'],
    ['openai', registry({ openai: account('o') }), 'openai: gpt-6-luna', 'openai: gpt-6-luna', 'openai: gpt-image-2'],
    ['groq and anthropic', registry({ groq: account('g'), anthropic: account('a') }), 'groq: openai/gpt-oss-120b', 'anthropic: claude-sonnet-5-5', undefined],
    ['anthropic', registry({ anthropic: account('a') }), 'anthropic: claude-sonnet-5-5', 'anthropic: claude-sonnet-5-5', undefined],
  ])('with %s go to the first enabled provider', (_keys, { targets }, chat, vision, image) => {
    expect(served(targets('chat-default', 'chat'))).toEqual([chat]);
    expect(served(targets('vision-default', 'vision'))).toEqual([vision]);
    if (image) expect(served(targets('image-default', 'image'))).toEqual([image]);
    else expect(() => targets('image-default', 'image')).toThrow(failing('model_not_available', /OPENAI_API_KEY/));
  });

  it('without an enabled provider name the variables to set', () => {
    const { targets, list } = registry({ groq: account('g') });
    expect(() => targets('image-default', 'image')).toThrow(failing('model_not_available', /set OPENAI_API_KEY/));
    expect(list().map(({ id }) => id)).not.toContain('image-default');
    expect(() => registry({ groq: account('g') }).targets('vision-default', 'vision')).toThrow(
      failing('model_not_available', /OPENAI_API_KEY or ANTHROPIC_API_KEY/),
    );
  });

  it('serve their own types alone', () => {
    expect(both().typesOf('chat-default')).toEqual(['chat']);
    expect(() => both().targets('vision-default', 'chat')).toThrow(failing('model_type_mismatch', /vision/));
  });
});

describe('models', () => {
  it.each([
    ['llama3-70b-8192', 'chat', ['groq: llama3-70b-8192', 'groq: openai/gpt-oss-120b']],
    ['dall-e-3', 'image', ['openai: dall-e-3', 'openai: gpt-image-2']],
    ['gpt-4-vision-preview', 'vision', ['openai: gpt-4-vision-preview', 'openai: gpt-6-luna']],
    ['gpt-4o-2024-08-06', 'chat', ['openai: gpt-4o-2024-08-06', 'openai: gpt-4o', 'openai: gpt-6-luna']],
    ['meta-llama/llama-4-scout-17b-16e-instruct', 'vision', ['groq: meta-llama/llama-4-scout-17b-16e-instruct']],
    ['gpt-6-luna', 'vision', ['openai: gpt-6-luna']],
    ['claude-3-5-sonnet-20241022', 'chat', ['anthropic: claude-3-5-sonnet-20241022', 'anthropic: claude-sonnet-5-5']],
    ['claude-3-5-sonnet-20241022', 'vision', ['anthropic: claude-3-5-sonnet-20241022', 'anthropic: claude-sonnet-5-5']],
    ['claude-haiku-4-5-20251001', 'chat', ['anthropic: claude-haiku-4-5-20251001', 'anthropic: claude-haiku-4-5']],
    ['claude-sonnet-5-5', 'vision', ['anthropic: claude-sonnet-5-5']],
  ] as const)('%s for %s is asked for as itself, then its successors of the same vendor', (name, type, line) => {
    const all = registry({ groq: account('g'), openai: account('o'), anthropic: account('a') });
    expect(served(all.targets(name, type))).toEqual(line);
  });

  it('warn when a successor answers', () => {
    expect(
      both()
        .targets('llama3-70b-8192', 'chat')
        .map(({ warnings }) => warnings),
    ).toEqual([[], ['llama3-70b-8192 is not served any more; openai/gpt-oss-120b answered instead.']]);
  });

  it('known to be missing are passed over for an hour', () => {
    let now = 0;
    const { targets, noteMissing } = both(() => now);
    noteMissing('openai', 'dall-e-3');
    expect(served(targets('dall-e-3', 'image'))).toEqual(['openai: gpt-image-2']);
    now = 3_600_001;
    expect(served(targets('dall-e-3', 'image'))).toEqual(['openai: dall-e-3', 'openai: gpt-image-2']);
  });

  it('without a successor are asked for even if they were missing', () => {
    const { targets, noteMissing } = both();
    noteMissing('openai', 'gpt-image-2');
    expect(served(targets('image-default', 'image'))).toEqual(['openai: gpt-image-2']);
  });

  it('without the key of their vendor name its variable', () => {
    expect(() => registry({ openai: account('o') }).targets('llama3-70b-8192', 'chat')).toThrow(failing('model_not_available', /GROQ_API_KEY/));
    expect(() => registry({ groq: account('g') }).targets('dall-e-3', 'image')).toThrow(failing('model_not_available', /OPENAI_API_KEY/));
    expect(() => both().targets('claude-3-5-sonnet-20241022', 'chat')).toThrow(failing('model_not_available', /ANTHROPIC_API_KEY/));
    expect(() => both().targets('simulated-chat', 'chat')).toThrow(failing('model_not_available', /no provider key/));
  });

  it('of another type, or unknown, are refused', () => {
    expect(() => both().targets('llama3-70b-8192', 'vision')).toThrow(failing('model_type_mismatch', /llama3-70b-8192 serves chat/));
    expect(() => none().targets('dall-e-3', 'chat')).toThrow(failing('model_type_mismatch', /image/));
    for (const name of ['nothing', '__proto__', 'constructor', 'openai/x', ''])
      expect(() => both().typesOf(name)).toThrow(failing('model_not_found', /no model/));
  });
});

describe("an operator's own server", () => {
  const own = registry({ openai: account('o', 'http://127.0.0.1:1/v1'), groq: account('g', 'http://127.0.0.1:1') });
  it.each([
    ['openai/my-model', 'vision', 'openai: my-model'],
    ['openai/vendor/my-model:7b', 'chat', 'openai: vendor/my-model:7b'],
    ['groq/my-model', 'chat', 'groq: my-model'],
    ['openai/gpt-oss-120b', 'chat', 'groq: openai/gpt-oss-120b'],
    ['openai/openai/gpt-oss-120b', 'chat', 'openai: openai/gpt-oss-120b'],
    ['openai/flux.1-schnell', 'image', 'openai: flux.1-schnell'],
    ['openai/sd-3.5', 'image', 'openai: sd-3.5'],
  ] as const)('serves %s for %s as %s', (name, type, target) => {
    expect(served(own.targets(name, type))).toEqual([target]);
  });
});

describe('parameters at the door', () => {
  it('are refused when the model that will be asked cannot do them', () => {
    const refused = expect.objectContaining({ code: 'unsupported_parameter', param: 'parameters.n' });
    expect(() => both().checkParameters('dall-e-3', 'image', { n: 2 })).toThrow(refused);
    expect(() => both().checkParameters('image-default', 'image', { n: 2 })).not.toThrow();
    expect(() => both().checkParameters('vision-default', 'vision', { max_tokens: 5 })).not.toThrow();
  });

  it('are refused in a demo as they would be with the key of the vendor, and when they cannot be simulated', () => {
    const refused = (param: string) => expect.objectContaining({ code: 'unsupported_parameter', param: `parameters.${param}` });
    for (const registry of [none(), both()]) {
      expect(() => registry.checkParameters('openai/gpt-oss-120b', 'chat', { n: 2 })).toThrow(refused('n'));
      expect(() => registry.checkParameters('gpt-4o', 'chat', { flavour: 'mint' })).toThrow(refused('flavour'));
      expect(() => registry.checkParameters('gpt-4o', 'chat', { n: 2, tools: [], stop: 'x' })).not.toThrow();
    }
    expect(() => both().checkParameters('gpt-4o', 'chat', { logprobs: true })).not.toThrow();
    expect(() => none().checkParameters('gpt-4o', 'chat', { logprobs: true })).toThrow(refused('logprobs'));
  });

  it('are judged by the successor once the model is known to be missing', () => {
    const { checkParameters, noteMissing } = both();
    noteMissing('openai', 'dall-e-3');
    expect(() => checkParameters('dall-e-3', 'image', { n: 2 })).not.toThrow();
  });
});

describe('the price of a call', () => {
  const { costUsd } = both();
  it.each([
    ['groq', 'openai/gpt-oss-120b', { inputTokens: 1_000_000, outputTokens: 1_000_000 }, 0.75],
    ['groq', 'openai/gpt-oss-120b', { inputTokens: 1_000_000, outputTokens: 0, cachedInputTokens: 500_000 }, 0.1125],
    ['openai', 'gpt-image-2', { inputTokens: 1000, imageInputTokens: 400, outputTokens: 1000, images: 1 }, 0.0362],
    ['openai', 'gpt-4o-2024-08-06', { inputTokens: 1_000_000, outputTokens: 0 }, 2.5],
    ['openai', 'gpt-6-luna', { inputTokens: 1, outputTokens: 1 }, undefined],
    ['anthropic', 'claude-sonnet-5-5', { inputTokens: 1_000_000, cachedInputTokens: 400_000, cacheWriteInputTokens: 100_000, outputTokens: 0 }, 1.29],
    ['anthropic', 'claude-haiku-5-5', { inputTokens: 1, outputTokens: 1 }, undefined],
    ['openai', 'gpt-image-2', { images: 1 }, undefined],
    ['openai', 'my-model', { inputTokens: 1, outputTokens: 1 }, undefined],
    ['openai', 'openai/gpt-oss-120b', { inputTokens: 1, outputTokens: 1 }, undefined],
  ] as const)('of %s %s for %o is %s', (provider, model, usage, cost) => {
    if (cost === undefined) expect(costUsd(provider, model, usage)).toBeUndefined();
    else expect(costUsd(provider, model, usage)).toBeCloseTo(cost, 10);
  });
});
