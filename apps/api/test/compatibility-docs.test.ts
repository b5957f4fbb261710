import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chatBody } from '@fana/core/endpoints/chat-body.ts';
import { imageBody } from '@fana/core/endpoints/image-parameters.ts';
import { AppError } from '@fana/core/errors.ts';
import { CHAT_FAMILIES } from '@fana/core/providers/chat-parameters.ts';
import { type ParameterFamily, type PictureTask, translateParameters } from '@fana/core/providers/parameters.ts';
import { Hono } from 'hono';
import { expect, test } from 'vitest';
import type { ApiDeps } from '../src/api-deps.ts';
import type { Environment } from '../src/environment.ts';
import { mountOpenai } from '../src/openai/mount.ts';

const DOC = readFileSync(join(import.meta.dirname, '../../../docs/openai-compatibility.md'), 'utf8');

test('docs/openai-compatibility.md lists every compatible route, and no other', () => {
  const app = new Hono<Environment>();
  mountOpenai(app, {} as ApiDeps);
  const mounted = app.routes
    .filter(({ method, path }) => method !== 'ALL' && path.startsWith('/v1/'))
    .map(({ method, path }) => `${method} ${path.replace('{.+}', '')}`);
  const told = [...DOC.matchAll(/^\| `([A-Z]+) (\/v1\/[^` ]+)`/gm)].map(([, method, path = '']) => `${method} ${path.replace(/\{(\w+)\}/g, ':$1')}`);
  expect([...new Set(told)].sort()).toEqual([...new Set(mounted)].sort());
});

/** A value that is no model's default, or the words a parameter has. */
const SAMPLES: Readonly<Record<string, unknown>> = {
  temperature: 0.7,
  top_p: 0.5,
  stop: 'end',
  seed: 7,
  frequency_penalty: 0.5,
  presence_penalty: 0.5,
  max_tokens: 100,
  n: 2,
  logprobs: true,
  top_logprobs: 2,
  logit_bias: { 50256: -100 },
  store: true,
  metadata: { order: '42' },
  modalities: ['text', 'audio'],
  dimensions: 256,
  output_compression: 80,
  frame_count: 4,
  frame_duration_ms: 100,
  size: ['auto', '1024x1024', '1536x1024', '2048x1024'],
  quality: ['low', 'medium', 'high', 'auto', 'xhigh', 'max', 'standard', 'hd'],
  background: ['transparent', 'opaque', 'auto'],
  output_format: ['png', 'jpeg', 'webp', 'gif'],
  moderation: ['low', 'auto'],
  style: ['vivid', 'natural'],
  input_fidelity: ['high', 'low'],
  reasoning_effort: ['none', 'minimal', 'low', 'medium', 'high', 'xhigh'],
  verbosity: ['low', 'medium', 'high'],
  service_tier: ['auto', 'default', 'flex', 'priority'],
};
/** What a model may do anyway, so that asking for it is no fault. */
const USUAL: Readonly<Record<string, unknown>> = {
  temperature: 1,
  top_p: 1,
  frequency_penalty: 0,
  presence_penalty: 0,
  n: 1,
  logprobs: false,
  top_logprobs: 0,
  logit_bias: {},
  store: false,
  modalities: ['text'],
};

type Column = { family: ParameterFamily; task?: PictureTask };

const said = ({ family, task }: Column, name: string, value: unknown): Record<string, unknown> | undefined => {
  try {
    return translateParameters(family, family, { [name]: value }, task);
  } catch (thrown) {
    if (thrown instanceof AppError) return undefined;
    throw thrown;
  }
};

const single = (column: Column, name: string, value: unknown): string => {
  const words = said(column, name, value);
  if (!words) return name in USUAL && said(column, name, USUAL[name]) ? `only \`${JSON.stringify(USUAL[name])}\`` : 'no';
  const [as] = Object.keys(words);
  return as === name ? 'yes' : `as \`${as}\``;
};

/** How each of a parameter's words is said: those that stay, those that change, those that are refused. */
const words = (column: Column, name: string, values: string[]): string => {
  const told = values.map((value) => ({ value, words: said(column, name, value) }));
  const refused = told.filter((one) => !one.words).map(({ value }) => value);
  if (refused.length === values.length) return 'no';
  const kept = told.filter((one) => one.words && (one.words[name] === one.value || Object.keys(one.words).length === 0)).map(({ value }) => value);
  if (kept.length === values.length) return 'yes';
  const changed = told.flatMap(({ value, words: given }) => (given && !kept.includes(value) ? [`${value} → ${given[name] ?? 'words in the prompt'}`] : []));
  return [...(kept.length > 0 ? [kept.join(', ')] : []), ...changed].join('; ');
};

const cell = (column: Column, name: string): string => {
  const sample = SAMPLES[name] ?? { type: 'function' };
  return Array.isArray(sample) && name !== 'modalities' ? words(column, name, sample) : single(column, name, sample);
};

const table = (names: string[], columns: Readonly<Record<string, Column>>): string => {
  const rows = names.map((name) => [`\`${name}\``, ...Object.values(columns).map((column) => cell(column, name))]);
  const head = ['parameter', ...Object.keys(columns)];
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
};

/** Read by the endpoint itself, not by a model's family. */
const OF_THE_CHAT_ENDPOINT = ['model', 'messages', 'stream', 'stream_options', 'max_completion_tokens'];
const OF_THE_IMAGE_ENDPOINTS = ['model', 'prompt', 'response_format', 'stream', 'partial_images'];

test('docs/openai-compatibility.md says of every parameter of a chat what each family of models does with it', () => {
  const known = new Set([...Object.keys(chatBody.shape), ...Object.values(CHAT_FAMILIES).flatMap((rules) => Object.keys(rules)), 'audio']);
  for (const name of OF_THE_CHAT_ENDPOINT) known.delete(name);
  const columns = { 'gpt-5.1 to 6.1': 'openai-chat', 'gpt-4o, 4.1': 'openai-plain', 'gpt-5, o': 'openai-reasoning' } as const;
  const groq = { 'gpt-oss': 'groq-gpt-oss', qwen: 'groq-qwen', llama: 'groq-llama', simulated: 'simulated-chat' } as const;
  const families = Object.fromEntries(Object.entries({ ...columns, ...groq }).map(([title, family]) => [title, { family }]));
  expect(DOC).toContain(table([...known].sort(), families));
});

test('docs/openai-compatibility.md says of every parameter of a picture what each family of models does with it', () => {
  const known = new Set([...Object.keys(imageBody), 'style', 'moderation', 'input_fidelity']);
  for (const name of OF_THE_IMAGE_ENDPOINTS) known.delete(name);
  const families: Readonly<Record<string, Column>> = {
    'gpt-image-2': { family: 'gpt-image-2' },
    '2.5': { family: 'gpt-image-2.5' },
    '2.6': { family: 'gpt-image-2.6' },
    '1, 1.5, chatgpt': { family: 'gpt-image-1' },
    'dall-e-3': { family: 'dall-e-3' },
    'dall-e-2': { family: 'dall-e-2' },
    simulated: { family: 'simulated-image' },
    'edits: gpt-image-2': { family: 'gpt-image-2', task: 'edit' },
    'edits: 1, 1.5, chatgpt': { family: 'gpt-image-1', task: 'edit' },
  };
  expect(DOC).toContain(table([...known].sort(), families));
});
