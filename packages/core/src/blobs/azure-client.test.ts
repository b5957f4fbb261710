import { DefaultAzureCredential } from '@azure/identity';
import { StorageSharedKeyCredential } from '@azure/storage-blob';
import { expect, it } from 'vitest';
import { connectContainer } from './azure-client.ts';

// No emulator plays an identity, so this much of it is tested and no more: whom the client asks, and as whom.
it('asks an account it knows by name as the identity of the process', async () => {
  const container = await connectContainer({ name: 'fanastore' }, 'pictures');
  expect(container.url).toBe('https://fanastore.blob.core.windows.net/pictures');
  expect(container.credential).toBeInstanceOf(DefaultAzureCredential);
});

it('asks the account of a connection string by its key', async () => {
  const key = Buffer.alloc(64, 7).toString('base64');
  const connectionString = `DefaultEndpointsProtocol=https;AccountName=fanastore;AccountKey=${key};EndpointSuffix=core.windows.net`;
  const container = await connectContainer({ connectionString }, 'pictures');
  expect(container.url).toBe('https://fanastore.blob.core.windows.net/pictures');
  expect(container.credential).toBeInstanceOf(StorageSharedKeyCredential);
});
