import { BlobSASPermissions, BlobServiceClient, type ContainerClient, type StoragePipelineOptions } from '@azure/storage-blob';

/** Which account, and how to prove that it is ours: by what its portal shows as a connection string, or by the identity this process runs under. */
export type AzureAccount = { connectionString: string } | { name: string };

/**
 * A request is tried twice and no longer than this: what waits for the store has other ways to go on (aside.ts), and a request to us is not
 * to hang for minutes.
 */
const OPTIONS: StoragePipelineOptions = { retryOptions: { maxTries: 2, retryDelayInMs: 200, maxRetryDelayInMs: 1000, tryTimeoutInMs: 30_000 } };

const urlOf = (name: string): string => `https://${name}.blob.core.windows.net`;

/** A client of one container; nothing is sent yet. @throws when the connection string is none. */
export const connectContainer = async (account: AzureAccount, container: string): Promise<ContainerClient> => {
  if ('connectionString' in account) return BlobServiceClient.fromConnectionString(account.connectionString, OPTIONS).getContainerClient(container);
  // Managed identity, workload identity, a service principal of the environment, az login: whichever there is.
  const { DefaultAzureCredential } = await import('@azure/identity');
  return new BlobServiceClient(urlOf(account.name), new DefaultAzureCredential(), OPTIONS).getContainerClient(container);
};

/** What a link is good for. `disposition`: how it is to be shown, whatever its type. */
export type Link = { name: string; expiresMs: number; disposition?: string };

/** A link to read one blob: a service SAS by the account's key, or one of user delegation by an identity, which is granted a key for it. */
export const signLink = async (container: ContainerClient, account: AzureAccount, { name, expiresMs, disposition }: Link): Promise<string> => {
  const blob = container.getBlobClient(name);
  const expiresOn = new Date(expiresMs);
  const options = { permissions: BlobSASPermissions.parse('r'), expiresOn, ...(disposition !== undefined && { contentDisposition: disposition }) };
  if ('connectionString' in account) return blob.generateSasUrl(options);
  const service = new BlobServiceClient(urlOf(account.name), container.credential, OPTIONS);
  // A clock that is a little ahead must not make a key of the future.
  const key = await service.getUserDelegationKey(new Date(Date.now() - 300_000), expiresOn);
  return blob.generateUserDelegationSasUrl(options, key);
};
