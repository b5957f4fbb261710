import { Readability } from '@mozilla/readability';
import { parseHTML } from 'linkedom';
import { decodeText } from './decode-text.ts';
import { documentToText } from './document-text.ts';
import type { DomDocument, DomElement } from './dom.ts';
import type { Extract, ExtractLimits } from './extractor.ts';
import { boundedSource } from './page-source.ts';
import { tidyText } from './tidy-text.ts';
import { unreadable } from './unreadable.ts';

/** Readability looks at every element several times, and at every ancestor of each: beyond these its time is not bounded well. */
const MAX_ELEMENTS = 40_000;
const MAX_DEPTH = 150;
/** An article that is less than this part of what the page shows is not what the page is about. */
const MIN_ARTICLE_SHARE = 0.25;
/** A page of a video that has less text than this has none to speak of. */
const MIN_VIDEO_PAGE_CHARS = 1500;
const MAX_TITLE_CHARS = 300;

/** What is never read out: not part of the text, or not shown. */
const UNREAD =
  'title,script,style,noscript,template,svg,math annotation,iframe,object,embed,canvas,video,audio,head,dialog:not([open]),[hidden],[aria-hidden="true"],[style*="display:none"],[style*="display: none"],[style*="visibility:hidden"],[style*="visibility: hidden"]';
/** The head stays: Readability takes the title from it. */
const UNREAD_IN_BODY = UNREAD.split(',')
  .filter((selector) => selector !== 'head')
  .map((selector) => `body ${selector}`)
  .join(',');
const BESIDE_THE_TEXT = 'nav,header nav,footer,aside,form,button,select,[role="navigation"],[role="banner"],[role="contentinfo"]';

/** Whether Readability can be asked. Walks without recursion. */
const isSimple = (document: DomDocument): boolean => {
  let depth = 0;
  let count = 0;
  let node: DomElement | null = document.documentElement;
  while (node) {
    if (++count > MAX_ELEMENTS || depth > MAX_DEPTH) return false;
    if (node.firstElementChild) {
      node = node.firstElementChild;
      depth++;
      continue;
    }
    while (node && !node.nextElementSibling) {
      node = node.parentElement;
      depth--;
    }
    node = node?.nextElementSibling ?? null;
  }
  return true;
};

const removeAll = (document: DomDocument, selector: string): void => {
  for (const element of [...document.querySelectorAll(selector)]) element.remove();
};

const metaOf = (document: DomDocument, name: string): string =>
  document.querySelector(`meta[property="${name}"],meta[name="${name}"]`)?.getAttribute('content') ?? '';

/** The tags of head and body may be left out of a page; the parser here does not put them there, as browsers do. */
const withBody = (source: string): string => {
  if (!/<html[\s>]/i.test(source)) return `<!doctype html><html><body>${source}</body></html>`;
  if (/<body[\s>/]/i.test(source)) return source;
  const before = /<\/head\s*>/i.exec(source) ?? /<html(?:\s[^<>]*)?>/i.exec(source);
  if (!before) return source;
  const at = before.index + before[0].length;
  return `${source.slice(0, at)}<body>${source.slice(at)}`;
};

const parse = (source: string): DomDocument => parseHTML(withBody(source)).document;

const readArticle = (source: string): { text: string; title: string } | undefined => {
  const document = parse(source);
  removeAll(document, UNREAD_IN_BODY);
  // Its type is that of a browser's document, which is not known here.
  const article = new Readability(document as never, { charThreshold: 200, maxElemsToParse: MAX_ELEMENTS }).parse();
  if (!article?.content) return undefined;
  const { body } = parse(article.content);
  return body ? { text: documentToText(body), title: article.title ?? '' } : undefined;
};

/** Everything a page shows, with or without what stands beside its text. */
const readWhole = (document: DomDocument, body: DomElement): string => {
  removeAll(document, UNREAD);
  const all = documentToText(body);
  removeAll(document, BESIDE_THE_TEXT);
  const inner = documentToText(body);
  return inner.length > 0 ? inner : all;
};

/**
 * The readable text of a page: the article as Readability finds it, else everything the page shows, as Markdown.
 * @throws AppError `document_unreadable` when there is no text, or the page is that of a video.
 */
export const extractHtml = (bytes: Buffer, charset: string | undefined, limits: ExtractLimits): Extract => {
  const { text: decoded, isDamaged } = decodeText(bytes, { charset, isHtml: true });
  if (isDamaged) throw unreadable('broken', 'The page is in no encoding that can be read.');
  const { source, isCut: isSourceCut } = boundedSource(decoded);
  const document = parse(source);
  const { body } = document;
  if (!body) throw unreadable('empty', 'The page has no text.');
  const isVideo = metaOf(document, 'og:type').toLowerCase().startsWith('video');
  const named = metaOf(document, 'og:title') || document.querySelector('title')?.textContent || '';
  const article = isSimple(document) ? readArticle(source) : undefined;
  const whole = readWhole(document, body);
  const text = article && article.text.length >= whole.length * MIN_ARTICLE_SHARE ? article.text : whole;
  const title = tidyText(article?.title || named)
    .replace(/\s+/g, ' ')
    .slice(0, MAX_TITLE_CHARS);
  if (isVideo && text.length < MIN_VIDEO_PAGE_CHARS) throw unreadable('is_video', 'It is the page of a video, which cannot be read.');
  if (text === '') throw unreadable('empty', 'The page has no text; perhaps a script would put it there.');
  const isCut = isSourceCut || text.length > limits.maxChars;
  return { title, text: text.slice(0, limits.maxChars), isTruncated: isCut };
};
