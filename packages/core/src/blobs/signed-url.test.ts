import { describe, expect, test } from 'vitest';
import { newId } from '../ids.ts';
import { isSignedBlobUrl, signedBlobUrl } from './signed-url.ts';

const NOW_MS = Date.UTC(2026, 0, 1);
const EXPIRES_MS = NOW_MS + 60_000;
const config = { http: { port: 1, host: 'x', publicUrl: 'https://fana.example' }, signingSecret: 'a signing secret of 32 characters' };
const id = newId('blob');

const partsOf = (link: string): { path: string; expires: string; sig: string } => {
  const url = new URL(link);
  return { path: url.origin + url.pathname, expires: url.searchParams.get('expires') ?? '', sig: url.searchParams.get('sig') ?? '' };
};
const { path, expires, sig } = partsOf(signedBlobUrl(config, id, EXPIRES_MS));

describe('a signed link to a blob', () => {
  test('names the blob and ends in a hex sig', () => {
    expect(signedBlobUrl(config, id, EXPIRES_MS)).toMatch(/&sig=[0-9a-f]{64}$/);
    expect(path).toBe(`https://fana.example/v1/blobs/${id}`);
    expect(Number(expires) * 1000).toBe(EXPIRES_MS);
  });

  test('opens its blob until it expires, and not a moment longer', () => {
    expect(isSignedBlobUrl(config, { id, expires, sig }, NOW_MS)).toBe(true);
    expect(isSignedBlobUrl(config, { id, expires, sig }, EXPIRES_MS - 1)).toBe(true);
    expect(isSignedBlobUrl(config, { id, expires, sig }, EXPIRES_MS)).toBe(false);
  });

  test('is refused with any digit of the signature changed', () => {
    for (let at = 0; at < sig.length; at++) {
      const digit = ((Number.parseInt(sig[at] ?? '0', 16) + 1) % 16).toString(16);
      expect(isSignedBlobUrl(config, { id, expires, sig: sig.slice(0, at) + digit + sig.slice(at + 1) }, NOW_MS)).toBe(false);
    }
  });

  test('opens no other blob, lives no longer, and is worth nothing under another secret', () => {
    expect(isSignedBlobUrl(config, { id: newId('blob'), expires, sig }, NOW_MS)).toBe(false);
    expect(isSignedBlobUrl(config, { id, expires: String(Number(expires) + 1), sig }, NOW_MS)).toBe(false);
    expect(isSignedBlobUrl({ signingSecret: 'another secret of 32 characters!!' }, { id, expires, sig }, NOW_MS)).toBe(false);
  });

  test.each([
    ['', ''],
    ['NaN', sig],
    [`0${expires}`, sig],
    [`${expires}.0`, sig],
    ['-1', sig],
    ['9'.repeat(400), sig],
    [expires, ''],
    [expires, sig.toUpperCase().replace(/^\d*/, 'A')],
    [expires, sig.slice(1)],
    [expires, `${sig}00`],
    [expires, 'g'.repeat(64)],
  ])('is refused when it is malformed (%#)', (badExpires, badSig) => {
    expect(isSignedBlobUrl(config, { id, expires: badExpires, sig: badSig }, NOW_MS)).toBe(false);
  });
});
