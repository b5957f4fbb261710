import { OpenAI } from 'openai';
import { Webhook } from 'standardwebhooks';
import { describe, expect, test } from 'vitest';
import { signatureHeaders } from './sign.ts';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const OTHER = `whsec_${Buffer.alloc(32, 8).toString('base64')}`;
const ID = 'evt_0123456789ABCDEFGHIJKL';
const BODY = JSON.stringify({ id: ID, object: 'event', type: 'job.completed', data: { id: 'job_x', metadata: { note: 'grüße 🦊' } } });
const nowSeconds = (): number => Math.floor(Date.now() / 1000);

const openai = new OpenAI({ apiKey: 'none' });
/** Both verifiers that the contract names: the receivers of the world. */
const verifiers: [string, (body: string, headers: Record<string, string>, secret: string) => Promise<unknown>][] = [
  ['standardwebhooks', async (body, headers, secret) => new Webhook(secret).verify(body, headers)],
  ["openai's webhooks.unwrap", (body, headers, secret) => openai.webhooks.unwrap(body, headers, secret)],
];

/** `text` with one bit of one character turned. */
const flipped = (text: string, at: number, bit: number): string => {
  const bytes = Buffer.from(text);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
  return bytes.toString('latin1') === Buffer.from(bytes.toString()).toString('latin1') ? bytes.toString() : bytes.toString('latin1');
};

describe.each(verifiers)('%s', (_name, verify) => {
  test('accepts what we sign', async () => {
    expect(await verify(BODY, signatureHeaders(ID, nowSeconds(), BODY, [SECRET]), SECRET)).toEqual(JSON.parse(BODY));
  });

  test('accepts both secrets while one rotates, and neither of two others', async () => {
    const headers = signatureHeaders(ID, nowSeconds(), BODY, [SECRET, OTHER]);
    expect(headers['webhook-signature']).toMatch(/^v1,[A-Za-z0-9+/]{43}= v1,[A-Za-z0-9+/]{43}=$/);
    await verify(BODY, headers, SECRET);
    await verify(BODY, headers, OTHER);
    await expect(verify(BODY, headers, `whsec_${Buffer.alloc(32, 9).toString('base64')}`)).rejects.toThrow();
  });

  test('refuses any flipped bit of the id', async () => {
    const headers = signatureHeaders(ID, nowSeconds(), BODY, [SECRET]);
    for (let at = 0; at < ID.length; at++) {
      for (let bit = 0; bit < 7; bit++) await expect(verify(BODY, { ...headers, 'webhook-id': flipped(ID, at, bit) }, SECRET)).rejects.toThrow();
    }
  });

  test('refuses any flipped bit of the timestamp', async () => {
    const headers = signatureHeaders(ID, nowSeconds(), BODY, [SECRET]);
    const timestamp = headers['webhook-timestamp'] ?? '';
    for (let at = 0; at < timestamp.length; at++) {
      for (let bit = 0; bit < 7; bit++) await expect(verify(BODY, { ...headers, 'webhook-timestamp': flipped(timestamp, at, bit) }, SECRET)).rejects.toThrow();
    }
  });

  test('refuses any flipped bit of the body', async () => {
    const headers = signatureHeaders(ID, nowSeconds(), BODY, [SECRET]);
    for (let at = 0; at < Buffer.byteLength(BODY); at++) await expect(verify(flipped(BODY, at, at % 7), headers, SECRET)).rejects.toThrow();
  });

  test('refuses any flipped bit of the signature', async () => {
    const headers = signatureHeaders(ID, nowSeconds(), BODY, [SECRET]);
    const signature = Buffer.from((headers['webhook-signature'] ?? '').slice(3), 'base64');
    for (let at = 0; at < signature.length; at++) {
      const turned = Buffer.from(signature);
      turned[at] = (turned[at] ?? 0) ^ 1;
      await expect(verify(BODY, { ...headers, 'webhook-signature': `v1,${turned.toString('base64')}` }, SECRET)).rejects.toThrow();
    }
  });
});

test('the id stays, the timestamp and with it the signature are new on every attempt', () => {
  const [first, second] = [signatureHeaders(ID, 1_767_225_600, BODY, [SECRET]), signatureHeaders(ID, 1_767_225_605, BODY, [SECRET])];
  expect(second['webhook-id']).toBe(first['webhook-id']);
  expect(second['webhook-timestamp']).toBe('1767225605');
  expect(second['webhook-signature']).not.toBe(first['webhook-signature']);
});
