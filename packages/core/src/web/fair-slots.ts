type Resume = () => void;

/**
 * Lets `count` steps run at once. Those who wait take turns by owner, so that the many of one owner do not keep the few of another waiting;
 * those of one owner go in their order.
 */
export const createFairSlots = (count: number) => {
  /** In the order of their turns. */
  const waiting = new Map<string, Resume[]>();
  let busy = 0;

  const nextInLine = (): Resume | undefined => {
    const [turn] = waiting;
    if (!turn) return undefined;
    const [owner, [first, ...others]] = turn;
    waiting.delete(owner);
    if (others.length > 0) waiting.set(owner, others);
    return first;
  };

  return async <T>(owner: string, step: () => Promise<T>): Promise<T> => {
    if (busy < count) busy++;
    else await new Promise<void>((resolve) => waiting.set(owner, [...(waiting.get(owner) ?? []), resolve]));
    try {
      return await step();
    } finally {
      // A slot is handed on; only one that nobody waits for is free.
      const resume = nextInLine();
      if (resume) resume();
      else busy--;
    }
  };
};
