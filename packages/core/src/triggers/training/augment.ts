import type { Example } from './examples.ts';
import { seededRandom } from './random.ts';

/** How the second wish of a message is joined to the first, per language. */
const connectors: Record<string, string[]> = {
  en: [' and ', ', then ', '. Also ', ' and also ', '. And ', ', and then ', ' plus ', '. After that '],
  es: [' y ', ', luego ', '. También ', ' y además ', '. Y ', ', y después ', ' y de paso '],
  fr: [' et ', ', puis ', '. Et aussi ', ' et ensuite ', '. Et ', ' et en plus ', ', et après '],
  de: [' und ', ', dann ', '. Außerdem ', ' und danach ', '. Und ', ' und auch noch ', ', anschließend '],
  pt: [' e ', ', depois ', '. E também ', ' e aí ', '. E ', ' e de quebra ', ', e em seguida '],
  it: [' e ', ', poi ', '. E anche ', ' e dopo ', '. E ', ' e già che ci sei ', ', e infine '],
  nl: [' en ', ', dan ', '. En ook ', ' en daarna ', '. En ', ' en meteen ook ', ', en vervolgens '],
  pl: [' i ', ', potem ', '. I jeszcze ', ' a potem ', '. A ', ' oraz ', ', a na koniec '],
  ru: [' и ', ', потом ', '. И ещё ', ' а потом ', '. А ', ' и заодно ', ', а затем '],
  tr: [' ve ', ', sonra ', '. Bir de ', ' ve ardından ', '. Ayrıca ', ' bir de ', ', sonra da '],
  ar: [' و', '، ثم ', '. وكمان ', ' وبعدين ', '. و', ' وأيضا ', '، وبعد ذلك '],
  hi: [' और ', ', फिर ', '। और ', ' aur ', ', phir ', '. aur ', ' साथ में ', ' uske baad '],
  zh: ['，再', '，然后', '。还有，', '，顺便', '。另外', '，并', '，接着'],
};

const unfit = new Set(['negation', 'long', 'code', 'mixed']);

/** A wish that can stand beside another: short, without the "don't" that would reach over to its neighbour. */
function isComposable(example: Example): boolean {
  return !unfit.has(example.kind) && example.text.length <= 120 && !example.text.includes('\n');
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

function composePair(first: Example, second: Example, random: () => number): Example {
  const options = connectors[first.lang] ?? ['. '];
  const connector = options[Math.floor(random() * options.length)] ?? '. ';
  const head = first.text.replace(/[.!。]+$/u, '');
  const joint = random() < 0.25 ? (/[?？؟]$/u.test(head) ? ' ' : '. ') : connector;
  const tail = joint.includes('.') ? second.text : lowerFirst(second.text);
  const label = first.label === 'image' || second.label === 'image' ? 'image' : first.label;
  return { ...first, text: head + joint + tail, label, kind: 'mixed', origin: 'grammar' };
}

/**
 * Makes messages of two wishes out of two lines of the same language and the same attachment: a picture wanted in either
 * half makes the whole an image job (guide, rule 1). Lines with an image URL or with "ignore the picture" are left out.
 */
export function composeMixed(lines: readonly Example[], count: number, seed: number): Example[] {
  const random = seededRandom(seed);
  const pools = new Map<string, Example[]>();
  for (const line of lines) {
    const fits = isComposable(line) && (line.hasImage ? line.label !== 'chat' : line.label !== 'vision');
    if (fits) pools.set(`${line.lang}${line.hasImage}`, [...(pools.get(`${line.lang}${line.hasImage}`) ?? []), line]);
  }
  const keys = [...pools.keys()].sort();
  const composed: Example[] = [];
  for (let round = 0; composed.length < count && keys.length > 0; round++) {
    const pool = pools.get(keys[round % keys.length] as string) as Example[];
    const first = pool[Math.floor(random() * pool.length)] as Example;
    const second = pool[Math.floor(random() * pool.length)] as Example;
    if (first === second) continue;
    // A picture is mostly wished for second; and as many pairs are without one, or "two wishes" would come to mean "picture".
    const isImage = first.label === 'image' || second.label === 'image';
    if (isImage && random() < (first.label === 'image' ? 0.75 : 0.4)) continue;
    composed.push(composePair(first, second, random));
  }
  return composed;
}

/** Misspells one or two words as hurried thumbs do: neighbours swapped, a letter lost or doubled. */
export function misspell(text: string, random: () => number): string {
  const letters = [...text];
  const slips = 1 + Math.floor(random() * Math.min(3, 1 + letters.length / 30));
  for (let slip = 0; slip < slips; slip++) {
    const at = 1 + Math.floor(random() * (letters.length - 2));
    const here = letters[at] ?? '';
    const next = letters[at + 1] ?? '';
    if (!/^\p{L}$/u.test(here) || !/^\p{L}$/u.test(next)) continue;
    const kind = random();
    if (kind < 0.5) [letters[at], letters[at + 1]] = [next, here];
    else if (kind < 0.8) letters[at] = '';
    else letters[at] = here + here;
  }
  return letters.join('');
}

/** Copies of some lines as typed in haste: misspelt, or without punctuation. URLs are left alone. */
export function roughenLines(lines: readonly Example[], share: number, seed: number): Example[] {
  const random = seededRandom(seed);
  const rough: Example[] = [];
  for (const line of lines) {
    if (random() >= share || line.lang === 'zh' || line.kind === 'code' || /https?:|www\./i.test(line.text)) continue;
    const text = random() < 0.6 ? misspell(line.text, random) : line.text.replaceAll(/[.,;:!?¿¡،؟।]+/gu, '');
    if (text !== line.text) rough.push({ ...line, text, origin: 'grammar' });
  }
  return rough;
}
