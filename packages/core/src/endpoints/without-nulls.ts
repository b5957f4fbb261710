/** OpenAI takes null for "not given" in every optional parameter. */
export const withoutNulls = (parameters: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined));
