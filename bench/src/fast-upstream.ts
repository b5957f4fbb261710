import { setTimeout as sleep } from 'node:timers/promises';
import { startFastUpstream } from '@fana/testkit/fast-upstream.ts';

// The testkit's provider as a process of its own, so that its work is not on the core of whoever measures. DELAY_MS before each answer.
const upstream = await startFastUpstream({ delayMs: Number(process.env['DELAY_MS'] ?? 0) });
console.log(`upstream is ready at ${upstream.url}`);
await sleep(2 ** 30);
