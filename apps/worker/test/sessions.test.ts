import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { findBlob } from '@fana/core/blobs/store.ts';
import { createAcceptor } from '@fana/core/jobs/acceptor.ts';
import { eraseJob } from '@fana/core/jobs/erase.ts';
import type { JobRecord } from '@fana/core/jobs/job.ts';
import { jobKey, readJob } from '@fana/core/jobs/store.ts';
import { submitJob } from '@fana/core/jobs/submit.ts';
import type { CallOptions, ChatMessage, ChatRequest, ImageRequest, Provider } from '@fana/core/providers/provider.ts';
import type { Enqueue } from '@fana/core/queues.ts';
import { connectSubscriber } from '@fana/core/redis.ts';
import { eraseSession } from '@fana/core/sessions/erase-session.ts';
import { createSession, findSession } from '@fana/core/sessions/manage-sessions.ts';
import { sessionKey } from '@fana/core/sessions/store.ts';
import { countTokens } from '@fana/core/sessions/tokens.ts';
import { loadLanguageDetector } from '@fana/core/triggers/language.ts';
import { startRedis, type TestRedis } from '@fana/testkit/redis.ts';
import { type TestDeps, testDeps } from '@fana/testkit/test-deps.ts';
import type { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createLeaseKeeper, type LeaseKeeper } from '../src/leases.ts';
import { runJob } from '../src/run-job.ts';

const ONE_PIXEL = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');

let redis: TestRedis;
let deps: TestDeps;
let subscriber: Redis;
let keeper: LeaseKeeper;
/** Messages sent and not run yet. */
let waiting: { id: string; run: number }[] = [];
let chats: ChatRequest[] = [];
let images: ImageRequest[] = [];
let answer: (request: ChatRequest, options: CallOptions) => string | Promise<string>;

const provider: Provider = {
  name: 'openai',
  async chat(request, options) {
    chats.push(request);
    return { text: await answer(request, options), finishReason: 'stop', usage: {}, model: request.model };
  },
  async image(request) {
    images.push(request);
    return { images: [{ bytes: ONE_PIXEL }], usage: {}, model: request.model };
  },
};

beforeAll(async () => {
  redis = await startRedis();
  const real = testDeps(redis.url);
  const enqueue = async (messages: Enqueue[]): Promise<void> => {
    waiting.push(...messages.map(({ message }) => message));
  };
  const providers: TestDeps['providers'] = { ...real.providers, targets: (model) => [{ provider, model, warnings: [] }], costUsd: () => undefined };
  deps = { ...real, queues: { ...real.queues, enqueue }, providers };
  subscriber = connectSubscriber(redis.url);
  keeper = await createLeaseKeeper({ redis: deps.redis, logger: pino({ enabled: false }) }, subscriber);
  await loadLanguageDetector();
});
afterAll(async () => {
  keeper.close();
  subscriber.disconnect();
  await deps.close();
  await redis.stop();
});
beforeEach(() => {
  waiting = [];
  chats = [];
  images = [];
  answer = ({ messages }) => `re: ${textOf(messages.at(-1))}`;
});

const newSession = async (more: object = {}): Promise<string> => (await createSession(deps, { tenant: 't', ...more })).id;
const submit = async (sessionId: string, input: unknown, more: object = {}): Promise<JobRecord> => {
  const body = { input, session_id: sessionId, ...more };
  return (await submitJob(deps, createAcceptor(deps), { tenant: 't', keyId: 'k', requestsPerMinute: 0 }, body, { rawBody: '' })).job;
};
const runAll = async (): Promise<void> => {
  for (let next = waiting.shift(); next; next = waiting.shift()) await runJob(deps, keeper, next);
};
const say = async (sessionId: string, input: unknown, more: object = {}): Promise<JobRecord> => {
  const { id } = await submit(sessionId, input, more);
  await runAll();
  return (await readJob(deps.redis, id)) ?? Promise.reject(new Error('the job is gone'));
};
const textOf = (message: ChatMessage | undefined): string => {
  if (!Array.isArray(message?.content)) return message?.content ?? '';
  return message.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join(' ');
};
const partsOf = (message: ChatMessage | undefined) => (Array.isArray(message?.content) ? message.content : []);
const spoken = (request: ChatRequest | undefined): string[] => (request?.messages ?? []).filter(({ role }) => role !== 'system').map(textOf);
const systemOf = (request: ChatRequest | undefined): string => textOf(request?.messages.find(({ role }) => role === 'system'));

describe('each turn', () => {
  it('is sent with every earlier one, oldest first', async () => {
    const session = await newSession();
    for (const text of ['one', 'two', 'three']) await say(session, text, { type: 'chat' });
    expect(spoken(chats[2])).toEqual(['one', 're: one', 'two', 're: two', 'three']);
  });

  it('goes without those that failed, and with long ones and those whose jobs have expired', async () => {
    const session = await newSession();
    const long = 'long '.repeat(9000);
    const first = await say(session, long, { type: 'chat' });
    answer = () => Promise.reject(new Error('broken'));
    await say(session, 'broken', { type: 'chat' });
    answer = () => 'fine';
    await eraseJob(deps, first, { expired: true });
    await say(session, 'last', { type: 'chat' });
    expect(spoken(chats.at(-1))).toEqual([long, `re: ${long}`, 'last']);
  });

  it('waits in no worker: only the job whose turn it is has a message', async () => {
    const session = await newSession();
    const jobs = await Promise.all(Array.from({ length: 20 }, (_, at) => submit(session, `message ${at}`, { type: 'chat' })));
    expect(waiting).toHaveLength(1);
    await runAll();
    const turns = await Promise.all(jobs.map(async ({ id }) => (await readJob(deps.redis, id))?.session?.turn ?? 0));
    const inOrder = jobs.map((_, at) => jobs[turns.indexOf(at + 1)]?.spec.inputPreview ?? '');
    for (const [at, request] of chats.entries()) {
      expect(spoken(request)).toEqual([...inOrder.slice(0, at).flatMap((text) => [text, `re: ${text}`]), inOrder[at]]);
    }
    expect(chats).toHaveLength(20);
  });
});

describe('the window', () => {
  // 8,192 tokens of context less 6,192 for the answer.
  const small = { type: 'chat', model: 'llama3-70b-8192', parameters: { max_tokens: 6192 } };

  it('holds the newest turns that fit the model, counted, and the job says what was left out', async () => {
    const session = await newSession();
    answer = () => 'word '.repeat(200).trim();
    for (let at = 0; at < 12; at++) await say(session, `question ${at}`, { type: 'chat' });
    const job = await say(session, 'and now?', small);
    const request = chats.at(-1);
    const tokens = await countTokens((request?.messages ?? []).map(textOf).join('\n'));
    expect(tokens).toBeLessThan(2000 / 1.25);
    expect(tokens).toBeGreaterThan(2000 / 1.25 - 300);
    expect(spoken(request).at(-3)).toBe('question 11');
    const left = 12 - (spoken(request).length - 1) / 2;
    expect(left).toBeGreaterThan(3);
    expect(job.warnings).toContain(`${left} earlier turns of the session did not fit the model's context and were left out.`);
  });

  it('says nothing of earlier turns that all fit, and is empty when the message alone fills the model', async () => {
    const session = await newSession();
    await say(session, 'one', { type: 'chat' });
    expect((await say(session, 'two', { type: 'chat' })).warnings).toEqual([]);
    const full = await say(session, 'word '.repeat(3000), small);
    expect(spoken(chats.at(-1))).toHaveLength(1);
    expect(full.warnings).toEqual(["2 earlier turns of the session did not fit the model's context and were left out."]);
  });

  it('of a session of 1,000 turns costs within 1.2 of one whose turns just fill it: commands, bytes, tokens', async () => {
    const cost = async (turns: number): Promise<{ commands: number; bytes: number; messages: number }> => {
      const session = await newSession();
      answer = () => 'word '.repeat(60).trim();
      for (let at = 0; at < 3; at++) await say(session, 'a question of some words', { type: 'chat' });
      // The others are copies of the third turn: a thousand runs would prove no more.
      const line = (await deps.redis.hget(`${sessionKey(session)}:turns`, '3')) ?? '';
      const fields = Object.fromEntries(Array.from({ length: turns - 3 }, (_, at) => [at + 4, line]));
      await deps.redis.hset(`${sessionKey(session)}:turns`, fields);
      await deps.redis.hset(sessionKey(session), 'last_turn', turns);
      const job = await submit(session, 'and now?', small);
      const before = await counters();
      await runAll();
      const after = await counters();
      expect((await readJob(deps.redis, job.id))?.status).toBe('completed');
      return { commands: after.commands - before.commands, bytes: after.bytes - before.bytes, messages: chats.at(-1)?.messages.length ?? 0 };
    };
    const counters = async (): Promise<{ commands: number; bytes: number }> => {
      const [stats, calls] = [await deps.redis.info('stats'), await deps.redis.info('commandstats')];
      const of = (name: string): number => Number(new RegExp(`${name}:(\\d+)`).exec(stats)?.[1]);
      const commands = [...calls.matchAll(/^cmdstat_(?!info)\S+?:calls=(\d+)/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
      return { commands, bytes: of('total_net_output_bytes') + of('total_net_input_bytes') };
    };
    const long = await cost(1000);
    const fitting = (long.messages - 2) / 2;
    expect(fitting).toBeGreaterThan(10);
    const exact = await cost(fitting);
    expect(exact.messages).toBe(long.messages);
    expect(long.commands / exact.commands).toBeLessThan(1.2);
    expect(long.bytes / exact.bytes).toBeLessThan(1.2);
  });
});

describe('a picture of a turn', () => {
  it('is edited by "make it darker" and looked at by "what is on it?"; the answer knows the turns before', async () => {
    const session = await newSession();
    const drawn = await say(session, 'draw a fox in the snow');
    expect(drawn.spec.type).toBe('image');
    const darker = await say(session, 'make it darker');
    expect(darker.spec).toMatchObject({ type: 'image', trigger: { label: 'image', source: 'session' } });
    expect(images[1]?.pictures.map(({ bytes }) => bytes)).toEqual([ONE_PIXEL]);
    const look = await say(session, 'what is on it?');
    expect(look.spec).toMatchObject({ type: 'vision', trigger: { label: 'vision', source: 'session' } });
    const shown = (at: number): number => partsOf(chats[0]?.messages.at(at)).filter(({ type }) => type === 'image').length;
    // The one that is meant stands with the question, the one before it where it was edited.
    expect([shown(-1), shown(-3)]).toEqual([1, 1]);
    expect(spoken(chats[0])).toEqual(['draw a fox in the snow', '[1 picture made]', 'make it darker', '[1 picture made]', 'what is on it?']);
    // It was shown in that turn, so it is still the one that is meant.
    expect((await say(session, 'and who is in the picture?')).spec.type).toBe('vision');
    const chat = await say(session, 'what is the capital of Peru?');
    expect(chat.spec).toMatchObject({ type: 'chat', trigger: { source: 'model' } });
    expect(spoken(chats.at(-1))).toContain('[1 picture made]');
  });

  it('is a new one when the message names a subject; the picture before is left alone', async () => {
    const session = await newSession();
    await say(session, 'draw a fox in the snow');
    const drawn = await say(session, 'draw a cat');
    expect(drawn.spec).toMatchObject({ type: 'image', trigger: { source: 'model' } });
    expect(images[1]?.pictures).toEqual([]);
  });

  it('may be one that was attached, also for types that the request names', async () => {
    const session = await newSession();
    await say(session, { text: 'what is this?', images: [{ data: ONE_PIXEL.toString('base64'), media_type: 'image/png' }] });
    await say(session, 'make it darker', { type: 'image' });
    expect(images[0]?.pictures.map(({ bytes }) => bytes)).toEqual([ONE_PIXEL]);
    await say(session, 'tell me more', { type: 'vision' });
    expect(chats).toHaveLength(2);
  });

  it('that was asked for and failed fails the job that means it, before any call', async () => {
    const session = await newSession();
    const first = await submit(session, 'draw a fox in the snow');
    const second = await submit(session, 'make it darker');
    await deps.redis.hset(jobKey(first.id), 'status', 'cancelling');
    await runAll();
    expect(await readJob(deps.redis, second.id)).toMatchObject({ status: 'failed', error: { code: 'image_unreadable' } });
    expect(images).toEqual([]);
  });
});

describe('the language', () => {
  it('is that of each message, kept on the session, and asked for in the system prompt', async () => {
    const session = await newSession();
    const german = await say(session, 'Wie heißt die Hauptstadt von Portugal, und wie viele Menschen leben dort?', { type: 'chat' });
    expect(german.language).toBe('de');
    expect(systemOf(chats[0])).toContain('Answer in German unless the user asks for another language.');
    expect((await findSession(deps, 't', session)).spoken).toBe('de');
    const short = await say(session, 'ok', { type: 'chat' });
    expect(short.language).toBe('de');
    expect(systemOf(chats[1])).toContain('Answer in German');
    await say(session, '¿Y cuántos habitantes tiene la ciudad de Lisboa en la actualidad?', { type: 'chat' });
    expect(systemOf(chats[2])).toContain('Answer in Spanish');
    expect((await findSession(deps, 't', session)).spoken).toBe('es');
  });

  it('is the one that was set: of the job, else of the session', async () => {
    const session = await newSession({ language: 'pt-BR' });
    await say(session, 'What is the capital of Portugal?', { type: 'chat' });
    expect(systemOf(chats[0])).toMatch(/Answer in Brazilian Portuguese\.$/);
    const job = await say(session, 'What is the capital of Portugal?', { type: 'chat', language: 'fr' });
    expect(systemOf(chats[1])).toMatch(/Answer in French\.$/);
    expect(job.spec.language).toBe('fr');
  });

  const RIGHT_TO_LEFT = [
    'مَا هِيَ عَاصِمَةُ البَرَازِيل؟ أَخْبِرْنِي 123 عَنْهَا (من فضلك).',
    'שָׁלוֹם! מה שלומך? כתוב לי על ‎API‎ ועל "ירושלים".',
    'سلام، می‌خواهم دربارهٔ تهران بدانم؛ ۱۲۳ نفر؟',
    '\u2067עברית\u2069 \u200f(test)\u200e \u202bمرحبا\u202c',
  ];
  it.each(RIGHT_TO_LEFT)('from right to left is kept to the last mark: %s', async (text) => {
    const session = await newSession();
    answer = ({ messages }) => textOf(messages.at(-1));
    const job = await say(session, text, { type: 'chat' });
    await say(session, 'ok', { type: 'chat' });
    const said = text.normalize('NFC');
    expect(spoken(chats[1])).toEqual([said, said, 'ok']);
    expect(job.output).toMatchObject({ text: said });
  });
});

describe('erasing a session', () => {
  it('stops a job that runs: its call is aborted, its late picture and text are not kept, and no blob is left', async () => {
    const session = await newSession();
    await say(session, 'draw a fox in the snow');
    const blobs = async (): Promise<string[]> =>
      (await readdir(`${deps.config.dataDir}/blobs`, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map(({ name }) => name);
    const before = await blobs();
    let aborted = false;
    let begun = (): void => undefined;
    const running = new Promise<void>((resolve) => {
      begun = resolve;
    });
    answer = async (_, { signal }) => {
      begun();
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      aborted = true;
      return 'too late '.repeat(10_000);
    };
    const job = await submit(session, 'tell me a secret', { type: 'chat' });
    const run = runAll();
    await running;
    await eraseSession(deps, 't', session);
    await run;
    expect(aborted).toBe(true);
    expect(await readJob(deps.redis, job.id)).toBeUndefined();
    expect(await deps.redis.keys(`*${job.id}*`)).toEqual([]);
    expect(before.length).toBeGreaterThan(0);
    expect((await blobs()).filter((name) => !before.includes(name))).toEqual([]);
    expect((await blobs()).filter((name) => before.includes(name)).length).toBe(before.length - 1);
  });

  it('keeps no picture that is made after it', async () => {
    const session = await newSession();
    const job = await submit(session, 'draw a fox in the snow');
    const slow: TestDeps['blobs'] = {
      ...deps.blobs,
      async put(...blob) {
        await deps.blobs.put(...blob);
        await eraseSession(deps, 't', session);
        await sleep(10);
      },
    };
    const next = waiting.shift();
    await runJob({ ...deps, blobs: slow }, keeper, next ?? { id: job.id, run: 1 });
    expect(images).toHaveLength(1);
    expect(await deps.redis.keys('fana:blob:*').then((keys) => Promise.all(keys.map((key) => findBlob(deps, key.slice(10), 't'))))).toSatisfy(
      (records: { createdMs: number }[]) => records.every(({ createdMs }) => createdMs < job.createdMs),
    );
    expect(await deps.redis.exists(jobKey(job.id))).toBe(0);
  });
});
