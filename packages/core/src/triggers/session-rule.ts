import { type Classification, classify } from './classify.ts';
import { detectLanguage } from './language.ts';
import { type PictureWords, SESSION_LEXICON } from './session-lexicon.ts';

/** What a message does with the picture of the turn before it. */
export type PictureUse = 'edit' | 'look';

type Patterns = Record<keyof PictureWords, RegExp>;

const LETTER = '[\\p{L}\\p{M}\\p{N}]';

/** Whole words; `…` lets a word go on. Chinese has no words to be whole. */
const patternOf = (words: string, isSpaced: boolean): RegExp => {
  const any = words
    .split(/\s*·\s*/)
    .map((word) =>
      isSpaced ? `${word.startsWith('…') ? '' : `(?<!${LETTER})`}(?:${word.replaceAll('…', '')})${word.endsWith('…') ? '' : `(?!${LETTER})`}` : word,
    );
  return new RegExp(any.join('|'), 'iu');
};

const patterns = new Map<string, Patterns>();

const patternsOf = (language: string): Patterns | undefined => {
  const known = patterns.get(language);
  const words = SESSION_LEXICON[language];
  if (known || !words) return known;
  const isSpaced = language !== 'zh';
  const made = { points: patternOf(words.points, isSpaced), edits: patternOf(words.edits, isSpaced), creates: patternOf(words.creates, isSpaced) };
  patterns.set(language, made);
  return made;
};

/** A guess below this may be wrong about a short line: English is looked at too. */
const SURE_FROM = 0.75;
/** A longer text has a subject of its own. */
const MAX_CHARS = 1000;
const ASKS = /[?？؟]\s*$|^(?:describe|descri[bv]|décris|beschreib|beschrijf|opisz|опиши|صف|描述)/iu;
/** Languages that short lines are taken for one another. */
const NEIGHBOURS: Readonly<Record<string, string[]>> = {
  pt: ['es'],
  es: ['pt'],
  gl: ['es', 'pt'],
  ca: ['es'],
  bg: ['ru'],
  uk: ['ru'],
  mk: ['ru'],
  sr: ['ru'],
  fa: ['ar'],
  ur: ['ar'],
  mr: ['hi'],
  ne: ['hi'],
};

const wordsFor = (text: string): Patterns[] => {
  const { language, confidence } = detectLanguage(text);
  const languages = confidence >= SURE_FROM && language in SESSION_LEXICON ? [language] : [...new Set([language, 'en', ...(NEIGHBOURS[language] ?? [])])];
  return languages.flatMap((name) => patternsOf(name) ?? []);
};

/**
 * Says whether a message without a picture of its own means the picture that the turn before it made or showed (design: "make it darker" edits
 * it, "what is on it?" looks at it). `plain` is what the message is without that picture. Undefined: it is what it is. Deterministic; the
 * language model must be loaded, else only languages with a script of their own are told apart.
 */
export const pictureUse = (text: string, plain: Pick<Classification, 'label'>): PictureUse | undefined => {
  if (text.length > MAX_CHARS) return undefined;
  const words = wordsFor(text);
  if (words.length === 0) return undefined;
  const says = (what: keyof PictureWords): boolean => words.some((patterns) => patterns[what].test(text));
  const seen = classify({ text, hasImage: true }).label;
  if (plain.label === 'chat' && (seen !== 'image' || (ASKS.test(text) && !says('edits')))) {
    return says('points') && (seen === 'vision' || ASKS.test(text)) ? 'look' : undefined;
  }
  return (says('points') || says('edits')) && !says('creates') ? 'edit' : undefined;
};
