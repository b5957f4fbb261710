import { expect, test } from 'vitest';
import { partsExpireMs } from './batch.ts';

test('what a batch reads outlives the batch, whenever it ends and however long blobs live', () => {
  const createdMs = 1_000_000;
  const expiresMs = createdMs + 86_400_000;
  for (const ttlSeconds of [1, 3600, 2_592_000]) {
    // The latest end: its files are written after its expiry, within hours.
    const latestEndMs = expiresMs + 12 * 3_600_000;
    expect(partsExpireMs({ expiresMs }, ttlSeconds)).toBeGreaterThan(latestEndMs + ttlSeconds * 1000);
  }
});
