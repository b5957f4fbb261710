import { createReadStream, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type OpenAI from 'openai';
import { type Figure, pairedFigure } from './figure.ts';
import { ADMIN_KEY, type Installation, startInstallation } from './installation.ts';

/** Of the issue: lines of the largest batch, memory of the API, memory of Redis a queued line, a chat beside a batch. */
const LINES = 50_000;
const API_MEMORY_MB = 300;
const REDIS_BYTES_A_LINE = 60;
const CHAT_RATIO = 1.5;

const CHAT_ROUNDS = 5;
const CHATS_A_ROUND = 20;
/** What a provider takes at least; the batch makes 64 pictures at once at this pace, some 200 a second. */
const UPSTREAM_DELAY_MS = 300;

const writeLines = async (path: string, lines: number): Promise<void> => {
  const file = await open(path, 'w');
  for (let n = 0; n < lines; n++) {
    const body = { model: 'gpt-image-2', prompt: `picture number ${n}: a fox in the snow, painted in oil`, size: '1024x1024' };
    await file.write(`${JSON.stringify({ custom_id: `request-${n}`, method: 'POST', url: '/v1/images/generations', body })}\n`);
  }
  await file.close();
};

const createBatch = async ({ client, folder }: Installation, lines: number): Promise<OpenAI.Batch> => {
  const path = join(folder, 'lines.jsonl');
  await writeLines(path, lines);
  const file = await client.files.create({ file: createReadStream(path), purpose: 'batch' });
  return client.batches.create({ input_file_id: file.id, completion_window: '24h', endpoint: '/v1/images/generations' });
};

const residentMb = (pid: number): number => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024;

const usedMemory = async (redis: Redis): Promise<number> => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);

/** Seconds that Node alone takes to read the same file and parse each line. */
const parseAlone = async (path: string): Promise<number> => {
  const startedAt = performance.now();
  for await (const line of createInterface({ input: createReadStream(path) })) JSON.parse(line);
  return (performance.now() - startedAt) / 1000;
};

const limitFigure = (figure: string, unit: string, ours: number, limit: number): Figure =>
  pairedFigure('batch', figure, unit, [{ ours, baseline: limit }], { atMost: 1 });

/** 50,000 lines: how soon they run, what they cost the API and Redis, and that they end. */
const large = async (): Promise<Figure[]> => {
  const installation = await startInstallation(0);
  const { client, redis, apiPid, folder } = installation;
  try {
    const before = await usedMemory(redis);
    let batch = await createBatch(installation, LINES);
    const createdAt = performance.now();
    let mostMb = 0;
    const look = async (): Promise<void> => {
      batch = await client.batches.retrieve(batch.id);
      mostMb = Math.max(mostMb, residentMb(apiPid));
    };
    while (batch.status === 'validating') {
      await sleep(20);
      await look();
    }
    const runningAfter = (performance.now() - createdAt) / 1000;
    const bytesALine = ((await usedMemory(redis)) - before) / LINES;
    while (batch.status === 'in_progress' || batch.status === 'finalizing') {
      await sleep(200);
      await look();
    }
    if (batch.status !== 'completed' || batch.request_counts?.completed !== LINES)
      throw new Error(`batch: ${batch.status} ${JSON.stringify(batch.request_counts)}`);
    const linesASecond = LINES / ((performance.now() - createdAt) / 1000);
    console.error(
      `  50,000 lines: running ${runningAfter.toFixed(1)} s after the batch was created, ${linesASecond.toFixed(0)} lines/s to the end of the output file`,
    );
    return [
      pairedFigure(
        'batch',
        '50,000 lines: checked and running',
        's',
        [{ ours: runningAfter, baseline: await parseAlone(join(folder, 'lines.jsonl')) }],
        undefined,
      ),
      limitFigure('50,000 lines: memory of the api', 'MB', mostMb, API_MEMORY_MB),
      limitFigure('50,000 lines: redis a queued line', 'bytes', bytesALine, REDIS_BYTES_A_LINE),
    ];
  } finally {
    await installation.stop();
  }
};

const chat = async ({ url }: Installation, n: number): Promise<void> => {
  const response = await fetch(`${url}/v1/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json', prefer: 'wait=60' },
    body: JSON.stringify({ type: 'chat', input: `question ${n}` }),
  });
  const job = (await response.json()) as { status: string };
  if (job.status !== 'completed') throw new Error(`chat: ${job.status}`);
};

const chatMs = async (installation: Installation): Promise<number> => {
  const times: number[] = [];
  for (let n = 0; n < CHATS_A_ROUND; n++) {
    const startedAt = performance.now();
    await chat(installation, n);
    times.push(performance.now() - startedAt);
  }
  return times.toSorted((a, b) => a - b)[CHATS_A_ROUND >> 1] ?? 0;
};

/** A chat job in the middle of a batch against one without, through the same worker process. */
const beside = async (): Promise<Figure[]> => {
  const installation = await startInstallation(UPSTREAM_DELAY_MS);
  const { client } = installation;
  const rounds: { ours: number; baseline: number }[] = [];
  try {
    await chatMs(installation);
    for (let round = 0; round < CHAT_ROUNDS; round++) {
      const first = round % 2 === 0 ? await chatMs(installation) : undefined;
      const batch = await createBatch(installation, LINES);
      while ((await client.batches.retrieve(batch.id)).status === 'validating') await sleep(50);
      // Let it reach its full pace.
      await sleep(3000);
      const ours = await chatMs(installation);
      await client.batches.cancel(batch.id);
      while (!['cancelled', 'completed'].includes((await client.batches.retrieve(batch.id)).status)) await sleep(100);
      rounds.push({ ours, baseline: first ?? (await chatMs(installation)) });
    }
  } finally {
    await installation.stop();
  }
  return [pairedFigure('batch', 'a chat job in the middle of a batch', 'ms', rounds, { atMost: CHAT_RATIO })];
};

/** Batches at volume, without faults. */
export const batch = async (): Promise<Figure[]> => [...(await beside()), ...(await large())];
