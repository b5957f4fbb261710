import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { AppError } from './errors.ts';

/** A 32-byte key for one purpose, derived from FANA_SIGNING_SECRET (HKDF, RFC 5869): no two purposes share a key. */
export const deriveKey = (signingSecret: string, purpose: string): Buffer => Buffer.from(hkdfSync('sha256', signingSecret, 'fana', purpose, 32));

/** AES-256-GCM: `base64(iv 12 bytes | tag 16 bytes | ciphertext)`. */
export const encrypt = (key: Buffer, text: string): string => {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  const encrypted = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), encrypted]).toString('base64');
};

/** @throws AppError `internal_error` when the text was not encrypted under this key (FANA_SIGNING_SECRET was changed). */
export const decrypt = (key: Buffer, encrypted: string): string => {
  const bytes = Buffer.from(encrypted, 'base64');
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), { authTagLength: 16 });
    decipher.setAuthTag(bytes.subarray(12, 28));
    return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8');
  } catch (cause) {
    throw new AppError('internal_error', 'A stored secret cannot be read: was FANA_SIGNING_SECRET changed?', { cause });
  }
};
