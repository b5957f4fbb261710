import { beforeAll, expect, it } from 'vitest';
import { classify } from './classify.ts';
import { loadLanguageDetector } from './language.ts';
import { SESSION_LEXICON } from './session-lexicon.ts';
import { pictureUse } from './session-rule.ts';

beforeAll(() => loadLanguageDetector());

/** After a turn that made or showed a picture. */
const CASES: [text: string, use: 'edit' | 'look' | undefined][] = [
  ['make it darker', 'edit'],
  ['what is on it?', 'look'],
  ['now with a hat', 'edit'],
  ['add a rainbow in the background', 'edit'],
  ['remove the person on the left', 'edit'],
  ['can you make the sky blue?', 'edit'],
  ['draw a cat', undefined],
  ['a red bicycle on the moon', undefined],
  ['thanks!', undefined],
  ['what is the capital of Peru?', undefined],
  ['who is in the picture?', 'look'],
  ['what colour is the car?', 'look'],
  ['describe this', 'look'],
  ['zoom out', 'edit'],
  ['in black and white please', 'edit'],
  ['again, but at night', 'edit'],
  ['turn it into a watercolor', 'edit'],
  ['draw it as a cartoon', 'edit'],
  ['make a picture of a dog', undefined],
  ['make the background white', 'edit'],
  ['give him a beard', 'edit'],
  ['make a logo for a bakery', undefined],
  ['draw a dragon and make it red', undefined],
  ['what time is it?', undefined],
  ['write a poem about the sea', undefined],
  ['how do I cook rice?', undefined],
  ['what does it show?', 'look'],
  ['a darker version', 'edit'],
  ['generate an image of a castle', undefined],
  ['now draw a dog', undefined],
  ['mach es dunkler', 'edit'],
  ['was ist darauf zu sehen?', 'look'],
  ['zeichne eine Katze', undefined],
  ['füge einen Hut hinzu', 'edit'],
  ['Was ist die Hauptstadt von Peru?', undefined],
  ['wer ist auf dem Bild?', 'look'],
  ['entferne den Hintergrund', 'edit'],
  ['hazlo más oscuro', 'edit'],
  ['¿qué hay en ella?', 'look'],
  ['¿qué se ve en la imagen?', 'look'],
  ['dibuja un perro', undefined],
  ['¿cuál es la capital de Perú?', undefined],
  ['quita el sombrero', 'edit'],
  ['¿qué hora es?', undefined],
  ['rends-la plus sombre', 'edit'],
  ["qu'est-ce qu'on voit dessus ?", 'look'],
  ['dessine un chat', undefined],
  ['ajoute un chapeau', 'edit'],
  ['quelle est la capitale du Pérou ?', undefined],
  ['rendilo più scuro', 'edit'],
  ["cosa c'è nella foto?", 'look'],
  ['disegna un gatto', undefined],
  ['qual è la capitale del Perù?', undefined],
  ['aggiungi un cappello', 'edit'],
  ['deixe mais escuro', 'edit'],
  ['o que há nela?', 'look'],
  ['desenhe um gato', undefined],
  ['qual é a capital do Peru?', undefined],
  ['o que tem na imagem?', 'look'],
  ['maak het donkerder', 'edit'],
  ['wat staat erop?', 'look'],
  ['teken een kat', undefined],
  ['wat is de hoofdstad van Peru?', undefined],
  ['zrób to ciemniejsze', 'edit'],
  ['co na nim jest?', 'look'],
  ['narysuj kota', undefined],
  ['jaka jest stolica Peru?', undefined],
  ['сделай темнее', 'edit'],
  ['что на ней?', 'look'],
  ['нарисуй кошку', undefined],
  ['какая столица Перу?', undefined],
  ['добавь шляпу', 'edit'],
  ['daha koyu yap', 'edit'],
  ['üzerinde ne var?', 'look'],
  ['bir kedi çiz', undefined],
  ["Peru'nun başkenti neresi?", undefined],
  ['resimde ne var?', 'look'],
  ['اجعلها أغمق', 'edit'],
  ['ماذا يوجد فيها؟', 'look'],
  ['ارسم قطة', undefined],
  ['ما هي عاصمة البيرو؟', undefined],
  ['ماذا في الصورة؟', 'look'],
  ['इसे और गहरा करो', 'edit'],
  ['इसमें क्या है?', 'look'],
  ['एक बिल्ली बनाओ', undefined],
  ['पेरू की राजधानी क्या है?', undefined],
  ['把它调暗一点', 'edit'],
  ['上面有什么？', 'look'],
  ['画一只猫', undefined],
  ['秘鲁的首都是什么？', undefined],
  ['图片里有什么？', 'look'],
];

it.each(CASES)('%j → %s', (text, use) => {
  expect(pictureUse(text, classify({ text, hasImage: false }))).toBe(use);
});

it('has words for each of the thirteen languages, and leaves others as they are classified', () => {
  expect(Object.keys(SESSION_LEXICON).toSorted()).toEqual('ar de en es fr hi it nl pl pt ru tr zh'.split(' '));
  expect(pictureUse('これを明るくして', { label: 'chat' })).toBeUndefined();
});

it('is not held up by a long text', () => {
  const began = performance.now();
  pictureUse('it is a long story about this and that '.repeat(25_000), { label: 'chat' });
  pictureUse('bir '.repeat(250_000), { label: 'image' });
  pictureUse('एक '.repeat(250_000), { label: 'image' });
  pictureUse('a'.repeat(1_000_000), { label: 'image' });
  expect(performance.now() - began).toBeLessThan(2000);
});
