/** What a URL points at, judged by the ending of its path alone (nothing is fetched). */
export type UrlKind = 'image' | 'page' | 'document';

/** One URL of a text: `text.slice(start, end)` is what was written, `url` the same with a scheme in front. */
export type FoundUrl = { url: string; kind: UrlKind; start: number; end: number };

const imageEnding = /\.(?:png|jpe?g|webp|gif)$/i;
const documentEnding = /\.(?:pdf|docx?|odt|rtf|txt|md|markdown|csv|tsv|xlsx?|ods|pptx?|odp|epub|tex)$/i;
const opening = /https?:\/\/|www\./gi;
const hostStart = /[\p{L}\p{N}[]/u;

// What can never be part of a URL in running text: white space, quotes and brackets that RFC 3986 forbids, CJK characters and
// full-width forms (written straight after a URL without a space), Arabic and typographic punctuation.
const terminator = /[\s\p{C}<>"`{}|\\^\u00ab\u00bb\u060c\u061b\u061f\u0964\u2014\u2018-\u201f\u2026\u3000-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef]/u;
const trailing = /[.,;:!?'*_~¿¡]$/;
const closers: Record<string, string> = { ')': '(', ']': '[' };

/** Where the URL beginning at `start` stops: the first character that cannot belong to it. */
function scanEnd(text: string, start: number, bodyStart: number): number {
  const quote = text[start - 1] === "'" ? "'" : undefined;
  const depth: Record<string, number> = { '(': 0, '[': 0 };
  for (let index = bodyStart; index < text.length; index++) {
    const character = text[index] as string;
    if (character === quote || terminator.test(character)) return index;
    if (character === '(' || character === '[') depth[character] = (depth[character] ?? 0) + 1;
    const opener = closers[character];
    if (opener !== undefined) {
      if (depth[opener] === 0) return index;
      depth[opener] = (depth[opener] ?? 0) - 1;
    }
    if ((character === ',' || character === ';') && isListBreak(text, index + 1)) return index;
  }
  return text.length;
}

/** A comma glued to the next word or the next URL ends this one; a comma inside a path does not. */
function isListBreak(text: string, index: number): boolean {
  return text.charCodeAt(index) > 0x7f || /^(?:https?:\/\/|www\.)/i.test(text.slice(index, index + 8));
}

function trimTrailing(text: string, start: number, end: number): number {
  let trimmed = end;
  while (trimmed > start && trailing.test(text[trimmed - 1] as string)) trimmed--;
  return trimmed;
}

/** Says whether a URL (with or without scheme) leads to an image, a document or a page. */
export function urlKind(url: string): UrlKind {
  const body = url.replace(/^https?:\/\//i, '');
  const stop = body.search(/[?#]/);
  const location = stop < 0 ? body : body.slice(0, stop);
  const slash = location.indexOf('/');
  if (slash < 0) return 'page';
  const path = location.slice(slash);
  if (imageEnding.test(path)) return 'image';
  return documentEnding.test(path) ? 'document' : 'page';
}

/** True when a text cannot hold a URL: the cheap test that spares most messages the scan. */
function hasNoUrl(text: string): boolean {
  return text.indexOf('://') < 0 && text.indexOf('www.') < 0 && !(text.indexOf('WWW.') >= 0 || text.indexOf('Www.') >= 0);
}

function urlAt(text: string, start: number, marker: string): FoundUrl | undefined {
  const bare = marker.toLowerCase() === 'www.';
  if (bare && /[\p{L}\p{N}@./_-]/u.test(text[start - 1] ?? ' ')) return undefined;
  const bodyStart = start + marker.length;
  if (!hostStart.test(text[bodyStart] ?? ' ')) return undefined;
  // A bracket right after the scheme is an IPv6 host: its closing partner must not end the URL.
  const end = trimTrailing(text, bodyStart, scanEnd(text, start, bodyStart));
  const written = text.slice(start, end);
  if (bare && !written.slice(4).includes('.')) return undefined;
  const url = bare ? `http://${written}` : written;
  return { url, kind: urlKind(url), start, end };
}

/**
 * Finds every `http://`, `https://` and `www.` URL of a text in order, without the punctuation, brackets, markdown or
 * CJK text around it. Never throws; costs a few index searches for a text that has none.
 */
export function findUrls(text: string): FoundUrl[] {
  const found: FoundUrl[] = [];
  if (hasNoUrl(text)) return found;
  opening.lastIndex = 0;
  for (let match = opening.exec(text); match !== null; match = opening.exec(text)) {
    const candidate = urlAt(text, match.index, match[0]);
    if (candidate === undefined) continue;
    found.push(candidate);
    opening.lastIndex = candidate.end;
  }
  return found;
}
