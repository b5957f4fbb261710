/** What a UTF-16 unit is to the trigger features. */
export const CHARACTER = { drop: 0, space: 1, letter: 2, digit: 3, han: 4, symbol: 5, url: 6 } as const;

/** Folded form and class of every UTF-16 unit; two flat tables, so that normalising a message allocates nothing. */
export type CharacterTable = { folded: Uint16Array; kinds: Uint8Array };

const ZERO = 0x30;

/** Letters whose plain form Unicode decomposition does not give, and spellings that users mix freely. */
const sameAs: Record<string, string> = {
  ł: 'l',
  Ł: 'l',
  ø: 'o',
  Ø: 'o',
  đ: 'd',
  Đ: 'd',
  ß: 's',
  æ: 'a',
  Æ: 'a',
  œ: 'o',
  Œ: 'o',
  ı: 'i',
  İ: 'i',
  ё: 'е',
  Ё: 'е',
  أ: 'ا',
  إ: 'ا',
  آ: 'ا',
  ٱ: 'ا',
  ى: 'ي',
  ی: 'ي',
  ة: 'ه',
  ک: 'ك',
  ؤ: 'و',
  ئ: 'ي',
  '\u0958': 'क',
  '\u0959': 'ख',
  '\u095a': 'ग',
  '\u095b': 'ज',
  '\u095c': 'ड',
  '\u095d': 'ढ',
  '\u095e': 'फ',
  '\u0901': '\u0902',
  '’': "'",
  '‘': "'",
  '`': "'",
  '“': '"',
  '”': '"',
  '„': '"',
  '«': '"',
  '»': '"',
  '–': '-',
  '—': '-',
  '。': '.',
  '、': ',',
  '؟': '?',
  '،': ',',
  '।': '.',
  '…': '.',
};

const ranges: [from: number, to: number, kind: number][] = [
  [0x0080, 0x00bf, CHARACTER.symbol],
  [0x02b0, 0x036f, CHARACTER.drop],
  [0x060c, 0x061f, CHARACTER.symbol],
  [0x0640, 0x0640, CHARACTER.drop],
  [0x064b, 0x065f, CHARACTER.drop],
  [0x066a, 0x066d, CHARACTER.symbol],
  [0x093c, 0x093c, CHARACTER.drop],
  [0x0964, 0x0965, CHARACTER.symbol],
  [0x200b, 0x200f, CHARACTER.drop],
  [0x2010, 0x2bff, CHARACTER.symbol],
  [0x2000, 0x200a, CHARACTER.space],
  [0x2028, 0x202f, CHARACTER.space],
  [0x2060, 0x206f, CHARACTER.drop],
  [0x3000, 0x3000, CHARACTER.space],
  [0x3001, 0x303f, CHARACTER.symbol],
  [0x3040, 0x9fff, CHARACTER.han],
  [0xf900, 0xfaff, CHARACTER.han],
  [0xd800, 0xdfff, CHARACTER.symbol],
  [0xe000, 0xf8ff, CHARACTER.drop],
  [0xe001, 0xe003, CHARACTER.url],
  [0xfe00, 0xfe0f, CHARACTER.drop],
  [0xfe30, 0xfe6f, CHARACTER.symbol],
  [0xfeff, 0xfeff, CHARACTER.drop],
  [0xfff0, 0xffff, CHARACTER.drop],
];

function foldLetters(table: CharacterTable, from: number, to: number): void {
  for (let code = from; code <= to; code++) {
    table.folded[code] = String.fromCharCode(code).toLowerCase().normalize('NFD').charCodeAt(0);
  }
}

function fillAscii(table: CharacterTable): void {
  for (let code = 0; code < 0x80; code++) {
    const character = String.fromCharCode(code);
    if (code <= 0x20 || code === 0x7f) table.kinds[code] = CHARACTER.space;
    else if (/[a-z]/i.test(character)) table.kinds[code] = CHARACTER.letter;
    else table.kinds[code] = CHARACTER.symbol;
    table.folded[code] = character.toLowerCase().charCodeAt(0);
  }
  table.kinds[0xa0] = CHARACTER.space;
}

function fillDigits(table: CharacterTable): void {
  for (const zero of [ZERO, 0x0660, 0x06f0, 0x0966, 0xff10]) {
    table.kinds.fill(CHARACTER.digit, zero, zero + 10);
    table.folded.fill(ZERO, zero, zero + 10);
  }
}

/** Builds the tables (about 2 ms, once per process): lower case, accents and vowel signs off, digits all `0`. */
export function buildCharacterTable(): CharacterTable {
  const table = { folded: new Uint16Array(65536), kinds: new Uint8Array(65536).fill(CHARACTER.letter) };
  for (let code = 0; code < 65536; code++) table.folded[code] = code;
  for (const [from, to, kind] of ranges) table.kinds.fill(kind, from, to + 1);
  foldLetters(table, 0x00c0, 0x024f);
  foldLetters(table, 0x0370, 0x03ff);
  foldLetters(table, 0x1e00, 0x1eff);
  // Cyrillic keeps its й: only the case is folded.
  for (let code = 0x0400; code <= 0x052f; code++) table.folded[code] = String.fromCharCode(code).toLowerCase().charCodeAt(0);
  fillAscii(table);
  for (let code = 0xff01; code <= 0xff5e; code++) {
    table.folded[code] = table.folded[code - 0xfee0] as number;
    table.kinds[code] = table.kinds[code - 0xfee0] as number;
  }
  fillDigits(table);
  for (const [from, to] of Object.entries(sameAs)) table.folded[from.charCodeAt(0)] = to.charCodeAt(0);
  return table;
}
