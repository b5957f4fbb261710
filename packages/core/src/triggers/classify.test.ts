import { Buffer } from 'node:buffer';
import { inflateRawSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { classify } from './classify.ts';
import { extractFeatures } from './features.ts';
import { decodeModel, encodeModel, MODEL_BYTES } from './model.ts';
import { readDev } from './training/examples.ts';
import { weights } from './weights.ts';

const labelOf = (text: string, hasImage = false): string => classify({ text, hasImage }).label;

it.each([
  ['what is the capital of Peru?', false, 'chat'],
  ['dibuja un zorro en la nieve', false, 'image'],
  ['http://127.0.0.1:3000/photo.JPG?x=1 what is this?', false, 'vision'],
  ['What does this sign say?', true, 'vision'],
  ['schreib mir einen Prompt für Midjourney', false, 'chat'],
  ['draw a conclusion from this data', false, 'chat'],
])('labels %j (attached: %s) as %s', (text, hasImage, label) => {
  expect(labelOf(text, hasImage)).toBe(label);
});

it.each([
  ['', false, 'chat'],
  ['?!', false, 'chat'],
  ['https://example.com/report.pdf', false, 'chat'],
  ['', true, 'vision'],
  ['?', true, 'vision'],
  ['https://example.com/cat.PNG?x=1', false, 'vision'],
  ['![](https://example.com/cat.png)', false, 'vision'],
])('needs no model for a message without a word: %j (attached: %s) is %s', (text, hasImage, label) => {
  expect(classify({ text, hasImage })).toMatchObject({ label, confidence: 1, source: 'rules' });
});

it('never answers vision when there is nothing to look at', () => {
  for (const { text, label } of readDev().filter(({ hasImage }) => hasImage)) {
    const found = classify({ text, hasImage: false });
    if (!found.urls.some(({ kind }) => kind === 'image')) expect(found.label, `${label}: ${text}`).not.toBe('vision');
  }
});

it('lets the attachment decide between making and reading a picture', () => {
  expect(labelOf('remove the background', true)).toBe('image');
  expect(labelOf('how many people are in it', true)).toBe('vision');
  expect(labelOf('ignore the photo, that was an accident. how do I boil an egg?', true)).toBe('chat');
});

it('reads full-width, decomposed and upper-case letters as the plain ones', () => {
  const confidence = (text: string): number => classify({ text, hasImage: false }).confidence;
  expect(confidence('DRAW A FOX')).toBe(confidence('draw a fox'));
  expect(confidence('ｄｒａｗ ａ ｆｏｘ')).toBe(confidence('draw a fox'));
  expect(confidence('dibújame un león'.normalize('NFD'))).toBe(confidence('dibújame un león'));
});

it('gives the same answer every time, whatever was asked before', () => {
  const first = readDev().map(({ text, hasImage }) => classify({ text, hasImage }));
  const again = readDev()
    .reverse()
    .map(({ text, hasImage }) => classify({ text, hasImage }));
  expect(again.reverse()).toEqual(first);
});

it.each(['x'.repeat(200_000), '画'.repeat(100_000), '\ud800', '\u0000', '((((', 'a '.repeat(50_000), '👩‍👩‍👧'.repeat(5_000)])('survives any text', (text) => {
  const { confidence } = classify({ text, hasImage: true });
  expect(confidence).toBeGreaterThan(0);
  expect(confidence).toBeLessThanOrEqual(1);
});

it('keeps the features of the longest message within their buffer', () => {
  const { count, ids } = extractFeatures('ab '.repeat(100_000), false);
  expect(count).toBeLessThan(ids.length);
});

it('ships weights of at most 2 MB that survive a round trip', () => {
  const bytes = inflateRawSync(Buffer.from(weights, 'base64'));
  expect(bytes.length).toBe(MODEL_BYTES);
  expect(bytes.length).toBeLessThanOrEqual(2_000_000);
  expect(weights.length).toBeLessThanOrEqual(2_000_000);
  expect(Buffer.from(encodeModel(decodeModel(bytes))).equals(bytes)).toBe(true);
  expect(() => decodeModel(bytes.subarray(1))).toThrow('trigger weights');
});

it('still knows the lines it was trained on', () => {
  // A floor against shipping weights that do not fit the code; how good the model is, cross-validate.ts says.
  const dev = readDev();
  const right = dev.filter(({ text, hasImage, label }) => labelOf(text, hasImage) === label).length;
  expect(right / dev.length).toBeGreaterThan(0.97);
});
