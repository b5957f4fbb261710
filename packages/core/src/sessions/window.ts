import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import type { ImageRef, JobOutput } from '../jobs/job.ts';
import type { ChatMessage, ChatPart, PictureBytes } from '../providers/provider.ts';
import { readPicture } from '../web/read-picture.ts';
import { readTurnInput, readTurnOutput } from './present-turn.ts';
import { readTurns, readWindow, type WindowRequest } from './store.ts';
import { countTokens, MESSAGE_TOKENS, pictureTokens } from './tokens.ts';
import { madePictures, type Turn } from './turn.ts';

type ReadDeps = Pick<Deps, 'redis' | 'blobs' | 'config' | 'now'>;

/** Earlier pictures that are shown again in one call: more would make every question about one of them dear, and some providers take five. */
const MAX_SHOWN = 4;
/** What stands for pictures in a text. */
const NOTE_TOKENS = 8;
/** How far back the picture is looked for that a message means: turns that failed lie between. */
const MAX_BACK = 10;

/** Pictures of a turn: those it made, else those that were shown in it. */
const turnPictures = ({ output, images = [] }: Pick<Turn, 'output' | 'images'>): ImageRef[] => {
  const made = madePictures(output);
  return made.length > 0 ? made.map(({ blobId }) => ({ kind: 'blob', blobId })) : images;
};

/** What a turn takes of a window, once it has been answered. */
export const turnTokens = async (messageTokens: number, output: JobOutput, shown: number): Promise<NonNullable<Turn['tokens']>> => {
  const made = madePictures(output);
  const answer = output.kind === 'text' ? await countTokens(output.text) : 0;
  // Of pictures that were shown nobody knows the size here: each counts as a large one. A window shows those a turn made, if it made any.
  const pictures = made.length > 0 ? made.map((size) => pictureTokens(size)) : Array.from({ length: shown }, () => pictureTokens({}));
  return {
    text: messageTokens + answer + 2 * MESSAGE_TOKENS + (pictures.length > 0 ? NOTE_TOKENS : 0),
    pictures: pictures.reduce((sum, tokens) => sum + tokens, 0),
  };
};

/** The pictures of the latest turn before `turn` that has any; empty when there is none. */
export const latestPictures = async (deps: Pick<Deps, 'redis'>, { id, turn }: { id: string; turn: number }): Promise<ImageRef[]> => {
  if (turn <= 1) return [];
  const turns = await readTurns(deps.redis, id, turn - 1, Math.max(1, turn - MAX_BACK));
  return turns.map(turnPictures).find((pictures) => pictures.length > 0) ?? [];
};

/** An earlier picture that is gone meanwhile is no failure of the message after it. */
const readIfThere = async (deps: ReadDeps, tenant: string, image: ImageRef, signal: AbortSignal): Promise<PictureBytes | undefined> => {
  try {
    return await readPicture(deps, tenant, image, signal);
  } catch (thrown) {
    if (!signal.aborted && thrown instanceof AppError && thrown.code === 'image_unreadable') return undefined;
    throw thrown;
  }
};

const note = (count: number, what: string): string => (count === 0 ? '' : `[${count} picture${count === 1 ? '' : 's'} ${what}]`);

type Shown = ReadonlyMap<string, PictureBytes>;

const shownParts = (images: ImageRef[], shown: Shown): ChatPart[] =>
  images.flatMap((image): ChatPart[] => {
    const picture = image.kind === 'blob' ? shown.get(image.blobId) : undefined;
    return picture ? [{ type: 'image', picture }] : [];
  });

/** Message and answer of a turn. Pictures it made go before what the user says next, for only users show pictures. */
const turnMessages = async (
  deps: ReadDeps,
  tenant: string,
  turn: Turn,
  shown: Shown,
): Promise<{ messages: ChatMessage[]; carried: ChatPart[] } | undefined> => {
  const [input, output] = await Promise.all([readTurnInput(deps, tenant, turn), readTurnOutput(deps, tenant, turn)]);
  if (!input || (output?.kind !== 'text' && output?.kind !== 'images')) return undefined;
  const parts = shownParts(input.images, shown);
  const text = input.text.trim() === '' ? note(input.images.length - parts.length, 'shown') : input.text;
  const answer = output.kind === 'text' ? output.text : note(output.images.length, 'made');
  return {
    messages: [
      { role: 'user', content: parts.length === 0 ? text : [...(text === '' ? [] : [{ type: 'text', text } as const]), ...parts] },
      { role: 'assistant', content: answer },
    ],
    carried: output.kind === 'images' ? shownParts(turnPictures({ output }), shown) : [],
  };
};

const withCarried = (message: ChatMessage | undefined, carried: ChatPart[]): void => {
  if (!message || carried.length === 0) return;
  const own: ChatPart[] = typeof message.content === 'string' ? [{ type: 'text', text: message.content }] : (message.content ?? []);
  // A picture that was edited in this turn is one that the turn before made: once is enough.
  const shown = new Set(carried.map((part) => (part.type === 'image' ? part.picture : undefined)));
  message.content = [...carried, ...own.filter((part) => part.type !== 'image' || !shown.has(part.picture))];
};

export type Window = { messages: ChatMessage[]; carried: ChatPart[]; warnings: string[] };

/**
 * The turns before a job that fit its budget, as messages. `known`: pictures that the job shows anyway, by blob id: they are not shown twice.
 * What was left out is told in `warnings`. @throws AppError `storage_error`, `unavailable`.
 */
export const buildWindow = async (
  deps: ReadDeps,
  request: WindowRequest & { tenant: string; known: ReadonlySet<string>; signal: AbortSignal },
): Promise<Window> => {
  const { tenant, known, signal, withPictures } = request;
  const { turns, leftOut } = await readWindow(deps.redis, request);
  const wanted = withPictures ? turns.flatMap(turnPictures).flatMap((image) => (image.kind === 'blob' && !known.has(image.blobId) ? [image] : [])) : [];
  const shown = new Map<string, PictureBytes>();
  for (const image of wanted.slice(-MAX_SHOWN)) {
    const picture = await readIfThere(deps, tenant, image, signal);
    if (picture) shown.set(image.blobId, picture);
  }
  const messages: ChatMessage[] = [];
  let carried: ChatPart[] = [];
  let gone = 0;
  for (const read of await Promise.all(turns.map((turn) => turnMessages(deps, tenant, turn, shown)))) {
    if (!read) {
      gone++;
      continue;
    }
    withCarried(read.messages[0], carried);
    messages.push(...read.messages);
    carried = read.carried;
  }
  return { messages, carried, warnings: leftOutWarnings(leftOut + gone, wanted.length - shown.size) };
};

const leftOutWarnings = (turns: number, pictures: number): string[] => [
  ...(turns === 0
    ? []
    : [`${turns} earlier turn${turns === 1 ? '' : 's'} of the session did not fit the model's context and ${turns === 1 ? 'was' : 'were'} left out.`]),
  ...(pictures === 0
    ? []
    : [`${pictures} earlier picture${pictures === 1 ? '' : 's'} of the session ${pictures === 1 ? 'was' : 'were'} not shown to the model.`]),
];
