import { serve } from '@hono/node-server';
import { Queue } from 'bullmq';
import { Hono } from 'hono';
import { Redis } from 'ioredis';

// The baseline of `accept`: a handler that only awaits queue.add.
const queue = new Queue('chat', { connection: new Redis(process.env['REDIS_URL'] ?? '', { maxRetriesPerRequest: null }) });
const app = new Hono();
app.post('/v1/jobs', async (c) => {
  const body = await c.req.json();
  const job = await queue.add('run', body);
  return c.json({ id: job.id }, 202);
});
serve({ fetch: app.fetch, port: Number(process.env['PORT']), hostname: '127.0.0.1' }, () => console.log('bare api is ready'));
