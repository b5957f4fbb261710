import { expect, test } from 'vitest';
import { hashKey, hintOf, isKeyForm, newKey } from './key-form.ts';

test('a new key has the form of the contract and a right checksum, and no two are alike', () => {
  const keys = Array.from({ length: 1000 }, newKey);
  for (const key of keys) {
    expect(key).toMatch(/^fana_[0-9A-Za-z]{38}$/);
    expect(isKeyForm(key)).toBe(true);
  }
  expect(new Set(keys).size).toBe(1000);
});

test('the checksum is the CRC-32 of all before it in base62: a key made elsewhere by that rule has the form', () => {
  // CRC-32 of the text is 1635953153 (zlib.crc32 of Python), in base62 (0-9A-Za-z, 6 digits) 1miI9B.
  expect(isKeyForm('fana_000000000000000000000000000000001miI9B')).toBe(true);
});

test('every change of one character is noticed', () => {
  const key = newKey();
  for (let at = 0; at < key.length; at++) {
    for (const other of ['0', 'z', 'Q', '-']) {
      if (key[at] !== other) expect(isKeyForm(key.slice(0, at) + other + key.slice(at + 1))).toBe(false);
    }
  }
});

test('what is longer, shorter or empty has not the form', () => {
  const key = newKey();
  for (const text of ['', 'fana_', key.slice(1), `${key}0`, ` ${key}`, `${key}\n`, key.toUpperCase(), 'sk-0123456789']) expect(isKeyForm(text)).toBe(false);
});

test('the hash is SHA-256 and the hint the last four characters', () => {
  expect(hashKey('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  expect(hintOf('fana_abcdefgh')).toBe('efgh');
});
