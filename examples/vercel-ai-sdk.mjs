// The Vercel AI SDK on FANA: its OpenAI provider with another base URL. Text goes over /v1/responses, pictures over /v1/images/generations.
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { createOpenAI } from '@ai-sdk/openai';
import { generateImage, generateText, streamText } from 'ai';
import { readSettings } from './settings.mjs';

const settings = readSettings(`
Asks for a text, streams one and draws a picture, with the Vercel AI SDK.

  node examples/vercel-ai-sdk.mjs [--out FILE.png]
`);
const { values } = parseArgs({ options: { out: { type: 'string', default: 'fox.png' } } });
const fana = createOpenAI(settings);

const { text, usage } = await generateText({ model: fana('chat-default'), prompt: 'What is the capital of Peru?' });
console.log(`generateText: ${text} (${usage.totalTokens} tokens)`);

const { textStream } = streamText({ model: fana('chat-default'), prompt: 'Tell me about foxes in one sentence.' });
process.stdout.write('streamText: ');
for await (const piece of textStream) process.stdout.write(piece);
process.stdout.write('\n');

const { image } = await generateImage({ model: fana.image('gpt-image-2'), prompt: 'a fox in the snow', size: '1024x1024' });
await writeFile(values.out, image.uint8Array);
console.log(`generateImage: ${image.mediaType}, ${image.uint8Array.length} bytes, saved as ${values.out}`);
