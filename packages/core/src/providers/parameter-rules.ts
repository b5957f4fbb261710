/** The words a provider uses for one parameter, or `undefined`: this model cannot do it. */
export type Rule = (value: unknown) => Record<string, unknown> | undefined;
/** Every parameter a family of models knows. */
export type Rules = Readonly<Record<string, Rule>>;

/** Said by leaving it out. */
export const NOTHING = {};

/** The same value under another name. */
export const as =
  (name: string): Rule =>
  (value) => ({ [name]: value });

/** Values in our words → the provider's; a value that is not listed is refused. */
export const oneOf =
  (name: string, words: Readonly<Record<string, string>>): Rule =>
  (value) =>
    typeof value === 'string' && words[value] !== undefined ? { [name]: words[value] } : undefined;

/** Asks for what the model does anyway, so it is left out; anything else is refused. */
export const only =
  (...values: unknown[]): Rule =>
  (value) =>
    values.includes(value) ? NOTHING : undefined;

/** Words that mean the same on both sides. */
export const sameWords = (...words: string[]): Record<string, string> => Object.fromEntries(words.map((word) => [word, word]));

/** Parameters that are passed on as they are. */
export const keepAll = (...names: string[]): Rules => Object.fromEntries(names.map((name) => [name, as(name)]));
