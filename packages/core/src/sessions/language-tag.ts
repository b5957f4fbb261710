import { z } from 'zod';

const NAMES = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'none' });

/** The English name of a language, e.g. `German`; undefined for a tag nobody knows. Never throws. */
export const languageName = (tag: string): string | undefined => {
  try {
    return NAMES.of(tag);
  } catch {
    return undefined;
  }
};

/** A language to answer in: a BCP 47 tag as it is spelled there (`pt-BR`), or `auto`. */
export const languageSchema = z
  .string()
  .max(35)
  .refine((tag) => tag === 'auto' || languageName(tag) !== undefined, 'must be auto or the tag of a language, such as de or pt-BR')
  .transform((tag) => (tag === 'auto' ? tag : (Intl.getCanonicalLocales(tag)[0] ?? tag)));
