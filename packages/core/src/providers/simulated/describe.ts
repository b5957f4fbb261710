import sharp from 'sharp';
import type { PictureBytes } from '../provider.ts';

const COLOURS: readonly (readonly [name: string, red: number, green: number, blue: number])[] = [
  ['black', 0, 0, 0],
  ['white', 255, 255, 255],
  ['grey', 128, 128, 128],
  ['red', 220, 30, 30],
  ['orange', 245, 140, 30],
  ['yellow', 245, 225, 50],
  ['green', 40, 160, 60],
  ['turquoise', 50, 190, 190],
  ['blue', 40, 80, 210],
  ['purple', 130, 50, 170],
  ['pink', 240, 130, 180],
  ['brown', 120, 75, 40],
];

const nearestColour = (red: number, green: number, blue: number): string => {
  let best = 'grey';
  let least = Number.POSITIVE_INFINITY;
  for (const [name, r, g, b] of COLOURS) {
    const distance = (red - r) ** 2 + (green - g) ** 2 + (blue - b) ** 2;
    if (distance < least) [best, least] = [name, distance];
  }
  return best;
};

const formatOf = (mediaType: string): string => (mediaType.split('/')[1] ?? mediaType).replace(/\+.*$/, '').toUpperCase();

/** What can be said of a picture without understanding it: format, size and dominant colour of the actual pixels. */
export const describePicture = async ({ bytes, mediaType }: PictureBytes): Promise<string> => {
  const { width, height } = await sharp(bytes).metadata();
  const { dominant } = await sharp(bytes).resize(64, 64, { fit: 'inside', withoutEnlargement: true }).toColourspace('srgb').removeAlpha().stats();
  const shape = width === height ? 'square' : width > height ? 'landscape' : 'portrait';
  return `It is a ${formatOf(mediaType)} of ${width} × ${height} pixels (${shape}), mostly ${nearestColour(dominant.r, dominant.g, dominant.b)}.`;
};
