import { promises as dns, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction, connect as openTcp, type Socket } from 'node:net';
import { connect as openTls } from 'node:tls';
import type { buildConnector } from 'undici';
import { isAllowedAddress } from './address-policy.ts';
import { blockedAddress } from './allowed-url.ts';

/** Every address of a host name, in the order to try them. */
export type Lookup = (hostname: string) => Promise<LookupAddress[]>;

/** Every address the system's resolver knows for a name. */
export const systemLookup: Lookup = (hostname) => dns.lookup(hostname, { all: true });

export type ConnectPolicy = { allowPrivateNetwork: boolean; lookup: Lookup; signal: AbortSignal };

/** One refused address refuses the host: a name that leads inside as well as outside is not to be trusted with either. */
const checkedAddresses = async (hostname: string, policy: ConnectPolicy): Promise<LookupAddress[]> => {
  const family = isIP(hostname);
  const addresses = family === 0 ? await policy.lookup(hostname) : [{ address: hostname, family }];
  if (addresses.length === 0) throw Object.assign(new Error('the name has no address'), { code: 'ENOTFOUND' });
  if (!addresses.every(({ address }) => isAllowedAddress(address, policy.allowPrivateNetwork))) throw blockedAddress('url');
  return addresses;
};

/** Answers `net` with what was checked, so that nothing is resolved a second time (DNS rebinding). */
const fixedLookup =
  (addresses: LookupAddress[]): LookupFunction =>
  (_hostname, options, callback) => {
    const first = addresses[0] as LookupAddress;
    if (options.all) callback(null, addresses);
    else callback(null, first.address, first.family);
  };

/**
 * Opens the connections of one fetch. The host is resolved once, every address it has is checked before a socket exists, and the
 * socket goes to one of those addresses; Host and SNI keep the name. Gives up and closes the socket when `policy.signal` aborts.
 * (`lookup` alone would not do: it is not asked for hosts that are addresses already.)
 */
export const guardedConnector =
  (policy: ConnectPolicy): buildConnector.connector =>
  ({ hostname, port, protocol }, callback) => {
    const { signal } = policy;
    const open = (addresses: LookupAddress[]): void => {
      if (signal.aborted) {
        callback(new Error('aborted before connecting'), null);
        return;
      }
      const secure = protocol === 'https:';
      const to = { host: hostname, port: Number(port || (secure ? 443 : 80)), lookup: fixedLookup(addresses), autoSelectFamily: true };
      const servername = isIP(hostname) === 0 ? hostname.replace(/\.$/, '') : '';
      const socket: Socket = secure ? openTls({ ...to, servername, ALPNProtocols: ['http/1.1'] }) : openTcp(to);
      const stop = (): void => {
        socket.destroy(new Error('aborted while connecting'));
      };
      signal.addEventListener('abort', stop, { once: true });
      const failed = (error: Error): void => callback(error, null);
      socket.setNoDelay(true).once('error', failed);
      socket.once('close', () => signal.removeEventListener('abort', stop));
      socket.once(secure ? 'secureConnect' : 'connect', () => {
        // From here on undici listens.
        signal.removeEventListener('abort', stop);
        socket.off('error', failed);
        callback(null, socket);
      });
    };
    checkedAddresses(hostname, policy)
      .then(open)
      .catch((error: Error) => callback(error, null));
  };
