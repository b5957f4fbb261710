import { AppError } from '@fana/core/errors.ts';
import type { ChatRequest, ImageRequest } from '@fana/core/providers/provider.ts';
import sharp from 'sharp';

/** A signal that is never aborted. */
export const never: AbortSignal = new AbortController().signal;
/** A plain chat request; `overrides` change it. */
export const chatRequest = (overrides: Partial<ChatRequest> = {}): ChatRequest => ({
  model: 'gpt-6-luna',
  messages: [{ role: 'user', content: 'what is the capital of Peru?' }],
  parameters: {},
  ...overrides,
});
/** A plain image request; `overrides` change it. */
export const imageRequest = (overrides: Partial<ImageRequest> = {}): ImageRequest => ({
  model: 'gpt-image-2',
  prompt: 'a fox in the snow',
  pictures: [],
  parameters: {},
  ...overrides,
});
/** A small red picture. */
export const redPng = (): Promise<Buffer> =>
  sharp({ create: { width: 64, height: 48, channels: 3, background: { r: 220, g: 20, b: 20 } } })
    .png()
    .toBuffer();

/** What a call failed with. @throws when it succeeded, or failed with anything but an AppError. */
export const failure = async (call: Promise<unknown>): Promise<AppError> => {
  const thrown: unknown = await call.then(
    () => new Error('the call succeeded'),
    (error: unknown) => error,
  );
  if (!(thrown instanceof AppError)) throw thrown;
  return thrown;
};
