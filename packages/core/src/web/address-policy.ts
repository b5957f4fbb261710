import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

type V4 = ipaddr.IPv4;
type V6 = ipaddr.IPv6;

/**
 * Where clouds answer with credentials of the machine, outside the link-local ranges. 168.63.129.16 (Azure) looks public,
 * 192.0.0.192 and 100.100.100.200 (Oracle, Alibaba) look merely private.
 */
const METADATA = new Set(
  ['168.63.129.16', '192.0.0.192', '100.100.100.200', 'fd00:ec2::254', 'fd20:ce::254', 'fd00:42::42', 'fd00:c1::a9fe:a9fe'].map((ip) =>
    ipaddr.parse(ip).toNormalizedString(),
  ),
);

/** The IPv6 space that is handed out at all (IANA): everything else is special, reserved or unassigned. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');
const MAPPED = ipaddr.IPv6.parseCIDR('::ffff:0:0/96');
/** NAT64 (RFC 6052): on IPv6-only networks every IPv4 host is reached through it. */
const NAT64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96');

type Embedding = { prefix: [V6, number]; at: [number, number, number, number]; inverted?: true };
/** Which bytes of an IPv6 address name the IPv4 host that a gateway or tunnel would carry the packet to. */
const EMBEDDINGS: Embedding[] = [
  { prefix: MAPPED, at: [12, 13, 14, 15] },
  // IPv4-compatible (RFC 4291 2.5.5.1, deprecated)
  { prefix: ipaddr.IPv6.parseCIDR('::/96'), at: [12, 13, 14, 15] },
  // IPv4-translated (RFC 2765)
  { prefix: ipaddr.IPv6.parseCIDR('::ffff:0:0:0/96'), at: [12, 13, 14, 15] },
  { prefix: NAT64, at: [12, 13, 14, 15] },
  // Local NAT64 (RFC 8215), in its two usual layouts (RFC 6052 2.2)
  { prefix: ipaddr.IPv6.parseCIDR('64:ff9b:1::/48'), at: [6, 7, 9, 10] },
  { prefix: ipaddr.IPv6.parseCIDR('64:ff9b:1::/48'), at: [12, 13, 14, 15] },
  // 6to4 (RFC 3056)
  { prefix: ipaddr.IPv6.parseCIDR('2002::/16'), at: [2, 3, 4, 5] },
  // Teredo (RFC 4380): its server, and its client with every bit turned
  { prefix: ipaddr.IPv6.parseCIDR('2001::/32'), at: [4, 5, 6, 7] },
  { prefix: ipaddr.IPv6.parseCIDR('2001::/32'), at: [12, 13, 14, 15], inverted: true },
];

/** ISATAP (RFC 5214) hides an IPv4 host behind any prefix: interface ids 0:5efe:… and 200:5efe:…. */
const isIsatap = (bytes: number[]): boolean => (bytes[8] === 0 || bytes[8] === 2) && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe;

const embeddedV4 = (address: V6): V4[] => {
  const bytes = address.toByteArray();
  const pick = (at: number[], inverted = false): V4 => new ipaddr.IPv4(at.map((index) => (inverted ? 255 - (bytes[index] ?? 0) : (bytes[index] ?? 0))));
  const found = EMBEDDINGS.filter(({ prefix }) => address.match(prefix)).map(({ at, inverted }) => pick(at, inverted));
  return isIsatap(bytes) ? [...found, pick([12, 13, 14, 15])] : found;
};

const isPublicV4 = (address: V4): boolean => address.range() === 'unicast' && !METADATA.has(address.toNormalizedString());

const isPublicV6 = (address: V6): boolean => {
  const embedded = embeddedV4(address);
  if (!embedded.every(isPublicV4)) return false;
  if (address.match(MAPPED) || address.match(NAT64)) return true;
  return address.range() === 'unicast' && address.match(GLOBAL_UNICAST);
};

const parse = (ip: string): V4 | V6 | undefined => (isIP(ip) === 0 ? undefined : ipaddr.parse(ip));
const isV4 = (address: V4 | V6): address is V4 => address.kind() === 'ipv4';

/**
 * Whether `ip` (four decimal numbers or IPv6, as the resolver and the URL parser write them) is an address of the public internet.
 * What is no address in that form is not public.
 */
export const isPublicAddress = (ip: string): boolean => {
  const address = parse(ip);
  if (!address || isAlwaysBlocked(ip)) return false;
  return isV4(address) ? isPublicV4(address) : isPublicV6(address);
};

const isMetadataV4 = (address: V4): boolean => address.range() === 'linkLocal' || METADATA.has(address.toNormalizedString());

/** Whether `ip` is link-local or a cloud's metadata service: never reached, whatever FANA_ALLOW_PRIVATE_NETWORK says. */
export const isAlwaysBlocked = (ip: string): boolean => {
  const address = parse(ip);
  if (!address) return true;
  if (isV4(address)) return isMetadataV4(address);
  // A zone (`%eth0`) only makes sense for link-local addresses.
  const plain = ipaddr.IPv6.parse(address.toNormalizedString().split('%')[0] ?? '');
  return plain.range() === 'linkLocal' || METADATA.has(plain.toNormalizedString()) || embeddedV4(plain).some(isMetadataV4);
};

/** Whether a connection to `ip` may be opened under this policy. */
export const isAllowedAddress = (ip: string, allowPrivateNetwork: boolean): boolean => (allowPrivateNetwork ? !isAlwaysBlocked(ip) : isPublicAddress(ip));
