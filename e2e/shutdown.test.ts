import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, it } from 'vitest';
import { answerChat, answerImage, type Behaviour, type FaultUpstream, startFaultUpstream } from './support/fault-upstream.ts';
import { type Installation, type Job, type Process, startInstallation } from './support/installation.ts';
import { type ReceivedEvent, readServerSentEvents } from './support/server-sent-events.ts';

const withInstallation = async (
  behave: Behaviour,
  options: { env?: Record<string, string>; workers?: number },
  test: (fana: Installation, upstream: FaultUpstream) => Promise<void>,
): Promise<void> => {
  const upstream = await startFaultUpstream(behave);
  try {
    const fana = await startInstallation({ ...options, env: { ...upstream.env, ...options.env } });
    try {
      await test(fana, upstream);
    } finally {
      await fana.stop();
    }
  } finally {
    await upstream.stop();
  }
};

const firstWorker = (fana: Installation): Process => fana.workers[0] ?? fana.api;

/** Sends a signal; `exited` resolves with the exit code (null: ended by a signal) and how long it took. */
const signal = ({ child }: Process, name: NodeJS.Signals): { exited: Promise<{ code: number | null; ms: number }> } => {
  const from = Date.now();
  const exited = once(child, 'exit').then(([code]) => ({ code: code as number | null, ms: Date.now() - from }));
  child.kill(name);
  return { exited };
};

/** Streams one word after another, `everyMs` apart. */
const trickle = async (response: ServerResponse, words: string[], everyMs: number): Promise<void> => {
  const send = (delta: object, finish: string | null): boolean =>
    response.write(
      `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`,
    );
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const word of words) {
    send({ content: word }, null);
    await sleep(everyMs);
  }
  send({}, 'stop');
  response.end('data: [DONE]\n\n');
};

describe.concurrent('a worker process', () => {
  it('finishes a call of a second, leaves what waits in the queue, and exits 0; two SIGINTs within 2 s count as one', async ({ expect }) => {
    const behave: Behaviour = async (_, response) => {
      await sleep(1000);
      answerChat(response, 'done');
    };
    await withInstallation(behave, { env: { FANA_CONCURRENCY_CHAT: '1' } }, async (fana, upstream) => {
      const running = await fana.submit({ type: 'chat', input: 'under way' });
      const waiting = await fana.submit({ type: 'chat', input: 'in the queue' });
      await expect.poll(() => upstream.bodies.length, { timeout: 10_000 }).toBe(1);
      const { exited } = signal(firstWorker(fana), 'SIGINT');
      await sleep(200);
      firstWorker(fana).child.kill('SIGINT');
      const { code, ms } = await exited;
      expect(code).toBe(0);
      expect(ms).toBeLessThan(10_000);
      expect(await fana.job(running.id)).toMatchObject({ status: 'completed', output: { text: 'done' }, attempts: [{ outcome: 'completed' }] });
      expect(await fana.job(waiting.id)).toMatchObject({ status: 'queued', attempts: [] });
      expect(upstream.bodies).toHaveLength(1);
      await fana.startWorker();
      expect((await fana.ended(waiting.id)).status).toBe('completed');
    });
  });

  it('is ended at once by a SIGINT that comes later, and its job is taken up by another', async ({ expect }) => {
    const behave: Behaviour = ({ number }, response) => (number === 1 ? undefined : answerChat(response, 'done'));
    await withInstallation(behave, {}, async (fana, upstream) => {
      const { id } = await fana.submit({ type: 'chat', input: 'hi' });
      await expect.poll(() => upstream.bodies.length, { timeout: 10_000 }).toBe(1);
      const { exited } = signal(firstWorker(fana), 'SIGINT');
      await sleep(2200);
      firstWorker(fana).child.kill('SIGINT');
      const { code, ms } = await exited;
      expect(code).toBe(1);
      expect(ms).toBeLessThan(4000);
      await fana.startWorker();
      expect(await fana.ended(id, 25_000)).toMatchObject({ status: 'completed', attempts: [{ outcome: 'unknown' }, { outcome: 'completed' }] });
    });
  });

  it('at the end of its drain gives a hung chat job to another worker, holds a picture already sent, and exits 0 within 30 s', async ({ expect }) => {
    const calls: { path: string; closed: boolean }[] = [];
    const behave: Behaviour = ({ path, body, closed }, response) => {
      const isFirst = calls.filter((call) => call.path === path).length === 0;
      const call = { path, closed: false };
      calls.push(call);
      void closed.then(() => {
        call.closed = true;
      });
      if (isFirst && !body.includes('quick')) return;
      if (path.includes('/images/')) answerImage(response);
      else answerChat(response, 'by the other');
    };
    await withInstallation(behave, {}, async (fana) => {
      const chat = await fana.submit({ type: 'chat', input: 'hang' });
      const image = await fana.submit({ type: 'image', input: 'hang' });
      await expect.poll(() => calls.length, { timeout: 10_000 }).toBe(2);
      const hung = [...calls];
      const { exited } = signal(firstWorker(fana), 'SIGTERM');
      await fana.startWorker();
      expect((await fana.submit({ type: 'chat', input: 'quick' }, { prefer: 'wait=10' })).status).toBe('completed');
      const { code, ms } = await exited;
      expect(code).toBe(0);
      expect(ms).toBeLessThan(30_000);
      expect(hung.map(({ closed }) => closed)).toEqual([true, true]);
      expect(await fana.ended(chat.id, 10_000)).toMatchObject({
        status: 'completed',
        output: { text: 'by the other' },
        attempts: [{ outcome: 'cancelled' }, { outcome: 'completed' }],
      });
      expect(await fana.ended(image.id, 1000)).toMatchObject({
        status: 'unknown_outcome',
        error: { code: 'unknown_outcome' },
        attempts: [{ number: 1, outcome: 'unknown' }],
      });
      expect(calls.filter(({ path }) => path.includes('/images/'))).toHaveLength(1);
    });
  });
});

describe.concurrent('a worker that is gone without a word', () => {
  it('and comes back after its lease cannot overwrite what another made of its job', async ({ expect }) => {
    const behave: Behaviour = async ({ number }, response) => {
      await sleep(500);
      answerChat(response, number === 1 ? 'by the frozen one' : 'by the other');
    };
    await withInstallation(behave, {}, async (fana, upstream) => {
      const frozen = firstWorker(fana);
      const { id } = await fana.submit({ type: 'chat', input: 'hi' });
      await expect.poll(() => upstream.bodies.length, { timeout: 10_000, interval: 10 }).toBe(1);
      frozen.child.kill('SIGSTOP');
      const from = Date.now();
      await fana.startWorker();
      const job = await fana.ended(id, 25_000);
      expect(Date.now() - from).toBeLessThan(20_000);
      const expected = { status: 'completed', output: { text: 'by the other' }, attempts: [{ outcome: 'unknown' }, { outcome: 'completed' }] };
      expect(job).toMatchObject(expected);
      frozen.child.kill('SIGCONT');
      await sleep(4000);
      expect(await fana.job(id)).toEqual(job);
      const events = await readServerSentEvents(await fana.request(`/v1/jobs/${id}/events`));
      expect(events.map(({ type }) => type).filter((type) => type === 'job.completed')).toHaveLength(1);
      expect(events.map(({ data }) => data.delta ?? '').join('')).toBe('by the other');
      expect(upstream.bodies).toHaveLength(2);
    });
  });

  it('leaves a job that was cancelled meanwhile to be ended by another, without a further call', async ({ expect }) => {
    await withInstallation(
      () => undefined,
      {},
      async (fana, upstream) => {
        const { id } = await fana.submit({ type: 'chat', input: 'hi' });
        await expect.poll(() => upstream.bodies.length, { timeout: 10_000 }).toBe(1);
        await signal(firstWorker(fana), 'SIGKILL').exited;
        const cancelled = await fana.request(`/v1/jobs/${id}/cancel`, { method: 'POST' });
        expect(await cancelled.json()).toMatchObject({ status: 'cancelling' });
        await fana.startWorker();
        expect(await fana.ended(id, 20_000)).toMatchObject({ status: 'cancelled', attempts: [{ outcome: 'unknown' }] });
        expect(upstream.bodies).toHaveLength(1);
      },
    );
  });
});

describe.concurrent('an API process', () => {
  it('exits 0 within 5 s with a stream and waiting requests open: these are answered as things stand; nothing is lost for those who go on at another', async ({
    expect,
  }) => {
    const words = Array.from({ length: 30 }, (_, n) => `word${n} `);
    await withInstallation(
      (_, response) => trickle(response, words, 500),
      {},
      async (fana) => {
        const leaving = await fana.startApi();
        const { id } = await fana.submit({ type: 'chat', input: 'tell me slowly' });
        const received: ReceivedEvent[] = [];
        const stream = await fana.request(`/v1/jobs/${id}/events`, { at: leaving.url });
        const reading = readServerSentEvents(stream, (events) => {
          received.splice(0, received.length, ...events);
          return false;
        }).catch(() => undefined);
        const reading202 = fana.request(`/v1/jobs/${id}?wait=60`, { at: leaving.url }).then(
          async (response) => (await response.json()) as Job,
          () => undefined,
        );
        await expect.poll(() => received.filter(({ type }) => type === 'output.delta').length, { timeout: 10_000 }).toBeGreaterThan(1);

        const { exited } = signal(leaving, 'SIGTERM');
        await expect
          .poll(
            () =>
              fana.request('/healthz', { at: leaving.url }).then(
                () => 'answered',
                () => 'refused',
              ),
            { timeout: 3000 },
          )
          .toBe('refused');
        const { code, ms } = await exited;
        expect(code).toBe(0);
        expect(ms).toBeLessThan(5000);
        await reading;
        expect(await reading202).toMatchObject({ id, status: 'in_progress' });
        expect(received.at(-1)?.type).toBe('output.delta');

        const rest = await readServerSentEvents(await fana.request(`/v1/jobs/${id}/events`, { headers: { 'last-event-id': received.at(-1)?.id ?? '' } }));
        const text = [...received, ...rest].map(({ data }) => data.delta ?? '').join('');
        expect(text).toBe(words.join(''));
        expect(rest.at(-1)).toMatchObject({ type: 'job.completed', data: { job: { output: { text } } } });
        expect((await fana.job(id)).attempts).toHaveLength(1);
      },
    );
  });

  it('killed while it accepts loses no job that it answered, and what it had written down ends too', async ({ expect }) => {
    await withInstallation(
      (_, response) => answerChat(response, 'done'),
      {},
      async (fana) => {
        const dying = await fana.startApi();
        const answered: string[] = [];
        const submit = async (n: number): Promise<void> => {
          const response = await fana.request('/v1/jobs', { at: dying.url, body: { type: 'chat', input: `message ${n}` } });
          answered.push(((await response.json()) as Job).id);
          if (answered.length === 150) dying.child.kill('SIGKILL');
        };
        const results = await Promise.allSettled(Array.from({ length: 600 }, (_, n) => submit(n)));
        expect(results.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0);
        expect(answered.length).toBeGreaterThanOrEqual(150);
        for (const id of answered) expect((await fana.ended(id, 25_000)).status).toBe('completed');
        const open = async (status: string): Promise<number> =>
          ((await (await fana.request(`/v1/jobs?status=${status}&limit=1`)).json()) as { data: Job[] }).data.length;
        await expect.poll(async () => (await open('queued')) + (await open('in_progress')), { timeout: 20_000, interval: 250 }).toBe(0);
      },
    );
  });
});
