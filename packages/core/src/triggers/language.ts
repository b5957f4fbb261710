import { findUrls } from './urls.ts';

/** A language as ISO 639-1 code (`und`: the text has no letters to judge by) and how sure that is. */
export type DetectedLanguage = { language: string; confidence: number };

const UNKNOWN: DetectedLanguage = { language: 'und', confidence: 0 };
const MAX_UNITS = 400;
const CANDIDATES = 12;
const LABEL_PREFIX = '__label__'.length;

// fastText knows 176 languages, most of them never seen here and each a chance to misread a short line: only these count,
// and the thirteen that the trigger classifier reads count more than the rest.
const expected = new Set('en es fr de pt it nl pl ru tr ar hi zh'.split(' '));
const plausible = new Set(
  'ja ko vi th id ms uk bg sr mk hr sl cs sk hu ro el sv da no fi et lv lt he fa ur bn mr gu ta te kn ml pa ne ca eu gl sw tl az kk ka hy'.split(' '),
);
const OTHERS_SHARE = 0.35;

const scripts: [pattern: RegExp, language: string][] = [
  [/\p{Script=Hiragana}|\p{Script=Katakana}/u, 'ja'],
  [/\p{Script=Hangul}/u, 'ko'],
  [/\p{Script=Thai}/u, 'th'],
  [/\p{Script=Greek}/u, 'el'],
  [/\p{Script=Hebrew}/u, 'he'],
];

// Words of romanised Hindi that no other language here spells so; fastText has never seen Hindi in Latin letters.
const romanHindi = new Set(
  (
    'hai hain kya kyu kyun kyon mujhe mera meri mere tumhara aap aapka kaise kaisa kaisi kahan kahaan nahi nahin banao bana banado karo karna kar karke raha rahe rahi ' +
    'wala wali wale aur ek ye yeh woh usko isko iska iski ismein isme mein ko ka ki ke se ho hoga hota tha thi batao bata bolo dikhao dikha likho likh chahiye bhai yaar acha accha thoda zyada ' +
    'dost kitna kitne kitni kaun kab phir bhi bahut sabse liye matlab samjhao sirf abhi apna apne apni padho dekho dekh hata tasveer photo'
  ).split(' '),
);
const ambiguousHindi = new Set([
  'ek',
  'ko',
  'ka',
  'ki',
  'ke',
  'se',
  'ho',
  'kar',
  'tha',
  'mere',
  'aur',
  'photo',
  'kab',
  'sirf',
  'bana',
  'mein',
  'raha',
  'likh',
  'ye',
  'bata',
  'dost',
  'yaar',
  'hota',
  'bolo',
]);

/** The part of the fastText model we call; `found` lives in WebAssembly memory and must be deleted. */
type Predictor = {
  predict(text: string, count: number, threshold: number): { size(): number; get(index: number): [chance: number, label: string]; delete(): void };
};

let model: Predictor | undefined;
let loading: Promise<void> | undefined;

async function loadModel(): Promise<void> {
  const { getLIDModel } = await import('fasttext.wasm.js');
  const loader = await getLIDModel();
  model = await loader.load();
}

/** Loads the fastText model (about 0.15 s), once however often it is called. Until then only scripts are told apart. */
export function loadLanguageDetector(): Promise<void> {
  loading ??= loadModel();
  return loading;
}

function withoutUrls(text: string): string {
  let bare = text.slice(0, MAX_UNITS);
  if (!bare.includes('://') && !bare.includes('www.')) return bare;
  for (const { start, end } of findUrls(bare).reverse()) bare = `${bare.slice(0, start)} ${bare.slice(end)}`;
  return bare;
}

function share(text: string, pattern: RegExp, letters: number): number {
  return (text.match(pattern)?.length ?? 0) / letters;
}

/** Scripts that name their language, or all but name it. */
function detectByScript(text: string, letters: number): DetectedLanguage | undefined {
  for (const [pattern, language] of scripts) if (pattern.test(text)) return { language, confidence: 0.98 };
  if (share(text, /\p{Script=Han}/gu, letters) > 0.2) return { language: 'zh', confidence: 0.97 };
  if (share(text, /\p{Script=Devanagari}/gu, letters) > 0.3) return { language: 'hi', confidence: 0.95 };
  if (share(text, /\p{Script=Arabic}/gu, letters) > 0.5 && !/[پچژگٹڈڑںےکی]/u.test(text)) return { language: 'ar', confidence: 0.95 };
  return undefined;
}

function detectRomanHindi(text: string): DetectedLanguage | undefined {
  const words = text.toLowerCase().match(/[a-z]+/g) ?? [];
  const known = words.filter((word) => romanHindi.has(word));
  const certain = known.filter((word) => !ambiguousHindi.has(word)).length;
  const portion = known.length / words.length;
  return certain > 0 && (portion >= 0.3 || known.length >= 3) ? { language: 'hi', confidence: Math.min(0.95, 0.5 + portion / 2) } : undefined;
}

function detectByModel(text: string): DetectedLanguage {
  if (model === undefined) return UNKNOWN;
  const spaced = text.toLowerCase().replaceAll(/\s+/gu, ' ');
  // The best of all languages is nearly always one of the thirteen, and then nothing can outweigh it: each further candidate
  // costs a crossing from WebAssembly, twelve of them more than the prediction itself.
  const first = weigh(model, spaced, 1);
  return expected.has(first.language) ? first : weigh(model, spaced, CANDIDATES);
}

/** The candidate with the most weight among the `count` most probable languages. */
function weigh(predictor: Predictor, text: string, count: number): DetectedLanguage {
  const found = predictor.predict(text, count, 0);
  let best = UNKNOWN;
  let bestWeight = 0;
  for (let index = 0; index < found.size(); index++) {
    const [chance, label] = found.get(index);
    const language = label.slice(LABEL_PREFIX);
    const weight = expected.has(language) ? chance : plausible.has(language) ? chance * OTHERS_SHARE : 0;
    if (weight <= bestWeight) continue;
    bestWeight = weight;
    best = { language, confidence: Math.min(1, chance) };
  }
  found.delete();
  return best;
}

// Most messages: no letters but a to z, so that no script needs to be looked for.
const asciiOnly = /^\p{ASCII}*$/u;
const asciiLetter = /[a-z]/i;

/** Says in which language a text is written; `und` when it has no letters (or the model is not loaded and scripts do not tell). */
export function detectLanguage(text: string): DetectedLanguage {
  const bare = withoutUrls(text);
  if (asciiOnly.test(bare)) return asciiLetter.test(bare) ? (detectRomanHindi(bare) ?? detectByModel(bare)) : UNKNOWN;
  const letters = bare.match(/\p{L}/gu)?.length ?? 0;
  if (letters === 0) return UNKNOWN;
  return detectByScript(bare, letters) ?? (/\p{Script=Latin}/u.test(bare) ? detectRomanHindi(bare) : undefined) ?? detectByModel(bare);
}
