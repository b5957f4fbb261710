import { type Figure, pairedFigure } from './figure.ts';
import { ADMIN_KEY, type Installation, startInstallation } from './installation.ts';

const LONG = 1000;
const ROUNDS = 5;
const REPLIES_A_ROUND = 10;
/** The issue: a long session costs at most this much of one whose turns just fill the window. */
const MOST = 1.2;
/** 8,192 tokens of context less 6,192 for the answer: 2,000 for system prompt, turns and message. */
const SMALL = { model: 'llama3-70b-8192', parameters: { max_tokens: 6192 } };

/** All messages are alike, so that a window holds as many turns at its end as at its beginning. */
const TEXT = `a message of some length: ${'a sentence of seven words or so. '.repeat(6)}`;

type Cost = { ms: number; bytes: number; commands: number };

const post = async ({ url }: Installation, path: string, body: object): Promise<Record<string, unknown>> => {
  const headers = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json', prefer: 'wait=60' };
  const response = await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`sessions: ${path} answered ${response.status}`);
  return (await response.json()) as Record<string, unknown>;
};

const say = (fana: Installation, session: string, text: string, more: object = {}): Promise<Record<string, unknown>> =>
  post(fana, '/v1/jobs', { type: 'chat', input: text, session_id: session, ...more });

/** A session of so many turns; all are submitted at once and run one after another. */
const newSession = async (fana: Installation, turns: number): Promise<string> => {
  const session = String((await post(fana, '/v1/sessions', {}))['id']);
  const jobs = await Promise.all(Array.from({ length: turns }, () => say(fana, session, TEXT)));
  if (jobs.some(({ status }) => status !== 'completed')) throw new Error('sessions: a turn did not complete');
  return session;
};

const counters = async ({ redis }: Installation): Promise<{ bytes: number; commands: number }> => {
  const [stats, calls] = [await redis.info('stats'), await redis.info('commandstats')];
  const of = (name: string): number => Number(new RegExp(`${name}:(\\d+)`).exec(stats)?.[1]);
  return {
    bytes: of('total_net_output_bytes') + of('total_net_input_bytes'),
    commands: [...calls.matchAll(/^cmdstat_\S+?:calls=(\d+)/gm)].reduce((sum, [, count]) => sum + Number(count), 0),
  };
};

/** What a reply costs in each of these sessions, on average. */
const measure = async (fana: Installation, sessions: string[]): Promise<Cost> => {
  const before = await counters(fana);
  const began = performance.now();
  for (const session of sessions) await say(fana, session, TEXT, SMALL);
  const ms = performance.now() - began;
  const after = await counters(fana);
  const count = sessions.length;
  return { ms: ms / count, bytes: (after.bytes - before.bytes) / count, commands: (after.commands - before.commands) / count };
};

/** A reply in a session of 1,000 turns against one in sessions whose turns just fill the same window, through API and worker. */
export const sessions = async (): Promise<Figure[]> => {
  const fana = await startInstallation(0);
  try {
    const long = await newSession(fana, LONG);
    const { warnings } = await say(fana, long, TEXT, SMALL);
    const leftOut = Number(/^\d+/.exec(String((warnings as string[]).find((warning) => warning.includes('earlier turns'))))?.[0]);
    const fitting = LONG - leftOut;
    if (!(fitting > 1)) throw new Error(`sessions: ${fitting} turns fit the window`);
    const rounds: { ours: Cost; baseline: Cost }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const fresh: string[] = [];
      for (let at = 0; at < REPLIES_A_ROUND; at++) fresh.push(await newSession(fana, fitting));
      const baseline = await measure(fana, fresh);
      rounds.push({
        ours: await measure(
          fana,
          Array.from({ length: REPLIES_A_ROUND }, () => long),
        ),
        baseline,
      });
    }
    const pick = (what: keyof Cost) => rounds.map(({ ours, baseline }) => ({ ours: ours[what], baseline: baseline[what] }));
    return [
      pairedFigure('sessions', `a reply in a session of ${LONG} turns, window of ${fitting}`, 'ms', pick('ms'), { atMost: MOST }),
      pairedFigure('sessions', 'bytes to and from Redis', 'bytes/reply', pick('bytes'), { atMost: MOST }),
      pairedFigure('sessions', 'commands of Redis', 'commands/reply', pick('commands'), { atMost: MOST }),
    ];
  } finally {
    await fana.stop();
  }
};
