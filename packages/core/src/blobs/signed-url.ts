import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Config } from '../config.ts';
import { deriveKey } from '../encrypt.ts';

const keys = new Map<string, Buffer>();
const keyOf = (signingSecret: string): Buffer => {
  const known = keys.get(signingSecret);
  if (known) return known;
  const key = deriveKey(signingSecret, 'blob-urls');
  keys.set(signingSecret, key);
  return key;
};

const signature = (signingSecret: string, blobId: string, expires: number): Buffer =>
  createHmac('sha256', keyOf(signingSecret)).update(`${blobId}.${expires}`).digest();

/** A link to a blob that needs no key and lives as long as the blob: `…/v1/blobs/ID?expires=UNIX&sig=HEX`. */
export const signedBlobUrl = (config: Pick<Config, 'http' | 'signingSecret'>, blobId: string, expiresMs: number): string => {
  const expires = Math.floor(expiresMs / 1000);
  return `${config.http.publicUrl}/v1/blobs/${blobId}?expires=${expires}&sig=${signature(config.signingSecret, blobId, expires).toString('hex')}`;
};

/** What a link says, as it came: nothing of it is checked yet. */
type BlobLink = { id: string; expires: string; sig: string };

/** Whether `sig` is ours for this blob and this time, and the time has not passed. */
export const isSignedBlobUrl = (config: Pick<Config, 'signingSecret'>, { id, expires, sig }: BlobLink, nowMs: number): boolean => {
  if (!/^[1-9]\d{0,14}$/.test(expires) || !/^[0-9a-f]{64}$/.test(sig)) return false;
  const expected = signature(config.signingSecret, id, Number(expires));
  return timingSafeEqual(expected, Buffer.from(sig, 'hex')) && Number(expires) * 1000 > nowMs;
};
