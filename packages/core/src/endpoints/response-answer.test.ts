import { expect, test } from 'vitest';
import type { JobEvent } from '../jobs/events.ts';
import type { TextOutput } from '../jobs/job.ts';
import { type AnswerEvent, createStreamedAnswer } from './response-answer.ts';
import { outputItems } from './response-output.ts';

const ID = 'job_0000000000000000000001';
const FC = 'fc_0000000000000000000001';
type Piece = Pick<JobEvent, 'delta' | 'choices'>;

const tell = (pieces: Piece[], status: 'completed' | 'incomplete' = 'completed'): AnswerEvent[] => {
  const answer = createStreamedAnswer(ID);
  return [...pieces.flatMap((piece) => answer.add(piece)), ...answer.close(status)];
};
const typesOf = (events: AnswerEvent[]): string[] => events.map(({ type }) => type.replace('response.', ''));
const itemsOf = (events: AnswerEvent[]): unknown[] => events.filter(({ type }) => type === 'response.output_item.done').map(({ item }) => item);

const called = (at: number, more: object) => ({ choices: [{ index: 0, delta: { tool_calls: [{ index: at, ...more }] } }] });

const cases: [string, Piece[], TextOutput][] = [
  ['text', [{ delta: 'Li' }, { delta: 'ma.' }], { kind: 'text', text: 'Lima.', finishReason: 'stop' }],
  ['nothing at all', [{ delta: '' }], { kind: 'text', text: '', finishReason: 'stop' }],
  [
    'a refusal',
    [{ delta: '', choices: [{ index: 0, delta: { refusal: 'I can' } }] }, { choices: [{ index: 0, delta: { refusal: 'not.' } }] }],
    { kind: 'text', text: '', finishReason: 'stop', choices: [{ message: { refusal: 'I cannot.' }, finishReason: 'stop' }] },
  ],
  [
    'text and calls',
    [
      { delta: 'See.' },
      called(0, { id: 'call_a', type: 'function', function: { name: 'f', arguments: '{"a"' } }),
      called(0, { function: { arguments: ':1}' } }),
      called(1, { id: 'call_b', type: 'function', function: { name: 'g', arguments: '' } }),
    ],
    {
      kind: 'text',
      text: 'See.',
      finishReason: 'tool_calls',
      choices: [
        {
          message: {
            content: 'See.',
            tool_calls: [
              { id: 'call_a', type: 'function', function: { name: 'f', arguments: '{"a":1}' } },
              { id: 'call_b', type: 'function', function: { name: 'g', arguments: '' } },
            ],
          },
          finishReason: 'tool_calls',
        },
      ],
    },
  ],
  [
    'text with its probabilities',
    [{ delta: 'Hi', choices: [{ index: 0, delta: {}, logprobs: { content: [{ token: 'Hi', logprob: -0.1, bytes: [72, 105], top_logprobs: [] }] } }] }],
    {
      kind: 'text',
      text: 'Hi',
      finishReason: 'stop',
      choices: [
        {
          message: { content: 'Hi' },
          finishReason: 'stop',
          logprobs: { content: [{ token: 'Hi', logprob: -0.1, bytes: [72, 105], top_logprobs: [] }] },
        },
      ],
    },
  ],
];

test.each(cases)('a stream of %s ends with the items that the response has', (_, pieces, output) => {
  expect(itemsOf(tell(pieces))).toEqual(outputItems(ID, output));
  expect(tell(pieces)).toEqual(tell(pieces));
});

test('every item and part is opened before it is added to, and closed once', () => {
  const [, pieces] = cases[3] as (typeof cases)[number];
  const events = tell(pieces);
  expect(typesOf(events)).toEqual([
    ...['output_item.added', 'content_part.added', 'output_text.delta'],
    ...['output_item.added', 'function_call_arguments.delta', 'function_call_arguments.delta'],
    'output_item.added',
    ...['output_text.done', 'content_part.done', 'output_item.done'],
    ...['function_call_arguments.done', 'output_item.done'],
    ...['function_call_arguments.done', 'output_item.done'],
  ]);
  const added = events.filter(({ type }) => type === 'response.output_item.added');
  expect(added.map(({ output_index }) => output_index)).toEqual([0, 1, 2]);
  expect(added[1]?.['item']).toEqual({ id: `${FC}at0`, type: 'function_call', status: 'in_progress', call_id: 'call_a', name: 'f', arguments: '' });
});

test('other answers than the first are not told: a response has one', () => {
  expect(typesOf(tell([{ delta: '', choices: [{ index: 1, delta: { content: 'two' } }] }]))).toEqual(typesOf(tell([])));
});

test('an answer cut off is an incomplete item', () => {
  expect(itemsOf(tell([{ delta: 'Well' }], 'incomplete'))).toEqual(outputItems(ID, { kind: 'text', text: 'Well', finishReason: 'length' }));
});
