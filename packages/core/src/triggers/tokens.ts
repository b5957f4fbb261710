import { buildCharacterTable, CHARACTER } from './characters.ts';
import type { FoundUrl, UrlKind } from './urls.ts';

const MAX_UNITS = 640;
const HEAD_UNITS = 420;
const SPACE = 0x20;
const APOSTROPHE = 0x27;
const LETTER_T = 0x74;

/** What stands for a URL in the token stream. */
const URL_UNIT: Record<UrlKind, string> = { image: '\ue001', page: '\ue002', document: '\ue003' };

/** What a token is: a run of letters or digits, one Chinese or Japanese character, or a URL by its kind. */
export const TOKEN = { word: 0, han: 1, url: 2 } as const;

/**
 * One message cut into tokens, in arrays that the next message overwrites (the hot path allocates nothing).
 * `units` holds the folded text, words parted and surrounded by one space; `symbols` every punctuation mark in order.
 */
export type Tokens = {
  units: Uint16Array;
  unitCount: number;
  starts: Uint16Array;
  ends: Uint16Array;
  kinds: Uint8Array;
  /** 1 where a token opens the message or follows punctuation: there stand the orders. */
  opensClause: Uint8Array;
  count: number;
  symbols: Uint16Array;
  symbolCount: number;
  /** Length of the message in UTF-16 units with every URL counted as three. */
  length: number;
};

const characters = buildCharacterTable();
const tokens: Tokens = {
  units: new Uint16Array(MAX_UNITS * 2),
  unitCount: 0,
  starts: new Uint16Array(MAX_UNITS),
  ends: new Uint16Array(MAX_UNITS),
  kinds: new Uint8Array(MAX_UNITS),
  opensClause: new Uint8Array(MAX_UNITS),
  count: 0,
  symbols: new Uint16Array(MAX_UNITS),
  symbolCount: 0,
  length: 0,
};
let isClauseOpen = true;

function openToken(kind: number): void {
  tokens.starts[tokens.count] = tokens.unitCount;
  tokens.kinds[tokens.count] = kind;
  tokens.opensClause[tokens.count] = isClauseOpen ? 1 : 0;
  isClauseOpen = false;
}

function closeToken(): void {
  tokens.ends[tokens.count] = tokens.unitCount;
  tokens.count++;
  tokens.units[tokens.unitCount++] = SPACE;
}

function addSymbol(code: number): void {
  tokens.symbols[tokens.symbolCount++] = code;
  isClauseOpen = true;
}

/** "don't" and "dont" are one word; "l'image" and "I'm" are two. */
function joinsWord(text: string, index: number, to: number): boolean {
  if (index + 1 >= to || (text.charCodeAt(index + 1) | SPACE) !== LETTER_T) return false;
  return index + 2 >= to || characters.kinds[text.charCodeAt(index + 2)] !== CHARACTER.letter;
}

function addText(text: string, from: number, to: number): void {
  let isInWord = false;
  for (let index = from; index < to; index++) {
    const code = text.charCodeAt(index);
    const kind = characters.kinds[code];
    const folded = characters.folded[code] as number;
    if (kind === CHARACTER.letter || kind === CHARACTER.digit) {
      if (!isInWord) openToken(TOKEN.word);
      isInWord = true;
      tokens.units[tokens.unitCount++] = folded;
      continue;
    }
    if (kind === CHARACTER.drop || (folded === APOSTROPHE && isInWord && joinsWord(text, index, to))) continue;
    if (isInWord) closeToken();
    isInWord = false;
    if (kind === CHARACTER.han) {
      openToken(TOKEN.han);
      tokens.units[tokens.unitCount++] = folded;
      // No space between Chinese characters: their n-grams run across words.
      tokens.ends[tokens.count++] = tokens.unitCount;
    } else if (kind === CHARACTER.url) {
      openToken(TOKEN.url);
      tokens.units[tokens.unitCount++] = folded;
      closeToken();
    } else if (kind === CHARACTER.symbol) addSymbol(folded);
    else if (code === 0x0a) isClauseOpen = true;
  }
  if (isInWord) closeToken();
}

/** Long messages keep their beginning and their end, where the request stands; the middle is left out. */
function addCapped(text: string): void {
  if (text.length <= MAX_UNITS) {
    addText(text, 0, text.length);
    return;
  }
  addText(text, 0, HEAD_UNITS);
  isClauseOpen = true;
  addText(text, text.length - (MAX_UNITS - HEAD_UNITS), text.length);
}

/** Hosts and paths say little about what is wanted: a URL becomes one private-use unit that names its kind. */
function replaceUrls(text: string, urls: readonly FoundUrl[]): string {
  if (urls.length === 0) return text;
  let replaced = '';
  let from = 0;
  for (const url of urls) {
    replaced += `${text.slice(from, url.start)} ${URL_UNIT[url.kind]} `;
    from = url.end;
  }
  return replaced + text.slice(from);
}

/** Cuts a message into tokens; the result is overwritten by the next call. */
export function tokenize(text: string, urls: readonly FoundUrl[]): Tokens {
  const plain = replaceUrls(text, urls);
  tokens.count = 0;
  tokens.symbolCount = 0;
  tokens.length = plain.length;
  tokens.units[0] = SPACE;
  tokens.unitCount = 1;
  isClauseOpen = true;
  addCapped(plain);
  return tokens;
}
