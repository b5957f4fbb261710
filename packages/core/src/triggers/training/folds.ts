import { classifyFeatures } from '../classify.ts';
import { CONTEXT, extractFeatures } from '../features.ts';
import type { TriggerLabel } from '../label.ts';
import { type Model, type Probabilities, scoreFeatures } from '../model.ts';
import type { Example } from './examples.ts';
import { fitModel } from './fit.ts';
import { seededRandom, shuffle } from './random.ts';

const FOLDS = 5;

/** A dev line with the answer of a model that was not trained on it. */
export type Judged = { example: Example; context: number; probabilities: Probabilities; given: TriggerLabel; confidence: number };

/** Deals the dev lines to folds evenly within each language and label. */
function assignFolds(dev: readonly Example[], seed: number): number[] {
  const groups = new Map<string, number[]>();
  dev.forEach(({ lang, label }, index) => {
    const name = `${lang} ${label}`;
    groups.set(name, [...(groups.get(name) ?? []), index]);
  });
  const random = seededRandom(seed);
  const folds = new Array<number>(dev.length).fill(0);
  let dealt = 0;
  for (const name of [...groups.keys()].sort()) for (const index of shuffle(groups.get(name) ?? [], random)) folds[index] = dealt++ % FOLDS;
  return folds;
}

/** Five models, each trained on our own lines and four fifths of the dev set, each judging the fifth it has not seen. */
export function judgeByFolds(dev: readonly Example[], own: readonly Example[], seed: number): Judged[] {
  const folds = assignFolds(dev, seed);
  const judged: Judged[] = [];
  for (let fold = 0; fold < FOLDS; fold++) {
    const model = fitModel([...dev.filter((_, index) => folds[index] !== fold), ...own], fold + 1);
    dev.forEach((example, index) => {
      if (folds[index] !== fold) return;
      const features = extractFeatures(example.text, example.hasImage);
      const { label: given, confidence } = classifyFeatures(model, features);
      judged[index] = { example, context: features.context, probabilities: scoreFeatures(model, features), given, confidence };
    });
  }
  return judged;
}

function lossAt(judged: readonly Judged[], temperature: number): number {
  let loss = 0;
  for (const { example, probabilities } of judged) {
    const powers = Object.values(probabilities).map((chance) => chance ** (1 / temperature));
    const right = probabilities[example.label] ** (1 / temperature);
    loss -= Math.log(Math.max(1e-6, right / powers.reduce((sum, power) => sum + power, 0)));
  }
  return loss;
}

function bestTemperature(judged: readonly Judged[]): number {
  let best = 1;
  for (let temperature = 0.3; temperature <= 3; temperature += 0.02) {
    if (lossAt(judged, temperature) < lossAt(judged, best)) best = temperature;
  }
  return best;
}

/** The temperature of each context under which the confidences fit what was right and wrong. */
export function calibrate(judged: readonly Judged[]): Model['temperatures'] {
  const within = (context: number): number => bestTemperature(judged.filter((line) => line.context === context));
  // Lines with an image URL are too few to calibrate alone: they share the head, and so the temperature, of attachments.
  const picture = bestTemperature(judged.filter((line) => line.context !== CONTEXT.none));
  return [within(CONTEXT.none), picture, picture];
}
