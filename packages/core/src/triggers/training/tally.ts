/** How many of how many were right. */
export type Tally = { n: number; accuracy: number };

/** Counts right and wrong answers under one or more names each. */
export class Tallies {
  readonly #counts = new Map<string, { n: number; right: number }>();

  /** Counts one answer under a name. */
  add(name: string, isRight: boolean): void {
    const count = this.#counts.get(name) ?? { n: 0, right: 0 };
    count.n += 1;
    if (isRight) count.right += 1;
    this.#counts.set(name, count);
  }

  /** Every name with its tally, in order of first appearance. */
  toRecord(): Record<string, Tally> {
    return Object.fromEntries([...this.#counts].map(([name, { n, right }]) => [name, { n, accuracy: Number((right / n).toFixed(4)) }]));
  }
}
