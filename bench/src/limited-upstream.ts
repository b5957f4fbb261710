import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { enforceLimit, type LimitKind } from '@fana/testkit/enforced-limit.ts';

// An image provider that enforces a limit a minute and answers 429 beyond it, with whole seconds to wait, as real ones do.
const limit = enforceLimit(process.env['KIND'] as LimitKind, Number(process.env['PER_MINUTE']));
const latencyMs = Number(process.env['LATENCY_MS']);
const ONE_PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const PICTURE = JSON.stringify({ created: 1, data: [{ b64_json: ONE_PIXEL }], usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 } });
const LIMITED = JSON.stringify({ error: { message: 'Rate limit reached.', type: 'requests', code: 'rate_limit_exceeded', param: null } });
const counts = { accepted: 0, limited: 0 };

const server = createServer((request, response) => {
  const answer = (status: number, body: string, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers });
    response.end(body);
  };
  request.resume();
  request.on('end', async () => {
    if (request.url === '/counts') return answer(200, JSON.stringify(counts));
    const refused = limit.take(Date.now());
    if (refused) {
      counts.limited += 1;
      return answer(429, LIMITED, { 'retry-after': String(Math.ceil(refused.retryAfterMs / 1000)) });
    }
    counts.accepted += 1;
    // Pictures take their time, and not all the same.
    await sleep(latencyMs * (0.5 + Math.random()));
    answer(200, PICTURE);
  });
});
server.listen(Number(process.env['PORT']), '127.0.0.1', () => console.log('upstream is ready'));
