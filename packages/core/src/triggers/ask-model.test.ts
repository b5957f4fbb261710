import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import type { ChatRequest, Registry } from '../providers/provider.ts';
import { classifyOrAsk } from './ask-model.ts';
import { classify } from './classify.ts';

/** Whatever the weights are, they are not sure of one of these. */
const ODD = ['a poem picture', 'red car', 'a bat', 'sunset', 'mountains', 'can you make a table', 'logo ideas', 'a table picture', 'a picture poem'];
const UNSURE = ODD.toSorted((a, b) => classify({ text: a, hasImage: false }).confidence - classify({ text: b, hasImage: false }).confidence)[0] ?? '';
const SURE = 'what is the capital of Peru?';

type World = { model?: string; simulated?: boolean; answer?: () => Promise<string>; targets?: Registry['targets'] };

const world = ({ model = 'gpt-4o', simulated = false, answer = async () => 'image', targets }: World = {}) => {
  const asked: ChatRequest[] = [];
  const missing: string[] = [];
  const lines: string[] = [];
  const chat = async (request: ChatRequest) => {
    asked.push(request);
    return { text: await answer(), finishReason: 'stop', usage: {}, model: request.model };
  };
  const providers: Pick<Registry, 'simulated' | 'targets' | 'noteMissing'> = {
    simulated,
    targets: targets ?? ((name) => [{ provider: { name: 'openai', chat }, model: name, warnings: [] }]),
    noteMissing: (provider, name) => missing.push(`${provider} ${name}`),
  };
  const deps = {
    config: { triggers: { model: model === '' ? undefined : model } },
    providers,
    logger: pino({}, { write: (line: string) => lines.push(line) }),
  };
  // Only what is asked for is there; anything else fails loudly.
  return { deps: deps as unknown as Pick<Deps, 'config' | 'providers' | 'logger'>, asked, missing, lines };
};

it('the messages of this test are what they are named', () => {
  expect(classify({ text: UNSURE, hasImage: false }).confidence).toBeLessThan(0.6);
  expect(classify({ text: SURE, hasImage: false }).confidence).toBeGreaterThan(0.6);
});

describe('a model that is asked', () => {
  it.each([
    ['image', 'image'],
    ['Image.', 'image'],
    [' **chat**\n', 'chat'],
  ])('decides with one word (%j)', async (answer, label) => {
    const { deps, asked } = world({ answer: async () => answer });
    expect(await classifyOrAsk(deps, { text: UNSURE, hasImage: false })).toMatchObject({ label, source: 'llm' });
    expect(asked).toHaveLength(1);
  });

  it.each(['', 'image or chat', 'The label is image', 'picture', 'images', 'vision'])(
    'is not listened to when it says %j of a message without a picture',
    async (answer) => {
      const { deps, lines } = world({ answer: async () => answer });
      const said = classify({ text: UNSURE, hasImage: false });
      expect(await classifyOrAsk(deps, { text: UNSURE, hasImage: false })).toEqual(said);
      expect(lines).toHaveLength(1);
      if (answer !== '') expect(lines[0]).not.toContain(`"${answer}"`);
    },
  );

  it('sees the message as data between lines nobody can guess', async () => {
    const { deps, asked } = world();
    await classifyOrAsk(deps, { text: UNSURE, hasImage: false });
    await classifyOrAsk(deps, { text: UNSURE, hasImage: false });
    const [first, second] = asked.map(({ messages }) => String(messages.at(-1)?.content));
    expect(first?.split('\n').slice(1, -1)).toEqual([UNSURE]);
    expect(first).not.toBe(second);
  });

  it('that fails, is not there or is not known changes nothing and leaves a line in the log', async () => {
    const said = classify({ text: UNSURE, hasImage: false });
    const failing = world({ answer: () => Promise.reject(new AppError('provider_unavailable', 'away')) });
    const unknown = world({
      targets: () => {
        throw new AppError('model_not_found', 'There is no such model.');
      },
    });
    for (const { deps, lines } of [failing, unknown]) {
      expect(await classifyOrAsk(deps, { text: UNSURE, hasImage: false })).toEqual(said);
      expect(lines).toHaveLength(1);
      expect(lines[0]).not.toContain(UNSURE);
    }
  });

  it('that the account lacks is remembered, so that its successor is asked the next time', async () => {
    const { deps, missing } = world({ answer: () => Promise.reject(new AppError('provider_model_missing', 'no such model')) });
    await classifyOrAsk(deps, { text: UNSURE, hasImage: false });
    expect(missing).toEqual(['openai gpt-4o']);
  });
});

it.each<[string, World, string]>([
  ['of what the classifier is sure of', {}, SURE],
  ['of a message without a word', {}, '?'],
  ['without FANA_TRIGGER_MODEL', { model: '' }, UNSURE],
  ['the simulated provider', { simulated: true }, UNSURE],
])('nobody is asked: %s', async (_, given, text) => {
  const { deps, asked, lines } = world(given);
  expect(await classifyOrAsk(deps, { text, hasImage: false })).toEqual(classify({ text, hasImage: false }));
  expect([asked, lines]).toEqual([[], []]);
});
