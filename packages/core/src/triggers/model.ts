import { CONTEXT, type Features } from './features.ts';

/** Bits of a feature hash that choose a weight of the head without a picture, and of the head with one. */
export const TABLE_BITS = { none: 20, picture: 18 } as const;

const NONE_MASK = (1 << TABLE_BITS.none) - 1;
const PICTURE_MASK = (1 << TABLE_BITS.picture) - 1;
const HEADER_FLOATS = 5;
const HEADER_BYTES = HEADER_FLOATS * 4;

/** Size of the binary weights: a header of five floats, then one byte a weight. */
export const MODEL_BYTES = HEADER_BYTES + (1 << TABLE_BITS.none) + 2 * (1 << TABLE_BITS.picture);

/** How far each label may be believed, adding up to 1. */
export type Probabilities = { chat: number; image: number; vision: number };

/**
 * The trigger model: two linear heads over the same hashed features. Without a picture only image against chat is open
 * (`none`, one weight a feature); with one, image and vision each stand against chat (`picture`, two weights a feature).
 */
export type Model = {
  none: Int8Array;
  picture: Int8Array;
  noneScale: number;
  pictureScale: number;
  /** Divides the scores of each context, so that a confidence of 0.9 is right nine times in ten. */
  temperatures: [none: number, imageUrl: number, attached: number];
};

/** Reads the binary form of a model. Throws when its length is not `MODEL_BYTES`. */
export function decodeModel(bytes: Uint8Array): Model {
  if (bytes.byteLength !== MODEL_BYTES) throw new Error(`trigger weights are ${bytes.byteLength} bytes, not ${MODEL_BYTES}`);
  const header = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  const float = (index: number): number => header.getFloat32(index * 4, true);
  const noneStart = bytes.byteOffset + HEADER_BYTES;
  return {
    none: new Int8Array(bytes.buffer, noneStart, NONE_MASK + 1),
    picture: new Int8Array(bytes.buffer, noneStart + NONE_MASK + 1, 2 * (PICTURE_MASK + 1)),
    noneScale: float(0),
    pictureScale: float(1),
    temperatures: [float(2), float(3), float(4)],
  };
}

/** Writes the binary form of a model, the opposite of `decodeModel`. */
export function encodeModel(model: Model): Uint8Array {
  const bytes = new Uint8Array(MODEL_BYTES);
  const header = new DataView(bytes.buffer);
  [model.noneScale, model.pictureScale, ...model.temperatures].forEach((value, index) => {
    header.setFloat32(index * 4, value, true);
  });
  bytes.set(new Uint8Array(model.none.buffer, model.none.byteOffset, model.none.length), HEADER_BYTES);
  bytes.set(new Uint8Array(model.picture.buffer, model.picture.byteOffset, model.picture.length), HEADER_BYTES + model.none.length);
  return bytes;
}

function scoreWithoutPicture(model: Model, features: Features): Probabilities {
  const { ids, count } = features;
  let sum = 0;
  for (let index = 0; index < count; index++) sum += model.none[(ids[index] as number) & NONE_MASK] as number;
  const score = (sum * model.noneScale) / Math.sqrt(count) / model.temperatures[CONTEXT.none];
  const image = 1 / (1 + Math.exp(-score));
  return { chat: 1 - image, image, vision: 0 };
}

function scoreWithPicture(model: Model, features: Features): Probabilities {
  const { ids, count } = features;
  let imageSum = 0;
  let visionSum = 0;
  for (let index = 0; index < count; index++) {
    const at = ((ids[index] as number) & PICTURE_MASK) * 2;
    imageSum += model.picture[at] as number;
    visionSum += model.picture[at + 1] as number;
  }
  const factor = model.pictureScale / Math.sqrt(count) / model.temperatures[features.context];
  const top = Math.max(0, imageSum * factor, visionSum * factor);
  const chat = Math.exp(-top);
  const image = Math.exp(imageSum * factor - top);
  const vision = Math.exp(visionSum * factor - top);
  const total = chat + image + vision;
  return { chat: chat / total, image: image / total, vision: vision / total };
}

/** How likely each label is for one message. */
export function scoreFeatures(model: Model, features: Features): Probabilities {
  return features.context === CONTEXT.none ? scoreWithoutPicture(model, features) : scoreWithPicture(model, features);
}
