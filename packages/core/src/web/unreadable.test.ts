import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { AppError } from '../errors.ts';
import { reasonOf, UNREADABLE, unreadable } from './unreadable.ts';

it('docs/sources.md lists every status of a source', () => {
  const docs = readFileSync(join(import.meta.dirname, '../../../../docs/sources.md'), 'utf8');
  const listed = [...docs.matchAll(/^\| `(\w+)` +\|/gm)].map(([, status]) => status);
  expect(listed.sort()).toEqual(['pending', 'read', 'truncated', 'not_read', ...UNREADABLE].sort());
});

it('names what reading threw', () => {
  expect(reasonOf(unreadable('encrypted', 'x'))).toBe('encrypted');
  expect(reasonOf(new AppError('invalid_url', 'x'))).toBe('blocked');
  expect(reasonOf(new AppError('fetch_failed', 'x'))).toBe('unreachable');
  expect(reasonOf(new AppError('fetch_failed', 'x', { reason: 'timed_out' }))).toBe('timed_out');
  expect(reasonOf(new AppError('storage_error', 'x'))).toBe('failed');
});
