import type { z } from 'zod';
import { AppError } from './errors.ts';

/** What is missing is told as that, not as a value of the wrong type. */
const said = (issue: z.core.$ZodIssue | undefined): string =>
  issue?.code === 'invalid_type' && issue.message.endsWith('received undefined') ? 'is required' : (issue?.message ?? 'is not valid');

/** The first issue of a failed parse as our error; `prefix` is the field that was parsed. */
const invalid = (error: z.ZodError, prefix: string[]): AppError => {
  const issue = error.issues[0];
  const path = [...prefix, ...(issue?.path ?? [])];
  if (issue?.code === 'unrecognized_keys') {
    const param = [...path, issue.keys[0]].join('.');
    return new AppError('invalid_request', `Unknown field: ${param}.`, { param });
  }
  const param = path.join('.');
  return new AppError('invalid_request', `${param || 'The body'}: ${said(issue)}.`, param ? { param } : {});
};

/**
 * Runs a schema over what a client sent: a body, a query, or the field that `prefix` names.
 * @throws AppError `invalid_request` with the path of the first bad field as `param`.
 */
export const parseWith = <T extends z.ZodType>(schema: T, value: unknown, prefix: string[] = []): z.output<T> => {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalid(parsed.error, prefix);
};
