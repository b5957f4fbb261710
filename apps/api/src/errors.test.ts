import { readdirSync, readFileSync } from 'node:fs';
import { STATUS } from '@fana/core/error-status.ts';
import { AppError, ERRORS, type ErrorCode } from '@fana/core/errors.ts';
import { expect, test } from 'vitest';
import { errorBody, errorHeaders } from './errors.ts';

const docs = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8');
const rows = docs
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split('|').map((cell) => cell.trim()));

test('docs/errors.md lists every code with its status, type and retryability, in the order of the table, and nothing else', () => {
  const documented = rows.map(([, code, status, type, retryable]) => [code, status, type, retryable]);
  const expected = Object.entries(ERRORS).map(([code, { type, retryable }]) => [
    `\`${code}\``,
    String(STATUS[code as ErrorCode]),
    `\`${type}\``,
    retryable ? 'yes' : 'no',
  ]);
  expect(documented).toEqual(expected);
});

test('docs/errors.md has the codes that only batches know', () => {
  const folder = new URL('../../../packages/core/src/batches/', import.meta.url);
  const files = [...readdirSync(folder).map((name) => new URL(name, folder)), new URL('../../worker/src/run-batch.ts', import.meta.url)];
  const source = files.map((file) => readFileSync(file, 'utf8')).join('\n');
  const codes = new Set([...source.matchAll(/(?:LineProblem\(|code: )'([a-z_]+)'/g)].map(([, code]) => code));
  expect(codes.size).toBeGreaterThan(10);
  for (const code of codes) expect(docs).toContain(`\`${code}\``);
});

test('every code has a meaning and an advice, each one sentence at least', () => {
  for (const [, code, , , , meaning, advice] of rows) {
    expect(meaning, code).toMatch(/^.{10,}\.$/);
    expect(advice, code).toMatch(/^.{5,}\.$/);
  }
});

test('the body has the shape of OpenAI with our request id and keeps the detail back', () => {
  const error = new AppError('invalid_request', 'name: is empty.', { param: 'name', detail: 'SECRET', cause: new Error('SECRET') });
  expect(errorBody(error, 'req_1')).toEqual({
    error: { message: 'name: is empty.', type: 'invalid_request_error', code: 'invalid_request', param: 'name' },
    request_id: 'req_1',
  });
  expect(errorBody(new AppError('not_found', 'No.'), 'req_1').error.param).toBeNull();
});

test('429 and 503 say when to come back, in whole seconds and never 0', () => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const waits = STATUS[code] === 429 || STATUS[code] === 503;
    expect(errorHeaders(new AppError(code, 'x', { retryAfterMs: 2100 }))['retry-after']).toBe(waits ? '3' : undefined);
    expect(errorHeaders(new AppError(code, 'x', { retryAfterMs: 0 }))['retry-after']).toBe(waits ? '1' : undefined);
  }
});
