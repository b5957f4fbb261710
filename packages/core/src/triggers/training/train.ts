/** Trains the shipped weights on everything (our own lines and the dev set) and writes `../weights.ts`. */
import { writeFileSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';
import { encodeModel, MODEL_BYTES } from '../model.ts';
import { readDev } from './examples.ts';
import { fitModel } from './fit.ts';
import { calibrate, judgeByFolds } from './folds.ts';
import { readTrainingSet } from './training-set.ts';

const SEED = 1;

const dev = readDev();
const own = readTrainingSet(dev);
const temperatures = calibrate(judgeByFolds(dev, own.lines, SEED));
const model = fitModel([...dev, ...own.lines], SEED, temperatures);
const base64 = deflateRawSync(encodeModel(model), { level: 9 }).toString('base64');
const head = '/** The trigger model deflated, as base64 (layout: model.ts). Written by training/train.ts; not for hand editing. */';
writeFileSync(new URL('../weights.ts', import.meta.url), `${head}\nexport const weights =\n  '${base64}';\n`);
console.log(
  `trained on ${own.handWritten} hand-written lines, ${own.fromGrammars} from grammars, ${own.composed} composed, ${own.rough} roughened, ${dev.length} dev lines; ` +
    `${own.dropped} of ours dropped as copies of dev lines; ${MODEL_BYTES} bytes, ${base64.length} as written; temperatures ${temperatures.map((value) => value.toFixed(2)).join(' ')}`,
);
