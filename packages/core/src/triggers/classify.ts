import { Buffer } from 'node:buffer';
import { inflateRawSync } from 'node:zlib';
import { CONTEXT, extractFeatures, type Features } from './features.ts';
import type { TriggerLabel } from './label.ts';
import { decodeModel, type Model, type Probabilities, scoreFeatures } from './model.ts';
import type { FoundUrl } from './urls.ts';
import { weights } from './weights.ts';

/** What the classifier says of one message; `urls` come along because it had to find them anyway. */
export type Classification = { label: TriggerLabel; confidence: number; source: 'rules' | 'model'; urls: FoundUrl[] };

/** One message: its text, and whether a picture is attached. */
export type Message = { text: string; hasImage: boolean };

let loaded: Model | undefined;

/** Decodes the shipped weights, once per process (about 15 ms; the first `classify` does it too). */
export function loadTriggerModel(): Model {
  loaded ??= decodeModel(inflateRawSync(Buffer.from(weights, 'base64')));
  return loaded;
}

/**
 * What needs no model: a message without a word. A picture, attached or linked, is then to be looked at; without one
 * there is nothing but an empty line, marks or a page to talk about.
 */
function labelByRule(features: Features): TriggerLabel | undefined {
  if (!features.isWordless) return undefined;
  return features.context === CONTEXT.none ? 'chat' : 'vision';
}

function likeliest({ chat, image, vision }: Probabilities): { label: TriggerLabel; confidence: number } {
  if (vision > image && vision > chat) return { label: 'vision', confidence: vision };
  return image > chat ? { label: 'image', confidence: image } : { label: 'chat', confidence: chat };
}

/** Labels one message, given as its features, with a model of the caller's: what `classify` does, for measuring. */
export function classifyFeatures(model: Model, features: Features): Classification {
  const ruled = labelByRule(features);
  if (ruled !== undefined) return { label: ruled, confidence: 1, source: 'rules', urls: features.urls };
  return { ...likeliest(scoreFeatures(model, features)), source: 'model', urls: features.urls };
}

/**
 * Says which job a message asks for (labels: training/GUIDE.md). Pure and deterministic, no network; never throws.
 * The confidence is calibrated on cross-validation: of the answers at 0.8, about eight in ten are right.
 */
export function classify({ text, hasImage }: Message): Classification {
  return classifyFeatures(loadTriggerModel(), extractFeatures(text, hasImage));
}
