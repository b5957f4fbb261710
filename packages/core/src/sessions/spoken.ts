import type { Redis } from 'ioredis';
import type { DetectedLanguage } from '../triggers/language.ts';
import { languageName } from './language-tag.ts';
import { sessionKey } from './store.ts';

/** Below this a guess says nothing of the conversation. */
const SURE_FROM = 0.7;
/** "ok", "haha" and names are in any language; what is written in a script of its own needs no more than a word. */
const ENOUGH_LETTERS = 8;

/** Whether the language of one message may be taken for that of the conversation. */
export const isSure = (text: string, { language, confidence }: DetectedLanguage): boolean => {
  if (language === 'und' || confidence < SURE_FROM) return false;
  const letters = text.match(/\p{L}/gu)?.length ?? 0;
  return letters >= ENOUGH_LETTERS || (letters >= 2 && !/\p{Script=Latin}/u.test(text));
};

/** The language that the messages of a session were last surely in. */
export const readSpoken = async (redis: Redis, sessionId: string): Promise<string | undefined> =>
  (await redis.hget(sessionKey(sessionId), 'spoken')) ?? undefined;

/** What the model is told: `set` is the language of the job or its session, `spoken` the one the user writes. */
export const languageInstruction = ({ set, spoken }: { set?: string | undefined; spoken?: string | undefined }): string => {
  const name = languageName(set ?? spoken ?? '');
  if (name === undefined) return '';
  return set === undefined ? `Answer in ${name} unless the user asks for another language.` : `Answer in ${name}.`;
};
