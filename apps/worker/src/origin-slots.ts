/** How many deliveries this process makes at once to each receiver. */
export type OriginSlots = {
  /** Takes a slot of the URL's origin and returns what gives it back; undefined when none is free. */
  take: (url: string) => (() => void) | undefined;
};

/** At most `limit` at once for one origin (scheme, host and port), so that a receiver that hangs does not hold up the others. */
export const createOriginSlots = (limit: number): OriginSlots => {
  const taken = new Map<string, number>();
  return {
    take(url) {
      const { origin } = new URL(url);
      const count = taken.get(origin) ?? 0;
      if (count >= limit) return undefined;
      taken.set(origin, count + 1);
      return () => {
        const left = (taken.get(origin) ?? 0) - 1;
        if (left > 0) taken.set(origin, left);
        else taken.delete(origin);
      };
    },
  };
};
