import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { OpenAI } from 'openai';

// The baseline of `process`: a worker that makes the same streamed call with the same client and returns the text.
const client = new OpenAI({ apiKey: 'bench', baseURL: process.env['OPENAI_BASE_URL'] ?? '', maxRetries: 0 });
const worker = new Worker(
  'chat',
  async (job) => {
    const stream = await client.chat.completions.create({
      model: 'bench',
      messages: [{ role: 'user', content: job.data.input }],
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    return { text };
  },
  {
    connection: new Redis(process.env['REDIS_URL'] ?? '', { maxRetriesPerRequest: null }),
    concurrency: Number(process.env['CONCURRENCY']),
    removeOnComplete: { count: 0 },
  },
);
await worker.waitUntilReady();
console.log('bare worker is ready');
