import { CONTEXT, extractFeatures } from '../features.ts';
import { type Model, TABLE_BITS } from '../model.ts';
import type { Example } from './examples.ts';
import { seededRandom, shuffle } from './random.ts';

/** One training line as the model sees it. */
type Encoded = { ids: Int32Array; scale: number; context: number; target: number; weight: number };

/** Weights in training and their AdaGrad accumulators; `columns` numbers stand side by side for each feature. */
type Table = { weights: Float32Array; squares: Float32Array; columns: number; mask: number };

const targets = { chat: 0, image: 1, vision: 2 } as const;
const COUNT_BITS = 22;
const EPOCHS = 12;
const LEARNING_RATE = 1;
const KEPT_SHARE = 0.7;
/** What one line counts for: lines like those users write most, the many made by grammars least. */
const lineWeights = { dev: 2, hand: 1, grammar: 0.3 } as const;

function encode(example: Example): Encoded {
  const { ids, count, context } = extractFeatures(example.text, example.hasImage);
  return { ids: ids.slice(0, count), scale: 1 / Math.sqrt(count), context, target: targets[example.label], weight: lineWeights[example.origin] };
}

/** Drops the features seen only once: they teach nothing and would only fill the table with noise. */
function dropSingletons(lines: Encoded[]): void {
  const mask = (1 << COUNT_BITS) - 1;
  const seen = new Uint8Array(mask + 1);
  for (const { ids } of lines) for (const id of ids) seen[id & mask] = Math.min(2, (seen[id & mask] as number) + 1);
  for (const line of lines) line.ids = line.ids.filter((id) => seen[id & mask] === 2);
}

function createTable(bits: number, columns: number): Table {
  const size = (1 << bits) * columns;
  return { weights: new Float32Array(size), squares: new Float32Array(size).fill(1e-3), columns, mask: (1 << bits) - 1 };
}

/** Softmax of the columns' sums; a single column stands against a fixed 0. */
function predict(table: Table, slots: Int32Array, count: number, scale: number): number[] {
  const sums = new Array<number>(table.columns).fill(0);
  for (let index = 0; index < count; index++) {
    for (let column = 0; column < table.columns; column++)
      sums[column] = (sums[column] as number) + (table.weights[(slots[index] as number) + column] as number);
  }
  const scores = table.columns === 1 ? [0, (sums[0] as number) * scale] : sums.map((sum) => sum * scale);
  const top = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - top));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

function step(table: Table, slots: Int32Array, count: number, column: number, gradient: number, rate: number): void {
  const square = gradient * gradient;
  for (let index = 0; index < count; index++) {
    const at = (slots[index] as number) + column;
    const grown = (table.squares[at] as number) + square;
    table.squares[at] = grown;
    table.weights[at] = (table.weights[at] as number) - (rate * gradient) / Math.sqrt(grown);
  }
}

function learnLine(table: Table, line: Encoded, slots: Int32Array, rate: number, random: () => number): void {
  let count = 0;
  // Feature dropout: no single n-gram may carry a label alone.
  for (const id of line.ids) if (random() < KEPT_SHARE) slots[count++] = (id & table.mask) * table.columns;
  const scale = line.scale / KEPT_SHARE;
  const chances = predict(table, slots, count, scale);
  for (let column = 0; column < table.columns; column++) {
    const label = table.columns === 1 ? 1 : column;
    const error = (chances[label] as number) - (line.target === label ? 1 : 0);
    step(table, slots, count, column, error * line.weight * scale, rate);
  }
}

function learn(table: Table, lines: Encoded[], seed: number): Float32Array {
  const random = seededRandom(seed);
  const slots = new Int32Array(1 << 13);
  for (let epoch = 0; epoch < EPOCHS; epoch++) {
    const rate = LEARNING_RATE * (1 - epoch / EPOCHS);
    for (const line of shuffle(lines, random)) learnLine(table, line, slots, rate, random);
  }
  return table.weights;
}

/** One byte a weight. The few largest are clipped, so that the many small ones keep their steps. */
function quantize(weights: Float32Array): { bytes: Int8Array; scale: number } {
  const sizes = weights
    .filter((weight) => weight !== 0)
    .map(Math.abs)
    .sort();
  const largest = sizes[Math.floor(sizes.length * 0.9995)] ?? 1;
  const scale = largest / 127;
  const bytes = new Int8Array(weights.length);
  weights.forEach((weight, index) => {
    bytes[index] = Math.max(-127, Math.min(127, Math.round(weight / scale)));
  });
  return { bytes, scale };
}

/**
 * Trains a model: logistic regression by AdaGrad with feature dropout, one head for messages without a picture and one
 * for those with. The same lines and seed give the same bytes.
 */
export function fitModel(examples: readonly Example[], seed: number, temperatures: Model['temperatures'] = [1, 1, 1]): Model {
  const lines = examples.map(encode);
  dropSingletons(lines);
  const none = learn(
    createTable(TABLE_BITS.none, 1),
    lines.filter((line) => line.context === CONTEXT.none),
    seed,
  );
  const three = learn(
    createTable(TABLE_BITS.picture, 3),
    lines.filter((line) => line.context !== CONTEXT.none),
    seed,
  );
  // Only differences matter to a softmax: image and vision are kept relative to chat.
  const picture = new Float32Array((three.length / 3) * 2).map((_, index) => {
    const base = (index >> 1) * 3;
    return (three[base + 1 + (index & 1)] as number) - (three[base] as number);
  });
  const first = quantize(none);
  const second = quantize(picture);
  return { none: first.bytes, picture: second.bytes, noneScale: first.scale, pictureScale: second.scale, temperatures };
}
