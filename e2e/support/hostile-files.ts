import { constants, deflateRawSync } from 'node:zlib';

type PdfObject = string | Buffer;

/** A PDF of these objects, numbered from 1; the first is its catalogue. */
export const pdfOf = (objects: PdfObject[], trailer = ''): Buffer => {
  const parts: Buffer[] = [Buffer.from('%PDF-1.7\n%\xe2\xe3\xcf\xd3\n', 'latin1')];
  const places: number[] = [];
  let at = parts[0]?.length ?? 0;
  const add = (part: Buffer): void => {
    parts.push(part);
    at += part.length;
  };
  for (const [index, object] of objects.entries()) {
    places.push(at);
    add(Buffer.concat([Buffer.from(`${index + 1} 0 obj\n`), Buffer.from(object), Buffer.from('\nendobj\n')]));
  }
  const lines = places.map((place) => `${String(place).padStart(10, '0')} 00000 n \n`).join('');
  const size = objects.length + 1;
  add(Buffer.from(`xref\n0 ${size}\n0000000000 65535 f \n${lines}trailer\n<< /Size ${size} /Root 1 0 R ${trailer} >>\nstartxref\n${at}\n%%EOF\n`));
  return Buffer.concat(parts);
};

const streamOf = (bytes: Buffer | string, entries = ''): Buffer => {
  const content = Buffer.from(bytes);
  return Buffer.concat([Buffer.from(`<< /Length ${content.length} ${entries} >>\nstream\n`), content, Buffer.from('\nendstream')]);
};

const hex = (text: string): string => Buffer.from(text, 'utf16le').swap16().toString('hex');

/** A font that is not embedded, whose codes are UTF-16: what a reader needs to know of the letters is in `ToUnicode`. */
const unicodeMap = (text: string): string => {
  const units = [...new Set(Array.from({ length: text.length }, (_, at) => text.charAt(at)))].map(hex);
  const groups = Array.from({ length: Math.ceil(units.length / 100) }, (_, at) => units.slice(at * 100, at * 100 + 100));
  const tables = groups.map((group) => `${group.length} beginbfchar\n${group.map((unit) => `<${unit}> <${unit}>`).join('\n')}\nendbfchar`);
  return `/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CMapName /U def\n/CMapType 2 def\n1 begincodespacerange\n<0000> <ffff>\nendcodespacerange\n${tables.join('\n')}\nendcmap\nend\nend`;
};

/** A PDF that shows these lines, in any letters of the first plane. Right-to-left lines are given as PDFs hold them: in the order they are seen. */
export const unicodePdf = (lines: string[]): Buffer =>
  pdfOf([
    '<< /Type /Catalog /Pages 2 0 R >>',
    '<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
    '<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>',
    streamOf(lines.map((line, at) => `BT /F 12 Tf 40 ${760 - 20 * at} Td <${hex(line)}> Tj ET`).join('\n')),
    '<< /Type /Font /Subtype /Type0 /BaseFont /Any /Encoding /Identity-H /DescendantFonts [6 0 R] /ToUnicode 7 0 R >>',
    '<< /Type /Font /Subtype /CIDFontType2 /BaseFont /Any /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /DW 500 /FontDescriptor 8 0 R >>',
    streamOf(unicodeMap(lines.join(''))),
    '<< /Type /FontDescriptor /FontName /Any /Flags 4 /FontBBox [0 0 500 700] /ItalicAngle 0 /Ascent 700 /Descent -200 /CapHeight 700 /StemV 80 >>',
  ]);

/** A PDF of one page with this as its content. */
export const contentPdf = (content: Buffer | string, entries = ''): Buffer =>
  pdfOf([
    '<< /Type /Catalog /Pages 2 0 R >>',
    '<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
    '<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>',
    streamOf(content, entries),
    '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
  ]);

const MEGABYTE = 1_048_576;
const BLOCK_MEGABYTES = 16;

/** Raw deflate of so many times `piece`, made from one block that is repeated: it costs what one block costs. */
const deflatedBomb = (megabytes: number, piece: string): Buffer => {
  const block = deflateRawSync(Buffer.alloc(BLOCK_MEGABYTES * MEGABYTE, piece), { finishFlush: constants.Z_FULL_FLUSH, level: 9 });
  const end = Buffer.from([3, 0]);
  return Buffer.concat([...Array.from({ length: megabytes / BLOCK_MEGABYTES }, () => block), end]);
};

/** What a PDF's FlateDecode unpacks to so many megabytes. */
export const zlibBomb = (megabytes: number, piece: string): Buffer =>
  Buffer.concat([Buffer.from([0x78, 0xda]), deflatedBomb(megabytes, piece), Buffer.alloc(4)]);

/** What `content-encoding: gzip` unpacks to so many megabytes; its end is never reached by who stops in time. */
export const gzipBomb = (megabytes: number, piece: string): Buffer =>
  Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), deflatedBomb(megabytes, piece), Buffer.alloc(8)]);

/** Numbers that are the same in every run. */
export const seeded = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
};

/** The bytes with some of them overwritten, cut out or doubled. */
export const damaged = (bytes: Buffer, seed: number): Buffer => {
  const random = seeded(seed);
  const copy = Buffer.from(bytes);
  for (let hit = 0; hit < 1 + seed * 3; hit++) copy[Math.floor(random() * copy.length)] = Math.floor(random() * 256);
  const cut = Math.floor(random() * copy.length);
  if (seed % 3 === 1) return copy.subarray(0, cut);
  return seed % 3 === 2 ? Buffer.concat([copy.subarray(0, cut), copy.subarray(cut + 40)]) : copy;
};

/** The bytes of a text in an encoding that TextDecoder knows: single bytes and pairs. */
export const encodeAs = (text: string, encoding: string): Buffer => {
  const decoder = new TextDecoder(encoding);
  const table = new Map<string, number[]>();
  for (let byte = 0; byte < 256; byte++) table.set(decoder.decode(Uint8Array.of(byte)), [byte]);
  if ([...text].some((character) => !table.has(character))) {
    for (let first = 0x81; first < 0xff; first++) {
      for (let second = 0x40; second < 0xff; second++) {
        const character = decoder.decode(Uint8Array.of(first, second));
        if ([...character].length === 1 && !table.has(character)) table.set(character, [first, second]);
      }
    }
  }
  return Buffer.from(
    [...text].flatMap((character) => {
      const bytes = table.get(character);
      if (!bytes) throw new Error(`${encoding} has no ${character}`);
      return bytes;
    }),
  );
};
