import { AppError } from '@fana/core/errors.ts';
import type { Handler } from 'hono';
import type { Environment } from './environment.ts';

/** The last handler of a known path: 405 with `Allow`. Registered with `app.all(path, allowOnly('GET', 'POST'))` after the methods the path has. */
export const allowOnly =
  (...methods: string[]): Handler<Environment> =>
  (c) => {
    c.header('allow', (methods.includes('GET') ? ['HEAD', ...methods] : methods).join(', '));
    throw new AppError('method_not_allowed', `${c.req.method} is not possible here; possible: ${methods.join(', ')}.`);
  };
