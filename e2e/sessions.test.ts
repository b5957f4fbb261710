import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endProcess, type Installation, type Job, startInstallation } from './support/installation.ts';
import { lastText, startUpstream, type Upstream, type UpstreamCall } from './support/upstream.ts';

let upstream: Upstream;
let fana: Installation;
/** How long the upstream thinks about a message that holds the word. */
const SLOW = 'slowly';
let slowMs = 0;

beforeAll(async () => {
  upstream = await startUpstream(async (request) => {
    const text = lastText(request);
    if (text.includes(SLOW)) await sleep(slowMs);
    return text.startsWith('[') ? 'I see a square.' : `re: ${text}`;
  });
  fana = await startInstallation({ env: upstream.env, workers: 2 });
});
afterAll(async () => {
  await fana.stop();
  await upstream.stop();
});

type Session = { id: string; turn_count: number; language: string | null };
const newSession = async (body: object = {}): Promise<string> => ((await (await fana.request('/v1/sessions', { body })).json()) as Session).id;
const session = async (id: string): Promise<Session> => (await (await fana.request(`/v1/sessions/${id}`)).json()) as Session;
const say = async (id: string, input: unknown, more: object = {}): Promise<Job> => fana.ended((await fana.submit({ input, session_id: id, ...more })).id);
type Message = { role: string; content: unknown };
const textOf = ({ content }: Message): string =>
  typeof content === 'string' ? content : (content as { type: string; text?: string }[]).flatMap(({ text }) => (text === undefined ? [] : [text])).join(' ');
const spoken = (call: UpstreamCall | undefined): string[] => (call?.body.messages ?? []).filter(({ role }) => role !== 'system').map(textOf);
const systemOf = (call: UpstreamCall | undefined): string =>
  (call?.body.messages ?? [])
    .filter(({ role }) => role === 'system')
    .map(textOf)
    .join('\n');
const chatCalls = (marker: string): UpstreamCall[] => upstream.calls().filter((call) => spoken(call).some((text) => text.includes(marker)));

describe('a conversation', () => {
  it('of six turns in three languages, with a picture, its edit and a look at it: each request holds every turn before it', async () => {
    const id = await newSession({ system: 'You are the guide of a museum.' });
    const began = upstream.calls().length;
    const texts = [
      'What is the highest mountain of the Alps?',
      'draw a fox in the snow',
      'make it darker',
      'what is on it?',
      'Und wie heißt der höchste Berg in den Pyrenäen?',
      'ما هو أعلى جبل في أفريقيا؟',
    ];
    const jobs: Job[] = [];
    for (const text of texts) jobs.push(await say(id, text));
    expect(jobs.map(({ status, type, trigger }) => [status, type, trigger.source])).toEqual([
      ['completed', 'chat', 'model'],
      ['completed', 'image', 'model'],
      ['completed', 'image', 'session'],
      ['completed', 'vision', 'session'],
      ['completed', 'chat', 'model'],
      ['completed', 'chat', 'model'],
    ]);
    const calls = upstream.calls().slice(began);
    expect(calls.map(({ path }) => path)).toEqual([
      '/openai/v1/chat/completions',
      '/v1/images/generations',
      '/v1/images/edits',
      '/v1/chat/completions',
      '/openai/v1/chat/completions',
      '/openai/v1/chat/completions',
    ]);
    const looked = calls[3]?.body.messages?.at(-1)?.content as { type: string; image_url?: { url: string } }[];
    expect(looked.filter(({ type }) => type === 'image_url').map(({ image_url }) => image_url?.url.slice(0, 22))).toEqual(['data:image/png;base64,']);
    const made = '[1 picture made]';
    const upTo = [texts[0], `re: ${texts[0]}`, texts[1], made, texts[2], made, texts[3], jobs[3]?.output?.text, texts[4], `re: ${texts[4]}`, texts[5]];
    expect(spoken(calls[3])).toEqual(upTo.slice(0, 7));
    expect(spoken(calls[4])).toEqual(upTo.slice(0, 9));
    expect(spoken(calls[5])).toEqual(upTo);
    expect(systemOf(calls[5])).toContain('You are the guide of a museum.');
    expect(systemOf(calls[4])).toContain('Answer in German');
    expect(systemOf(calls[5])).toContain('Answer in Arabic');
    expect(await session(id)).toMatchObject({ turn_count: 6, language: 'ar' });
    const turns = (await (await fana.request(`/v1/sessions/${id}/turns`)).json()) as {
      data: { job_id: string; input: { text: string }; output: Job['output'] }[];
    };
    expect(turns.data.map(({ job_id, input }) => [job_id, input.text])).toEqual(jobs.map((job, at) => [job.id, texts[at]]));
    expect(turns.data[2]?.output?.images?.[0]?.blob_id).toBe(jobs[2]?.output?.images?.[0]?.blob_id);
    expect(turns.data[5]?.output?.text).toBe(`re: ${texts[5]}`);
  });

  it('of 20 messages submitted at once, over two API processes, ends in order: every request holds all earlier turns', async () => {
    const other = await fana.startApi();
    const id = await newSession();
    const jobs = await Promise.all(
      Array.from({ length: 20 }, async (_, at) => {
        const response = await fana.request('/v1/jobs', {
          body: { type: 'chat', input: `parallel ${at}`, session_id: id },
          ...(at % 2 === 1 && { at: other.url }),
        });
        expect(response.status).toBe(202);
        return (await response.json()) as Job;
      }),
    );
    const ended = await Promise.all(jobs.map((job) => fana.ended(job.id, 60_000)));
    expect(ended.map(({ status }) => status)).toEqual(jobs.map(() => 'completed'));
    const turns = (await (await fana.request(`/v1/sessions/${id}/turns?limit=100`)).json()) as { data: { input: { text: string }; job_id: string }[] };
    const order = turns.data.map(({ input }) => input.text);
    expect(order.toSorted()).toEqual(jobs.map((_, at) => `parallel ${at}`).toSorted());
    const calls = chatCalls('parallel ');
    expect(calls.map(spoken)).toEqual(order.map((text, at) => [...order.slice(0, at).flatMap((earlier) => [earlier, `re: ${earlier}`]), text]));
  });
});

const READERS: Record<string, (redis: Redis, key: string) => Promise<unknown>> = {
  hash: (redis, key) => redis.hgetall(key),
  string: (redis, key) => redis.get(key),
  stream: (redis, key) => redis.xrange(key, '-', '+'),
  zset: (redis, key) => redis.zrange(key, 0, '-1'),
  list: (redis, key) => redis.lrange(key, 0, -1),
  set: (redis, key) => redis.smembers(key),
};

describe('erasing', () => {
  it('a session whose job runs leaves nothing of it: not in Redis, not in the blob folder; its upstream call ends, its routes are 404', async () => {
    slowMs = 20_000;
    const marker = 'xyzzy-plugh';
    const id = await newSession({ metadata: { note: marker }, system: `${marker} in the system prompt` });
    await say(id, `${marker} first ${'and a long tail '.repeat(1000)}`, { type: 'chat' });
    await say(id, `draw a fox called ${marker}`, { type: 'image' });
    const running = await fana.submit({ type: 'chat', input: `${marker} ${SLOW}`, session_id: id });
    const queued = await fana.submit({ type: 'chat', input: `${marker} never`, session_id: id });
    while ((await fana.job(running.id)).status !== 'in_progress') await sleep(25);
    await sleep(300);
    const redis = new Redis(fana.redis.url);
    const dataDir = fana.dataDir;
    const found = async (): Promise<string[]> => {
      const places: string[] = [];
      for (const key of await redis.keys('*')) {
        // Most keys of this installation come and go meanwhile: what changes its type between the two looks is gone.
        const value = await READERS[await redis.type(key)]?.(redis, key).catch(() => undefined);
        const text = key + JSON.stringify(value);
        // BullMQ keeps its last ten events, ids and nothing else.
        const ids = key.startsWith('fana:bull:') ? [] : [running.id, queued.id];
        if ([marker, id, ...ids].some((mark) => text.includes(mark))) places.push(key);
      }
      for (const entry of await readdir(dataDir, { recursive: true, withFileTypes: true })) {
        if (entry.isFile() && (await readFile(join(entry.parentPath, entry.name))).includes(marker)) places.push(entry.name);
      }
      return places;
    };
    expect((await found()).length).toBeGreaterThan(5);
    const erased = await fana.request(`/v1/sessions/${id}`, { method: 'DELETE' });
    expect(erased.status).toBe(200);
    // The worker is told at once and gives up its call; BullMQ's message goes with it.
    const end = Date.now() + 5000;
    while ((await found()).length > 0 && Date.now() < end) await sleep(100);
    expect(await found()).toEqual([]);
    for (const path of [`/v1/sessions/${id}`, `/v1/sessions/${id}/turns`, `/v1/jobs/${running.id}`, `/v1/jobs/${queued.id}`, `/v1/jobs/${running.id}/events`]) {
      expect((await fana.request(path)).status).toBe(404);
    }
    redis.disconnect();
    slowMs = 0;
  });
});

describe('a worker that dies', () => {
  it('between two turns, or in one, holds a session up for 20 s at most, and no turn is lost or out of order', async () => {
    slowMs = 1500;
    const id = await newSession();
    const jobs: Job[] = [];
    for (let at = 0; at < 4; at++) jobs.push(await fana.submit({ type: 'chat', input: `turn ${at} ${SLOW}`, session_id: id }));
    while ((await fana.job(jobs[0]?.id ?? '')).status !== 'in_progress') await sleep(25);
    const began = Date.now();
    await Promise.all(fana.workers.filter(({ child }) => child.exitCode === null && child.signalCode === null).map((worker) => endProcess(worker)));
    await fana.startWorker();
    const first = await fana.ended(jobs[0]?.id ?? '', 40_000);
    expect(Date.now() - began).toBeLessThan(25_000);
    expect(first.status).toBe('completed');
    for (const job of jobs) expect((await fana.ended(job.id, 60_000)).status).toBe('completed');
    const last = chatCalls(`turn 3 ${SLOW}`).at(-1);
    expect(spoken(last)).toEqual([0, 1, 2].flatMap((at) => [`turn ${at} ${SLOW}`, `re: turn ${at} ${SLOW}`]).concat(`turn 3 ${SLOW}`));
    slowMs = 0;
  });
});
