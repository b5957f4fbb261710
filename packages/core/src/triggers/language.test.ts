import { beforeAll, expect, it } from 'vitest';
import { detectLanguage, loadLanguageDetector } from './language.ts';
import { readDev } from './training/examples.ts';

it('tells scripts apart before the model is loaded', () => {
  expect(detectLanguage('这是什么').language).toBe('zh');
});

beforeAll(loadLanguageDetector);

it.each([
  ['Can you help me with my homework?', 'en'],
  ['dibuja un zorro en la nieve', 'es'],
  ['bonjour, ça va ?', 'fr'],
  ['schreib mir einen Prompt für Midjourney', 'de'],
  ['quero um desenho de um cachorro', 'pt'],
  ['disegnami un gatto che dorme', 'it'],
  ['teken een kat op een fiets', 'nl'],
  ['jaka jest stolica Peru?', 'pl'],
  ['нарисуй кота в шляпе', 'ru'],
  ['bana bir kedi çizer misin', 'tr'],
  ['ما هي عاصمة بيرو؟', 'ar'],
  ['यह क्या है', 'hi'],
  ['mujhe ek sher ki photo bana do', 'hi'],
  ['给我画一只猫', 'zh'],
  ['これは何ですか', 'ja'],
  ['이게 뭐야', 'ko'],
])('reads %j as %s', (text, language) => {
  const found = detectLanguage(text);
  expect(found.language).toBe(language);
  expect(found.confidence).toBeGreaterThan(0);
  expect(found.confidence).toBeLessThanOrEqual(1);
});

it.each(['', '  \n', '???', '12345', '🙂🙂', 'https://example.com/dibuja.png'])('says und where no letters speak: %j', (text) => {
  expect(detectLanguage(text)).toEqual({ language: 'und', confidence: 0 });
});

it('is right on at least 94 % of the dev lines that have letters', () => {
  const judged = readDev()
    .map(({ text, lang }) => ({ lang, language: detectLanguage(text).language }))
    .filter(({ language }) => language !== 'und');
  const right = judged.filter(({ lang, language }) => lang === language).length;
  expect(right / judged.length).toBeGreaterThan(0.94);
});
