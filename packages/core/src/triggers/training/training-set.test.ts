import { expect, it } from 'vitest';
import { composeMixed, misspell, roughenLines } from './augment.ts';
import { contaminationTest } from './contamination.ts';
import { type Example, parseRow, readDev, readHandWritten } from './examples.ts';
import { expandGrammars } from './grammar.ts';
import { seededRandom } from './random.ts';
import { readTrainingSet } from './training-set.ts';

const line = (text: string, label: Example['label'], hasImage = false): Example => ({ lang: 'en', kind: 'explicit', origin: 'hand', text, label, hasImage });

it('reads rows and names the place of a bad one', () => {
  expect(parseRow('chat\tcode\t0\ta\\nb', 'en', 'x:1')).toMatchObject({ label: 'chat', kind: 'code', hasImage: false, text: 'a\nb' });
  expect(() => parseRow('picture\tcode\t0\ta', 'en', 'en.tsv:7')).toThrow('en.tsv:7');
});

it('has lines of its own in all thirteen languages, none of them vision without a picture', () => {
  const lines = readHandWritten();
  expect(new Set(lines.map(({ lang }) => lang)).size).toBe(13);
  const impossible = lines.filter(({ label, hasImage, text }) => label === 'vision' && !hasImage && !/https?:\/\/|www\./i.test(text));
  expect(impossible).toEqual([]);
});

it('calls a line of ours a copy when case, marks or a word are all that differ', () => {
  const isCopy = contaminationTest([line('Draw me a fat orange cat asleep on a radiator', 'image')]);
  expect(isCopy(line('draw me a FAT orange cat, asleep on a radiator!', 'image'))).toBe(true);
  expect(isCopy(line('draw me a fat orange cat asleep on a radiator pls', 'image'))).toBe(true);
  expect(isCopy(line('draw me a thin grey dog awake on a sofa', 'image'))).toBe(false);
});

it('trains on no line that is a copy of a dev line', () => {
  const dev = readDev();
  const { lines } = readTrainingSet(dev);
  expect(lines.length).toBeGreaterThan(10_000);
  expect(lines.filter(contaminationTest(dev))).toEqual([]);
});

it('joins two wishes into one message that is an image job when either is', () => {
  const wishes = [line('how old is the moon', 'chat'), line('draw a fox', 'image'), line('who won', 'chat')];
  const composed = composeMixed(wishes, 50, 1);
  expect(composed).toHaveLength(50);
  for (const { text, label } of composed) expect(label).toBe(text.toLowerCase().includes('draw a fox') ? 'image' : 'chat');
});

it('expands and roughens the same way for the same seed', () => {
  expect(expandGrammars(1, 3)).toEqual(expandGrammars(1, 3));
  expect(misspell('draw me a hedgehog', seededRandom(1))).toBe(misspell('draw me a hedgehog', seededRandom(1)));
  expect(roughenLines([line('see https://example.com/a.png', 'vision')], 1, 1)).toEqual([]);
});
