import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, loadConfig } from '@fana/core/config.ts';
import { atExit } from './at-exit.ts';

/** The admin key of every test configuration that does not set its own. */
export const TEST_ADMIN_KEY = 'test-admin-key-0123456789-0123456789';

/** A folder that does not exist yet. It is removed when this process ends by itself; a test runner kills its workers, so a test that writes removes it. */
const temporaryFolder = (): string => {
  const folder = join(tmpdir(), `fana-data-${randomUUID()}`);
  atExit(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};

/**
 * A configuration for a test, built by the product's own `loadConfig` from `overrides` (names of environment variables)
 * over safe defaults: no provider key (the simulated provider serves), a data folder of its own under the system's temporary
 * folder, a Redis URL that nobody answers, silent logs. The real environment is not read.
 * @throws ConfigError when an override is bad.
 */
export const testConfig = (overrides: Record<string, string> = {}): Config =>
  loadConfig({
    FANA_DATA_DIR: overrides['FANA_DATA_DIR'] ?? temporaryFolder(),
    REDIS_URL: 'redis://127.0.0.1:1',
    FANA_ADMIN_KEY: TEST_ADMIN_KEY,
    FANA_SIGNING_SECRET: 'test-signing-secret-0123456789-0123456789',
    LOG_LEVEL: 'silent',
    ...overrides,
  });
