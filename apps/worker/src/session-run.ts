import type { Deps } from '@fana/core/deps.ts';
import { AppError } from '@fana/core/errors.ts';
import type { ImageRef, JobInput, JobOutput, JobRecord } from '@fana/core/jobs/job.ts';
import { isSure, readSpoken } from '@fana/core/sessions/spoken.ts';
import { countTokens } from '@fana/core/sessions/tokens.ts';
import type { TurnEnd } from '@fana/core/sessions/turn.ts';
import { latestPictures, turnTokens } from '@fana/core/sessions/window.ts';
import type { DetectedLanguage } from '@fana/core/triggers/language.ts';
import type { ClaimedRun } from './run-end.ts';

/**
 * What a run knows of its session: which turn it is, how long its message is, the pictures of an earlier turn that it means, and the language the
 * conversation is in.
 */
export type SessionRun = { id: string; turn: number; messageTokens: number; pictures: ImageRef[]; spoken?: string; warnings: string[] };

/** Reads what a job means of its session. Undefined: it has none. @throws AppError `image_unreadable` when the picture it means is not there. */
export const openSession = async (deps: Deps, run: ClaimedRun, input: JobInput, detected: DetectedLanguage): Promise<SessionRun | undefined> => {
  const { job } = run;
  const { session } = job;
  if (!session) return undefined;
  const spoken = await spokenLanguage(deps, run, session.id, input.text, detected);
  const taken = job.spec.takesSessionPictures ? await latestPictures(deps, session) : [];
  if (job.spec.takesSessionPictures && taken.length === 0) {
    throw new AppError(
      'image_unreadable',
      'The message is about a picture of an earlier turn, but none of them has one: the turn that was to make it failed or was erased.',
      {
        param: 'input',
      },
    );
  }
  // "Make it darker" means one picture.
  const pictures = job.spec.type === 'image' ? taken.slice(0, 1) : taken;
  return {
    ...session,
    messageTokens: await countTokens(input.text),
    pictures,
    ...(spoken !== undefined && { spoken }),
    warnings: taken.length > pictures.length ? [`The turn before has ${taken.length} pictures: the first one was edited.`] : [],
  };
};

/** A message that is too short to tell is in the language of its session. */
const spokenLanguage = async (deps: Deps, run: ClaimedRun, sessionId: string, text: string, detected: DetectedLanguage): Promise<string | undefined> => {
  if (isSure(text, detected)) {
    run.spoken = detected.language;
    return detected.language;
  }
  const spoken = await readSpoken(deps.redis, sessionId);
  if (spoken !== undefined) run.job.language = spoken;
  return spoken;
};

/** What the session remembers of an answered turn. */
export const turnEnd = async (session: SessionRun, job: JobRecord, input: JobInput, output: JobOutput): Promise<Omit<TurnEnd, 'status'>> => {
  const shown = input.images.length + job.spec.urls.filter(({ kind }) => kind === 'image').length + session.pictures.length;
  return { tokens: await turnTokens(session.messageTokens, output, shown), images: session.pictures };
};
