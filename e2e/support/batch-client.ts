import OpenAI, { toFile } from 'openai';
import { expect } from 'vitest';
import { ADMIN_KEY, type Installation } from './installation.ts';

/** What a batch here is beyond OpenAI's. */
export type Batch = OpenAI.Batch & { cost_usd: number | null; max_cost_usd: number | null; retry_of: string | null };

// biome-ignore lint/suspicious/noExplicitAny: a test reads into lines whose shape is what it checks
type OutputLine = any;

type Create = Record<string, unknown> & { endpoint?: string };

/** Batches through the `openai` package, and beyond it what that does not know. */
export type BatchClient = {
  openai: OpenAI;
  upload: (text: string, more?: object) => Promise<string>;
  /** Uploads the lines and makes a batch of them. */
  create: (lines: string[], more?: Create) => Promise<Batch>;
  retrieve: (id: string) => Promise<Batch>;
  /** Polls until `check` says so. */
  until: (id: string, check: (batch: Batch) => boolean, timeoutMs?: number) => Promise<Batch>;
  /** Polls until the batch has ended. */
  ended: (id: string, timeoutMs?: number) => Promise<Batch>;
  /** The lines of an output or error file; none when there is no file. */
  linesOf: (fileId: string | null | undefined) => Promise<OutputLine[]>;
  /** Lines of both files by their custom id. @throws when one is there twice. */
  filesOf: (batch: Batch) => Promise<{ output: Map<string, OutputLine>; errors: Map<string, OutputLine> }>;
};

const ENDED = new Set(['completed', 'failed', 'expired', 'cancelled']);

/** One line of an input file. */
export const lineOf = (customId: string, url: string, body: object): string => JSON.stringify({ custom_id: customId, method: 'POST', url, body });
export const pictureLine = (customId: string, prompt: string, more: object = {}): string =>
  lineOf(customId, '/v1/images/generations', { model: 'gpt-image-2', prompt, ...more });
export const chatLine = (customId: string, content: string, more: object = {}): string =>
  lineOf(customId, '/v1/chat/completions', { model: 'chat-default', messages: [{ role: 'user', content }], ...more });

export const createBatchClient = (fana: Pick<Installation, 'url'>, key = ADMIN_KEY): BatchClient => {
  const openai = new OpenAI({ apiKey: key, baseURL: `${fana.url}/v1`, maxRetries: 0 });
  const client: BatchClient = {
    openai,
    async upload(text, more = {}) {
      return (await openai.files.create({ file: await toFile(Buffer.from(text), 'lines.jsonl'), purpose: 'batch', ...more })).id;
    },
    async create(lines, more = {}) {
      const fileId = await client.upload(`${lines.join('\n')}\n`);
      const body = { input_file_id: fileId, completion_window: '24h', endpoint: '/v1/images/generations', ...more };
      return (await openai.batches.create(body as OpenAI.BatchCreateParams)) as Batch;
    },
    retrieve: async (id) => (await openai.batches.retrieve(id)) as Batch,
    async until(id, check, timeoutMs = 60_000) {
      const endMs = Date.now() + timeoutMs;
      for (;;) {
        const batch = await client.retrieve(id);
        if (check(batch)) return batch;
        if (Date.now() > endMs) throw new Error(`the batch is still ${batch.status}: ${JSON.stringify(batch.request_counts)}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    ended: (id, timeoutMs) => client.until(id, ({ status }) => ENDED.has(status), timeoutMs),
    linesOf: async (fileId) =>
      fileId == null
        ? []
        : (await (await openai.files.content(fileId)).text())
            .split('\n')
            .filter(Boolean)
            .map((text) => JSON.parse(text)),
    async filesOf(batch) {
      const [output, errors] = await Promise.all([client.linesOf(batch.output_file_id), client.linesOf(batch.error_file_id)]);
      const ids = [...output, ...errors].map(({ custom_id: id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      const byId = (lines: OutputLine[]): Map<string, OutputLine> => new Map(lines.map((line) => [line.custom_id, line]));
      return { output: byId(output), errors: byId(errors) };
    },
  };
  return client;
};
