import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FastUpstream, startFastUpstream } from '@fana/testkit/fast-upstream.ts';
import OpenAI, { toFile } from 'openai';
import { ADMIN_KEY, endProcess, type Installation, startInstallation } from './installation.ts';

/** Promise 1. */
const MAX_CALLS = 3;
/** One worker dies every so often: what it held is free again after 10 to 14 s, so two of three are mostly there. */
const KILL_EVERY_MS = 6000;
const WORKERS = 3;
/** Of 100 calls so many fail in a way that may be tried again; one of them with 429. */
const FAILING = 10;

export type ProofOptions = {
  lines: number;
  /** Default: pictures. */
  kind?: 'pictures' | 'chat' | 'embeddings';
  /** How long a call takes at the provider. */
  callMs: number;
  /** Settings of the installation. */
  env?: Record<string, string>;
  /** Workers that die. Default: one every 6 s until the end is near. */
  kills?: number;
  /** Redis and the API are killed too. Default true. */
  everything?: boolean;
  timeoutMs: number;
  /** Ends it early. */
  signal?: AbortSignal;
  log?: (line: string) => void;
};

/** What happened, and every promise that was broken, in words. An empty `broken` is the proof. */
export type Proof = {
  seconds: number;
  workerKills: number;
  redisRestarts: number;
  apiRestarts: number;
  calls: number;
  failedCalls: number;
  answers: number;
  completed: number;
  unknown: number;
  broken: string[];
};

// biome-ignore lint/suspicious/noExplicitAny: the shape of what it reads is what a proof checks
type OutputLine = any;

const ENDPOINTS = {
  pictures: { url: '/v1/images/generations', body: (prompt: string) => ({ model: 'gpt-image-2', prompt }) },
  chat: { url: '/v1/chat/completions', body: (content: string) => ({ model: 'chat-default', messages: [{ role: 'user', content }] }) },
  embeddings: { url: '/v1/embeddings', body: (input: string) => ({ model: 'text-embedding-3-small', input }) },
} as const;

const promptOf = (n: number): string => `proof ${n}`;
const idOf = (n: number): string => `line-${n}`;

/** Which of the calls fail, by their prompt and number: the same in every run. A line never fails so often that it has no result. */
const failureOf = (key: string, count: number): { status: number; headers?: Record<string, string> } | undefined => {
  if (count > 2) return undefined;
  const place = createHash('sha1').update(`${key} ${count}`).digest().readUInt16BE() % 100;
  if (place >= FAILING) return undefined;
  if (place < 1) return { status: 429, headers: { 'retry-after-ms': '100' } };
  return { status: place % 2 === 0 ? 500 : 503 };
};

type Scene = {
  options: ProofOptions;
  upstream: FastUpstream;
  fana: Installation;
  client: OpenAI;
  tally: Pick<Proof, 'workerKills' | 'redisRestarts' | 'apiRestarts'>;
};

const clientOf = (url: string): OpenAI => new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${url}/v1`, maxRetries: 8 });

const countsOf = async ({ client }: Scene, id: string): Promise<{ batch: OpenAI.Batch; share: number }> => {
  const batch = await client.batches.retrieve(id);
  const { total = 0, completed = 0, failed = 0 } = batch.request_counts ?? {};
  return { batch, share: total === 0 ? 0 : (completed + failed) / total };
};

const killWorker = async ({ fana, tally, options }: Scene): Promise<void> => {
  const victim = fana.workers[tally.workerKills % WORKERS];
  if (!victim) throw new Error('there is no worker to kill');
  await endProcess(victim, 'SIGKILL');
  tally.workerKills++;
  // A new one stands in its place, also in the list.
  const fresh = await fana.startWorker();
  fana.workers.splice(fana.workers.indexOf(victim), 1, ...fana.workers.splice(fana.workers.indexOf(fresh), 1));
  options.log?.(`worker ${tally.workerKills} killed and started again`);
};

const restartRedis = async ({ fana, tally, options }: Scene): Promise<void> => {
  await fana.redis.kill('SIGKILL');
  await sleep(500);
  await fana.redis.restart();
  tally.redisRestarts++;
  options.log?.('redis killed and started again');
};

const restartApi = async (scene: Scene): Promise<void> => {
  const fresh = await scene.fana.startApi();
  await endProcess(scene.fana.api, 'SIGKILL');
  scene.client = clientOf(fresh.url);
  scene.tally.apiRestarts++;
  scene.options.log?.('the api was killed; another one serves');
};

/** Kills workers one after another while the batch runs; Redis once a third is done, the API once half is. */
const tormentUntilEnd = async (scene: Scene, id: string): Promise<OpenAI.Batch> => {
  const { kills = Number.POSITIVE_INFINITY, everything = true, timeoutMs, log } = scene.options;
  const endMs = Date.now() + timeoutMs;
  let nextKillMs = Date.now() + KILL_EVERY_MS / 3;
  for (let said = 0; ; ) {
    const { batch, share } = await countsOf(scene, id);
    if (['completed', 'failed', 'expired', 'cancelled'].includes(batch.status)) return batch;
    scene.options.signal?.throwIfAborted();
    if (Date.now() > endMs) throw new Error(`the batch is still ${batch.status}: ${JSON.stringify(batch.request_counts)}`);
    if (Math.floor(share * 10) > said) {
      said = Math.floor(share * 10);
      log?.(`${said * 10} % of the lines have ended`);
    }
    if (everything && share > 1 / 3 && scene.tally.redisRestarts === 0) await restartRedis(scene);
    if (everything && share > 1 / 2 && scene.tally.apiRestarts === 0) await restartApi(scene);
    if (Date.now() > nextKillMs && share < 0.95 && scene.tally.workerKills < kills) {
      await killWorker(scene);
      nextKillMs = Date.now() + KILL_EVERY_MS;
    }
    await sleep(200);
  }
};

const linesOf = async ({ client }: Scene, fileId: string | null | undefined): Promise<OutputLine[]> =>
  fileId == null
    ? []
    : (await (await client.files.content(fileId)).text())
        .split('\n')
        .filter(Boolean)
        .map((text) => JSON.parse(text));

const sum = (counts: Map<string, number>): number => [...counts.values()].reduce((total, count) => total + count, 0);

/** What is wrong with one line, if anything. */
const faultOf = (
  { options, upstream }: Scene,
  n: number,
  pauses: Map<string, number>,
  found: { output: OutputLine[]; errors: OutputLine[] },
): string | undefined => {
  const { kind = 'pictures' } = options;
  const key = promptOf(n);
  const answers = upstream.answers.get(key) ?? 0;
  const calls = upstream.calls.get(key) ?? 0;
  const told = `${answers} answers, ${calls} calls`;
  if (found.output.length + found.errors.length !== 1) return `${found.output.length} times in the output file, ${found.errors.length} in the error file`;
  if (calls > MAX_CALLS + (pauses.get(key) ?? 0)) return `called too often: ${told}`;
  const [error] = found.errors;
  if (!error) {
    if (answers === 0) return 'completed without an answer of the provider';
    return kind === 'pictures' && answers !== 1 ? `paid more than once in silence: ${told}` : undefined;
  }
  if (kind !== 'pictures') return `failed: ${JSON.stringify(error)}`;
  if (error.error?.code !== 'unknown_outcome') return `failed although it could be made: ${JSON.stringify(error)}`;
  return answers > 1 ? `of unknown outcome, but paid more than once: ${told}` : undefined;
};

const group = (lines: OutputLine[]): Map<string, OutputLine[]> => {
  const groups = new Map<string, OutputLine[]>();
  for (const line of lines) groups.set(line.custom_id, [...(groups.get(line.custom_id) ?? []), line]);
  return groups;
};

const judge = async (scene: Scene, batch: OpenAI.Batch, pauses: Map<string, number>): Promise<Pick<Proof, 'completed' | 'unknown' | 'broken'>> => {
  const { lines } = scene.options;
  const output = await linesOf(scene, batch.output_file_id);
  const errors = await linesOf(scene, batch.error_file_id);
  const [outputById, errorsById] = [group(output), group(errors)];
  const broken: string[] = batch.status === 'completed' ? [] : [`the batch ended ${batch.status}: ${JSON.stringify(batch.errors)}`];
  for (let n = 0; n < lines; n++) {
    const fault = faultOf(scene, n, pauses, { output: outputById.get(idOf(n)) ?? [], errors: errorsById.get(idOf(n)) ?? [] });
    if (fault) broken.push(`${idOf(n)}: ${fault}`);
  }
  const counts = { total: lines, completed: output.length, failed: errors.length };
  if (output.length + errors.length !== lines) broken.push(`${output.length} + ${errors.length} lines in the files, ${lines} in the batch`);
  if (JSON.stringify(batch.request_counts) !== JSON.stringify(counts))
    broken.push(`counts ${JSON.stringify(batch.request_counts)}, files ${JSON.stringify(counts)}`);
  return { completed: output.length, unknown: errors.filter(({ error }) => error?.code === 'unknown_outcome').length, broken };
};

/** Runs one batch while 10 % of its calls fail and processes die, and compares every line of its files with what the provider saw. */
export const proveBatch = async (options: ProofOptions): Promise<Proof> => {
  const { lines, kind = 'pictures', callMs, env = {} } = options;
  const { url, body } = ENDPOINTS[kind];
  const pauses = new Map<string, number>();
  let failedCalls = 0;
  const upstream = await startFastUpstream({
    delayMs: callMs,
    behave: ({ key, count }) => {
      const failure = failureOf(key, count);
      if (!failure) return 'answer';
      failedCalls++;
      if (failure.status === 429) pauses.set(key, (pauses.get(key) ?? 0) + 1);
      return failure;
    },
  });
  const fana = await startInstallation({ env: { ...upstream.env, ...env }, workers: 0 });
  try {
    for (let n = 0; n < WORKERS; n++) await fana.startWorker();
    const scene: Scene = { options, upstream, fana, client: clientOf(fana.url), tally: { workerKills: 0, redisRestarts: 0, apiRestarts: 0 } };
    const text = Array.from({ length: lines }, (_, n) => JSON.stringify({ custom_id: idOf(n), method: 'POST', url, body: body(promptOf(n)) })).join('\n');
    const startedMs = Date.now();
    const file = await scene.client.files.create({ file: await toFile(Buffer.from(text), 'proof.jsonl'), purpose: 'batch' });
    const { id } = await scene.client.batches.create({ input_file_id: file.id, endpoint: url, completion_window: '24h' } as OpenAI.BatchCreateParams);
    const batch = await tormentUntilEnd(scene, id);
    const seconds = (Date.now() - startedMs) / 1000;
    return { seconds, ...scene.tally, calls: sum(upstream.calls), failedCalls, answers: sum(upstream.answers), ...(await judge(scene, batch, pauses)) };
  } finally {
    await fana.stop();
    await upstream.stop();
  }
};
