import { z } from 'zod';

/** The query of every list: `limit` 1 to 100 (20) and `after`, the id of the last object of the page before. */
export const listQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^\d{1,3}$/, 'must be a whole number from 1 to 100')
    .transform(Number)
    .pipe(z.number().min(1, 'must be at least 1').max(100, 'must be at most 100'))
    .default(20),
  after: z.string().min(1).max(100).optional(),
});

export type ListPage<T> = { object: 'list'; data: T[]; first_id: string | null; last_id: string | null; has_more: boolean };

/** One page of a list in OpenAI's shape. */
export const listPage = <T extends { id: string }>(data: T[], hasMore: boolean): ListPage<T> => ({
  object: 'list',
  data,
  first_id: data[0]?.id ?? null,
  last_id: data.at(-1)?.id ?? null,
  has_more: hasMore,
});
