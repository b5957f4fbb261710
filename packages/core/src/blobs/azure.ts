import { createHash, hash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { BlockBlobClient, ContainerClient } from '@azure/storage-blob';
import { AppError } from '../errors.ts';
import { isId } from '../ids.ts';
import type { AzureAccount } from './azure-client.ts';
import type { BlobStore, ByteRange } from './blob.ts';

export type AzureSettings = { account: AzureAccount; container: string };

const unreadable = (cause: unknown): AppError => new AppError('storage_error', 'The blob store cannot be read or written right now.', { cause });
const gone = (): AppError => new AppError('not_found', 'The bytes of this blob are gone.');

const fieldOf = (error: unknown, name: 'statusCode' | 'code'): unknown => (error instanceof Error ? Reflect.get(error, name) : undefined);

/** A container that is not there is no blob that is not there. */
const isMissing = (error: unknown): boolean => fieldOf(error, 'statusCode') === 404 && fieldOf(error, 'code') !== 'ContainerNotFound';

/** A step of the store: what goes wrong with it is the store's fault, not that of whoever sends the bytes. */
const step = async <T>(done: Promise<T>): Promise<T> => {
  try {
    return await done;
  } catch (error) {
    throw isMissing(error) ? gone() : unreadable(error);
  }
};

const md5 = (bytes: Uint8Array): Uint8Array => createHash('md5').update(bytes).digest();

/** What comes piece by piece is sent in blocks of this size: so much of it is in memory. */
const BLOCK_BYTES = 4 * 1024 * 1024;

/** A store that hangs must not hold what was paid for past the drain of a process (22 s): 10 s, and as long again for every 10 MB. */
const PUT_BASE_MS = 10_000;
const PUT_MEGABYTE_MS = 1000;

type Facts = { mediaType: string; sha256: string };
const headersOf = ({ mediaType, sha256 }: Facts) => ({ blobHTTPHeaders: { blobContentType: mediaType }, metadata: { sha256 } });

/** Sends the blocks of a blob, then names them: until that, and if it never comes, what was under the name before is what is read. */
const writeBlocks = async (blob: BlockBlobClient, source: AsyncIterable<Uint8Array>, mediaType: string): Promise<{ bytes: number; sha256: string }> => {
  const sum = createHash('sha256');
  // Random: another writer of the same blob must not mix its blocks in.
  const prefix = randomBytes(8).toString('hex');
  const ids: string[] = [];
  let bytes = 0;
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  const flush = async (): Promise<void> => {
    const block = Buffer.concat(held);
    const id = Buffer.from(`${prefix}-${String(ids.length).padStart(6, '0')}`).toString('base64');
    await step(blob.stageBlock(id, block, block.length, { transactionalContentMD5: md5(block) }));
    ids.push(id);
    held = [];
    heldBytes = 0;
  };
  for await (const chunk of source) {
    sum.update(chunk);
    bytes += chunk.byteLength;
    heldBytes += chunk.byteLength;
    held.push(chunk);
    if (heldBytes >= BLOCK_BYTES) await flush();
  }
  if (heldBytes > 0) await flush();
  const sha256 = sum.digest('hex');
  await step(blob.commitBlockList(ids, headersOf({ mediaType, sha256 })));
  return { bytes, sha256 };
};

const download = async (blob: BlockBlobClient, range?: ByteRange): Promise<Readable> => {
  const { start = 0, end } = range ?? {};
  if (end !== undefined && start >= end) {
    await step(blob.getProperties());
    return Readable.from([]);
  }
  try {
    const { readableStreamBody } = await blob.download(start, end === undefined ? undefined : end - start);
    // A ReadableStream in browsers alone.
    return readableStreamBody as Readable;
  } catch (error) {
    if (fieldOf(error, 'statusCode') === 416) return Readable.from([]);
    throw isMissing(error) ? gone() : unreadable(error);
  }
};

/** Made when it is missing and we may; who may not has made it beforehand, and the first blob tells. */
const ensureContainer = async (container: ContainerClient): Promise<void> => {
  try {
    await container.createIfNotExists({ abortSignal: AbortSignal.timeout(PUT_BASE_MS) });
  } catch (error) {
    if (fieldOf(error, 'statusCode') !== 403) throw error;
  }
};

/** Connects at the first use and makes the container once; a failure is forgotten, so that the next use tries again. */
const lazily = ({ account, container }: AzureSettings): (() => Promise<ContainerClient>) => {
  let opened: Promise<ContainerClient> | undefined;
  const open = async (): Promise<ContainerClient> => {
    // Its two packages are loaded by those who use them alone: half a second and 40 MB.
    const { connectContainer } = await import('./azure-client.ts');
    const client = await connectContainer(account, container);
    await ensureContainer(client);
    return client;
  };
  return () => {
    opened ??= open().catch((error: unknown) => {
      opened = undefined;
      throw unreadable(error);
    });
    return opened;
  };
};

/** Blobs in a container of Azure Blob Storage, each under its id. */
export const createAzureBlobs = (settings: AzureSettings): BlobStore => {
  const container = lazily(settings);
  const blobOf = async (id: string): Promise<BlockBlobClient> => {
    if (!isId('blob', id)) throw new AppError('not_found', 'There is no such blob.');
    return (await container()).getBlockBlobClient(id);
  };
  return {
    async put(id, bytes, mediaType) {
      const blob = await blobOf(id);
      const facts = headersOf({ mediaType, sha256: hash('sha256', bytes) });
      // One request: the blob is there whole or not at all, and its service compares the sum.
      const abortSignal = AbortSignal.timeout(PUT_BASE_MS + Math.ceil(bytes.length / 1_000_000) * PUT_MEGABYTE_MS);
      await step(blob.upload(bytes, bytes.length, { ...facts, transactionalContentMD5: md5(bytes), abortSignal }));
    },
    write: async (id, source, mediaType) => writeBlocks(await blobOf(id), source, mediaType),
    async read(id) {
      const stream = await download(await blobOf(id));
      return buffer(stream).catch((error: unknown) => {
        throw unreadable(error);
      });
    },
    stream: async (id, range) => download(await blobOf(id), range),
    async remove(id) {
      // Blocks that were never named are forgotten by the service itself, after a week.
      await step((await blobOf(id)).deleteIfExists({ deleteSnapshots: 'include' }));
    },
    async check() {
      const probe = (await container()).getBlockBlobClient(`.probe-${process.pid}-${randomBytes(4).toString('hex')}`);
      await step(probe.upload('', 0));
      await step(probe.deleteIfExists());
    },
    async link(id, { expiresMs, disposition }) {
      await blobOf(id);
      const { signLink } = await import('./azure-client.ts');
      return step(signLink(await container(), settings.account, { name: id, expiresMs, ...(disposition !== undefined && { disposition }) }));
    },
  };
};
