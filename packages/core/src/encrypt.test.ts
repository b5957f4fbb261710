import { describe, expect, test } from 'vitest';
import { decrypt, deriveKey, encrypt } from './encrypt.ts';
import { AppError } from './errors.ts';

const SECRET = 'a signing secret of 32 characters';
const key = deriveKey(SECRET, 'webhook-secrets');
const refused = (text: string, under = key): boolean => {
  try {
    decrypt(under, text);
    return false;
  } catch (error) {
    return error instanceof AppError && error.code === 'internal_error';
  }
};

describe('secrets at rest', () => {
  test.each(['whsec_abc', '', 'ü 🦊', 'x'.repeat(100_000)])('come back as they were (%#)', (text) => {
    expect(decrypt(key, encrypt(key, text))).toBe(text);
  });

  test('never look the same twice, and do not hold the text', () => {
    const text = 'whsec_a secret that is stored';
    const sealed = Array.from({ length: 100 }, () => encrypt(key, text));
    expect(new Set(sealed).size).toBe(100);
    expect(sealed.filter((line) => Buffer.from(line, 'base64').includes(text))).toEqual([]);
  });

  test('cannot be read under another key, nor after any flipped bit', () => {
    const sealed = encrypt(key, 'whsec_abc');
    expect(refused(sealed, deriveKey('another secret of 32 characters!!', 'webhook-secrets'))).toBe(true);
    expect(refused(sealed, deriveKey(SECRET, 'blob-urls'))).toBe(true);
    const bytes = Buffer.from(sealed, 'base64');
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const turned = Buffer.from(bytes);
      turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(refused(turned.toString('base64'))).toBe(true);
    }
  });

  test('cannot be read when they are cut, empty or no base64, and the failure does not tell the text', () => {
    const bytes = Buffer.from(encrypt(key, 'whsec_abc'), 'base64');
    for (let length = 0; length < bytes.length; length++) expect(refused(bytes.subarray(0, length).toString('base64'))).toBe(true);
    expect(refused('%%%')).toBe(true);
    expect(() => decrypt(key, 'AAAA')).toThrow(/FANA_SIGNING_SECRET/);
  });

  test('keys have 32 bytes, are the same for the same purpose, and differ for every other', () => {
    expect(key).toHaveLength(32);
    expect(deriveKey(SECRET, 'webhook-secrets').equals(key)).toBe(true);
    expect(deriveKey(SECRET, 'webhook-secret').equals(key)).toBe(false);
    expect(deriveKey(`${SECRET}!`, 'webhook-secrets').equals(key)).toBe(false);
  });
});
