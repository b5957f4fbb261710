import { composeMixed, roughenLines } from './augment.ts';
import { contaminationTest } from './contamination.ts';
import { type Example, readHandWritten } from './examples.ts';
import { expandGrammars } from './grammar.ts';

const PER_TEMPLATE = 3;
const COMPOSED = 4000;
const ROUGH_SHARE = 0.3;
const SEED = 7;

/** Our own lines, ready to train on. */
export type TrainingSet = { lines: Example[]; handWritten: number; fromGrammars: number; composed: number; rough: number; dropped: number };

/** Reads and expands everything of our own, without the lines that are or nearly are in the dev set (`dropped`). */
export function readTrainingSet(dev: readonly Example[]): TrainingSet {
  const isContaminated = contaminationTest(dev);
  const written = readHandWritten();
  const hand = written.filter((line) => !isContaminated(line));
  const grammar = expandGrammars(PER_TEMPLATE, SEED).filter((line) => !isContaminated(line));
  const composed = composeMixed(hand, COMPOSED, SEED).filter((line) => !isContaminated(line));
  const rough = roughenLines(hand, ROUGH_SHARE, SEED).filter((line) => !isContaminated(line));
  return {
    lines: [...hand, ...grammar, ...composed, ...rough],
    handWritten: hand.length,
    fromGrammars: grammar.length,
    composed: composed.length,
    rough: rough.length,
    dropped: written.length - hand.length,
  };
}
