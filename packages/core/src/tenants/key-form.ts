import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { customAlphabet } from 'nanoid';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const PREFIX = 'fana_';
/** 32 characters of base62 are 190 random bits: nothing to guess, so an unsalted hash is enough at rest. */
const RANDOM_CHARS = 32;
const randomPart = customAlphabet(BASE62, RANDOM_CHARS);
/** 62^6 is the first power of 62 over 2^32. */
const CHECK_CHARS = 6;
const FORM = new RegExp(`^${PREFIX}[0-9A-Za-z]{${RANDOM_CHARS + CHECK_CHARS}}$`);

const checksum = (text: string): string => {
  let rest = crc32(text);
  let digits = '';
  for (let place = 0; place < CHECK_CHARS; place++) {
    digits = BASE62[rest % 62] + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
};

/** A new key: `fana_`, 32 random characters, and 6 of the CRC-32 of all before them. */
export const newKey = (): string => {
  const body = PREFIX + randomPart();
  return body + checksum(body);
};

/** Whether a text has the form of a key and its checksum is right: mistyped and made-up keys end here, without a look-up. */
export const isKeyForm = (key: string): boolean => FORM.test(key) && checksum(key.slice(0, -CHECK_CHARS)) === key.slice(-CHECK_CHARS);

/** What is kept of a key: its SHA-256 in hex. */
export const hashKey = (key: string): string => hash('sha256', key);

/** The last characters of a key, by which its owner tells it from others. */
export const hintOf = (key: string): string => key.slice(-4);
