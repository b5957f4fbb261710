import { type Logger, pino } from 'pino';

export type { Logger };

/** Never in a log line, at any depth this far: keys, secrets, texts and bytes of users. */
const REDACTED = ['authorization', 'key', 'apiKey', 'secret', 'signingSecret', 'input', 'text', 'prompt', 'body', 'data', 'url'];

/**
 * The process's logger: JSON lines on stdout, with names that may carry secrets or users' text redacted.
 * `name` is the process (`api`, `worker`).
 */
export const createLogger = (name: string, level: string): Logger =>
  pino({
    name,
    level,
    redact: { paths: REDACTED.flatMap((path) => [path, `*.${path}`]), censor: '[redacted]' },
  });
