import type { Deps } from '../deps.ts';
import { AppError } from '../errors.ts';
import type { Session } from '../sessions/session.ts';
import { classifyOrAsk } from '../triggers/ask-model.ts';
import { loadLanguageDetector } from '../triggers/language.ts';
import { type PictureUse, pictureUse } from '../triggers/session-rule.ts';
import { JOB_CATALOG } from './catalog.ts';
import { type JobInput, type JobTrigger, type JobType, MESSAGE_TYPES, type MessageType, type UrlKind } from './job.ts';
import type { Submission } from './submission.ts';

type Asked = {
  submission: Pick<Submission, 'type' | 'model'>;
  input: JobInput;
  urls: { url: string; kind: UrlKind }[];
  session: Pick<Session, 'showsPicture'> | undefined;
};
export type Route = { type: MessageType; trigger: JobTrigger; model: string; warnings: string[]; takesSessionPictures: boolean };

const hasPicture = ({ input, urls }: Asked): boolean =>
  input.images.length > 0 ||
  urls.some(({ kind }) => kind === 'image') ||
  (input.messages ?? []).some(({ content }) => content !== null && typeof content !== 'string' && content.some(({ type }) => type === 'image'));

const isMessageType = (type: JobType): type is MessageType => (MESSAGE_TYPES as readonly JobType[]).includes(type);

/** What a message may ask of a model. @throws AppError `model_not_found`, `model_type_mismatch`. */
const servedTypes = (deps: Pick<Deps, 'providers'>, model: string): MessageType[] => {
  const types = deps.providers.typesOf(model);
  const served = types.filter(isMessageType);
  if (served.length === 0) throw new AppError('model_type_mismatch', `${model} serves ${types.join(', ')}, by POST /v1/embeddings alone.`, { param: 'model' });
  return served;
};

/** The type the request itself decides: named, or the only one its model serves. */
const requestedType = (deps: Pick<Deps, 'providers'>, { submission }: Asked): MessageType | undefined => {
  const served = submission.model === undefined ? undefined : servedTypes(deps, submission.model);
  const { type } = submission;
  if (type !== undefined && type !== 'auto') {
    if (served && !served.includes(type)) {
      throw new AppError('model_type_mismatch', `${submission.model} does not serve ${type} jobs; it serves ${served.join(', ')}.`, { param: 'model' });
    }
    return type;
  }
  return served?.length === 1 ? served[0] : undefined;
};

/** What a message without a picture does with that of the turn before it; undefined when there is none, or the message does not mean it. */
const sessionUse = async (asked: Asked, label: MessageType): Promise<PictureUse | undefined> => {
  if (!asked.session?.showsPicture || hasPicture(asked)) return undefined;
  if (label === 'vision') return 'look';
  await loadLanguageDetector();
  return pictureUse(asked.input.text, { label });
};

/** A job whose type the request decides. It means the picture of the turn before it as any other message does. */
const routeRequested = async (asked: Asked, type: MessageType): Promise<Route> => {
  const { submission, input } = asked;
  const use = type === 'chat' ? undefined : await sessionUse(asked, type);
  const takesSessionPictures = use === (type === 'image' ? 'edit' : 'look');
  if (type === 'vision' && !hasPicture(asked) && !takesSessionPictures) {
    throw new AppError('invalid_request', 'input: a vision job needs a picture.', { param: 'input' });
  }
  if (type === 'image' && input.text.trim() === '') throw new AppError('invalid_request', 'input: an image job needs a text.', { param: 'input' });
  const trigger: JobTrigger = { label: type, confidence: 1, source: 'request' };
  return { type, trigger, model: submission.model ?? JOB_CATALOG[type].defaultModel, warnings: [], takesSessionPictures };
};

/** Whether a model can do what the message does with an earlier picture. */
const canUse = (deps: Pick<Deps, 'providers'>, model: string, use: PictureUse): boolean => {
  try {
    if (use === 'edit') deps.providers.checkParameters(model, 'image', {}, 'edit');
    else deps.providers.targets(model, 'vision');
    return true;
  } catch (error) {
    if (error instanceof AppError) return false;
    throw error;
  }
};

/** A job that is about the picture of the turn before it. Undefined: it is not, or no model at hand can do it. */
const routeBySession = async (deps: Pick<Deps, 'providers'>, asked: Asked, plain: { label: MessageType; confidence: number }): Promise<Route | undefined> => {
  const { model } = asked.submission;
  const use = await sessionUse(asked, plain.label);
  if (!use) return undefined;
  const type: MessageType = use === 'edit' ? 'image' : 'vision';
  const named = model ?? JOB_CATALOG[type].defaultModel;
  if (!canUse(deps, named, use)) return undefined;
  return { type, trigger: { label: type, confidence: plain.confidence, source: 'session' }, model: named, warnings: [], takesSessionPictures: true };
};

/**
 * Decides which job a message asks for and which model name serves it: the request first, then the picture of the turn before it in its
 * session, then the trigger classifier.
 * @throws AppError `model_not_found`, `model_type_mismatch`, `invalid_request`, each with `param`.
 */
export const decideType = async (deps: Pick<Deps, 'providers' | 'config' | 'logger'>, asked: Asked): Promise<Route> => {
  const { submission, input } = asked;
  const requested = requestedType(deps, asked);
  if (requested) return routeRequested(asked, requested);
  const { label, confidence, source } = await classifyOrAsk(deps, { text: input.text, hasImage: input.images.length > 0 }, hasPicture(asked));
  const trigger: JobTrigger = { label, confidence: Math.round(confidence * 1000) / 1000, source };
  const bySession = await routeBySession(deps, asked, { label, confidence: trigger.confidence });
  if (bySession) return bySession;
  if (submission.model === undefined) return { type: label, trigger, model: JOB_CATALOG[label].defaultModel, warnings: [], takesSessionPictures: false };
  const served = servedTypes(deps, submission.model);
  if (served.includes(label)) return { type: label, trigger, model: submission.model, warnings: [], takesSessionPictures: false };
  const type: MessageType = served.includes('vision') && hasPicture(asked) ? 'vision' : (served[0] ?? 'chat');
  return {
    type,
    trigger,
    model: submission.model,
    takesSessionPictures: false,
    warnings: [`The message asks for ${label}, which ${submission.model} does not serve: it was run as ${type}.`],
  };
};
