/**
 * 5-fold cross-validation over the dev set, our own data always in training: accuracy overall, per language and kind, the
 * confusions and the wrong lines. `cross-validate.ts 3` repeats it with that many ways of dealing the folds.
 */
import { type Example, readDev } from './examples.ts';
import { type Judged, judgeByFolds } from './folds.ts';
import { Tallies, type Tally } from './tally.ts';
import { readTrainingSet } from './training-set.ts';

function formatTallies(title: string, tallies: Record<string, Tally>): string {
  const cells = Object.entries(tallies).map(([name, { n, accuracy }]) => `${name} ${accuracy.toFixed(3)} (${Math.round(n * (1 - accuracy))}/${n})`);
  return `${title}: ${cells.join('  ')}`;
}

function describeWrong({ example, given, confidence }: Judged): string {
  const context = example.hasImage ? ' +image' : '';
  const text = example.text.replaceAll('\n', '\\n').slice(0, 160);
  return `  ${example.lang} ${example.kind}${context}: ${example.label}, said ${given} ${confidence.toFixed(2)} | ${text}`;
}

function report(judged: readonly Judged[]): void {
  const [all, langs, kinds, confusions] = [new Tallies(), new Tallies(), new Tallies(), new Tallies()];
  const wrong = judged.filter(({ example, given }) => {
    const isRight = given === example.label;
    all.add('all', isRight);
    langs.add(example.lang, isRight);
    kinds.add(example.kind, isRight);
    confusions.add(`${example.label}→${given}`, isRight);
    return !isRight;
  });
  console.log(formatTallies('overall (wrong/n)', all.toRecord()));
  console.log(formatTallies('languages', langs.toRecord()));
  console.log(formatTallies('kinds', kinds.toRecord()));
  console.log(
    `confusion: ${Object.entries(confusions.toRecord())
      .map(([pair, { n }]) => `${pair} ${n}`)
      .join('  ')}`,
  );
  console.log(wrong.map(describeWrong).join('\n'));
}

const dev: Example[] = readDev();
const own = readTrainingSet(dev);
console.log(
  `own lines: ${own.handWritten} hand-written, ${own.fromGrammars} from grammars, ${own.composed} composed, ${own.rough} roughened; ` +
    `${own.dropped} dropped as the same or nearly the same as a dev line`,
);
for (let seed = 1; seed <= Number(process.argv[2] ?? 1); seed++) report(judgeByFolds(dev, own.lines, seed));
