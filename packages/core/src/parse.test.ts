import { expect, test } from 'vitest';
import { z } from 'zod';
import { parseWith } from './parse.ts';

const schema = z.strictObject({ model: z.string(), inner: z.strictObject({ n: z.int().min(1) }).optional() });

test.each([
  [{}, 'model', 'model: is required.'],
  [{ model: 1 }, 'model', 'model: Invalid input: expected string, received number.'],
  [{ model: 'm', inner: {} }, 'inner.n', 'inner.n: is required.'],
  [{ model: 'm', inner: { n: 0 } }, 'inner.n', 'inner.n: Too small: expected number to be >=1.'],
  [{ model: 'm', extra: 1 }, 'extra', 'Unknown field: extra.'],
])('%j is refused by the name of its first bad field', (body, param, message) => {
  expect(() => parseWith(schema, body)).toThrow(expect.objectContaining({ code: 'invalid_request', param, message }));
});

test('a body that is no object at all is told as that', () => {
  expect(() => parseWith(schema, undefined)).toThrow('The body: is required.');
});
