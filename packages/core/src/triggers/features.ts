import { TOKEN, type Tokens, tokenize } from './tokens.ts';
import { type FoundUrl, findUrls } from './urls.ts';

const MAX_IDS = 8192;
const SPACE = 0x20;
const QUESTION_MARK = 0x3f;
const STEM_UNITS = 4;
const SKIP_TOKENS = 4;

/** Where a message stands: with no picture at hand, with an image URL in its text, or with a picture attached. */
export const CONTEXT = { none: 0, imageUrl: 1, attached: 2 } as const;

/** What the model sees of one message; `ids` is one shared array that the next message overwrites. */
export type Features = {
  /** Hashed feature ids (full 32 bits; the model masks them), the first `count` are valid. */
  ids: Int32Array;
  count: number;
  /** Up to where in `ids` the features of each token go; those after the last belong to the whole message. */
  tokenEnds: Int32Array;
  tokenCount: number;
  context: 0 | 1 | 2;
  urls: FoundUrl[];
  /** True when the message holds no word at all besides URLs. */
  isWordless: boolean;
};

// One salt per family of features: the same text in two families is two features.
const SALT = {
  characters: 0x11,
  word: 0x22,
  pair: 0x33,
  triple: 0x44,
  skip: 0x55,
  stems: 0x66,
  opener: 0x77,
  openerPair: 0x88,
  early: 0x99,
  last: 0xaa,
  lastPair: 0xbb,
  symbol: 0xcc,
  shape: 0xdd,
  openerStem: 0xee,
  first: 0xff,
  context: 0x101,
  openerTriple: 0x112,
  stemSkip: 0x123,
} as const;

const features: Features = { ids: new Int32Array(MAX_IDS), count: 0, tokenEnds: new Int32Array(1024), tokenCount: 0, context: 0, urls: [], isWordless: true };
const words = new Int32Array(1024);
const stems = new Int32Array(1024);

function mix(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b);
  return mixed ^ (mixed >>> 16);
}

function emit(salt: number, value: number): void {
  if (features.count < MAX_IDS) features.ids[features.count++] = mix(Math.imul(salt, 0x9e3779b1) ^ value);
}

function join(left: number, right: number): number {
  return (Math.imul(left, 0x01000193) + right) | 0;
}

/** Character n-grams of one token: 2 to 4 units from a Chinese character on, else 3 or 4 within the word and its two borders. */
function addCharactersAt(tokens: Tokens, token: number): void {
  const { units, unitCount } = tokens;
  const end = tokens.ends[token] as number;
  const start = tokens.starts[token] as number;
  const isHan = tokens.kinds[token] === TOKEN.han;
  const shortest = isHan ? 2 : 3;
  for (let from = isHan || units[start - 1] !== SPACE ? start : start - 1; from < end; from++) {
    const limit = Math.min(unitCount, isHan ? from + 4 : Math.min(from + 4, end + 1));
    let hash = 0x811c9dc5 ^ (units[from] as number);
    for (let index = from + 1; index < limit; index++) {
      hash = Math.imul(hash, 0x01000193) ^ (units[index] as number);
      if (index - from + 1 >= shortest) emit(SALT.characters, hash);
    }
  }
}

function hashTokens(tokens: Tokens): void {
  for (let index = 0; index < tokens.count; index++) {
    const start = tokens.starts[index] as number;
    const end = tokens.ends[index] as number;
    let hash = 0x1234567;
    for (let at = start; at < end; at++) {
      hash = Math.imul(hash, 0x01000193) ^ (tokens.units[at] as number);
      if (at - start === STEM_UNITS - 1) stems[index] = hash;
    }
    words[index] = hash;
    if (end - start < STEM_UNITS) stems[index] = hash;
  }
}

function addWordAt(tokens: Tokens, index: number): void {
  const word = words[index] as number;
  const stem = stems[index] as number;
  emit(SALT.word, word);
  if (index < 4) emit(SALT.early, word);
  if (tokens.opensClause[index] === 1) {
    emit(SALT.opener, word);
    emit(SALT.openerStem, stem);
  }
  if (index + 1 >= tokens.count) return;
  const next = words[index + 1] as number;
  const pair = join(word, next);
  emit(SALT.pair, pair);

  emit(SALT.stems, join(stem, stems[index + 1] as number));
  if (tokens.opensClause[index] === 1) emit(SALT.openerPair, pair);
  if (index + 2 >= tokens.count) return;
  const third = words[index + 2] as number;
  emit(SALT.triple, join(pair, third));
  if (tokens.opensClause[index] === 1) emit(SALT.openerTriple, join(pair, third));
  emit(SALT.skip, join(word, third));
  for (let far = index + 2; far <= index + SKIP_TOKENS && far < tokens.count; far++) {
    emit(SALT.stemSkip, join(stem, stems[far] as number));
  }
}

function addWords(tokens: Tokens): void {
  hashTokens(tokens);
  const { count } = tokens;
  for (let index = 0; index < count; index++) {
    addWordAt(tokens, index);
    addCharactersAt(tokens, index);
    features.tokenEnds[index] = features.count;
  }
  features.tokenCount = count;
  if (count === 0) return;
  emit(SALT.last, words[count - 1] as number);
  if (count > 1) {
    emit(SALT.lastPair, join(words[count - 2] as number, words[count - 1] as number));
    emit(SALT.first, join(words[0] as number, words[1] as number));
  }
}

function lengthBucket(count: number): number {
  if (count <= 6) return count;
  if (count <= 12) return 7 + ((count - 7) >> 1);
  return count <= 40 ? 10 + ((count - 13) >> 3) : 14;
}

/** Marks and measures: which symbols occur, how long the message is, whether it asks, how it opens for its length. */
function addShape(tokens: Tokens): void {
  let asks = 0;
  for (let index = 0; index < tokens.symbolCount; index++) {
    const symbol = tokens.symbols[index] as number;
    if (symbol === QUESTION_MARK) asks = 1;
    emit(SALT.symbol, symbol);
  }
  const bucket = lengthBucket(tokens.count);
  emit(SALT.shape, bucket);
  emit(SALT.shape, 0x100 + asks);
  emit(SALT.shape, 0x200 + Math.min(15, tokens.symbolCount));
  if (tokens.count === 0) return;
  emit(SALT.shape, join(stems[0] as number, 0x300 + asks));
  emit(SALT.shape, join(stems[0] as number, 0x400 + (bucket >> 1)));
}

function hasWord(tokens: Tokens): boolean {
  for (let index = 0; index < tokens.count; index++) if (tokens.kinds[index] !== TOKEN.url) return true;
  return false;
}

/**
 * Turns one message into hashed features; training and classification both go through here. The answer is one shared
 * object, valid until the next call.
 */
export function extractFeatures(text: string, hasImage: boolean): Features {
  const urls = findUrls(text);
  const hasImageUrl = urls.some((url) => url.kind === 'image');
  const tokens = tokenize(text, urls);
  features.count = 0;
  features.urls = urls;
  features.isWordless = !hasWord(tokens);
  features.context = hasImage ? CONTEXT.attached : hasImageUrl ? CONTEXT.imageUrl : CONTEXT.none;
  addWords(tokens);
  addShape(tokens);
  emit(SALT.context, features.context);
  return features;
}
