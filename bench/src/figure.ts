/** One figure of a suite: ours beside a baseline measured in the same minutes. */
export type Figure = {
  suite: string;
  figure: string;
  ours: number;
  baseline: number;
  unit: string;
  /** ours / baseline */
  ratio: number;
  /** The ratio to reach: at least this, or at most where less is better; null = shown for information. */
  reach: number | null;
  met: boolean | null;
};

export type Goal = { atLeast: number } | { atMost: number } | undefined;

const median = (values: number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
};

const round = (value: number): number => Number(value.toPrecision(4));

/** A figure from paired rounds: the ratio is the median of the rounds' own ratios, so that a noisy minute hits both sides. */
export const pairedFigure = (suite: string, figure: string, unit: string, rounds: { ours: number; baseline: number }[], goal: Goal): Figure => {
  const ratio = median(rounds.map(({ ours, baseline }) => ours / baseline));
  const met = goal === undefined ? null : 'atLeast' in goal ? ratio >= goal.atLeast : ratio <= goal.atMost;
  return {
    suite,
    figure,
    ours: round(median(rounds.map(({ ours }) => ours))),
    baseline: round(median(rounds.map(({ baseline }) => baseline))),
    unit,
    ratio: round(ratio),
    reach: goal === undefined ? null : 'atLeast' in goal ? goal.atLeast : goal.atMost,
    met,
  };
};
