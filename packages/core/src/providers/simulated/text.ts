import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

type Box = { width: number; height: number; sizePx: number };
type Rendered = { png: Buffer; width: number; height: number };

const MOST_CHARACTERS = 400;

/** A font of our own (DejaVu: Latin, Greek, Cyrillic, Arabic), so that words show on systems without any; others are the system's. */
const findFont = (): string | undefined => {
  try {
    return fileURLToPath(import.meta.resolve('dejavu-fonts-ttf/ttf/DejaVuSans.ttf'));
  } catch {
    // Not installed: the system's fonts are used.
    return undefined;
  }
};

const FONT_FILE = findFont();

const escapeMarkup = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const shorten = (text: string): string => {
  const characters = [...text.replace(/\p{C}+|\s+/gu, ' ').trim()];
  return characters.length <= MOST_CHARACTERS ? characters.join('') : `${characters.slice(0, MOST_CHARACTERS - 1).join('')}…`;
};

const render = async (text: string, { width, sizePx }: Box): Promise<Rendered> => {
  const { data, info } = await sharp({
    text: {
      text: `<span foreground="white">${escapeMarkup(text)}</span>`,
      font: `DejaVu Sans ${sizePx}`,
      ...(FONT_FILE !== undefined && { fontfile: FONT_FILE }),
      width,
      align: 'centre',
      rgba: true,
      wrap: 'word-char',
      dpi: 72,
    },
  })
    .png({ compressionLevel: 1 })
    .toBuffer({ resolveWithObject: true });
  return { png: data, width: info.width, height: info.height };
};

/** White words on nothing, wrapped at words, at most as large as the box: long texts get smaller letters. Undefined for no words. */
export const renderText = async (text: string, box: Box): Promise<Rendered | undefined> => {
  const words = shorten(text);
  if (words === '') return undefined;
  for (let sizePx = box.sizePx; sizePx >= 4; sizePx = Math.floor(sizePx * 0.75)) {
    const rendered = await render(words, { ...box, sizePx });
    if (rendered.width <= box.width && rendered.height <= box.height) return rendered;
  }
  return undefined;
};
