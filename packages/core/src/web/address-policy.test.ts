import { describe, expect, test } from 'vitest';
import { isAllowedAddress, isAlwaysBlocked, isPublicAddress } from './address-policy.ts';
import { hostOf } from './allowed-url.ts';

const PUBLIC_V4 = [
  ...['1.0.0.1', '1.1.1.1', '8.8.8.8', '9.9.9.9', '9.255.255.255', '11.0.0.0', '93.184.216.34', '100.63.255.255', '100.128.0.0', '126.255.255.255'],
  ...['128.0.0.1', '140.82.121.4', '168.63.129.15', '169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0', '185.199.108.153'],
  ...['191.255.255.255', '192.0.1.0', '192.0.3.0', '192.88.98.255', '192.88.100.0', '192.167.255.255', '192.169.0.0', '198.17.255.255', '198.20.0.0'],
  ...['198.51.99.255', '198.51.101.0', '203.0.112.255', '203.0.114.0', '223.255.255.255'],
];

const PRIVATE_V4 = [
  // This network, loopback
  ...['0.0.0.0', '0.0.0.1', '0.255.255.255', '127.0.0.0', '127.0.0.1', '127.0.1.1', '127.1.2.3', '127.255.255.255'],
  // RFC 1918, shared address space
  ...['10.0.0.0', '10.0.0.1', '10.255.255.255', '172.16.0.0', '172.16.0.1', '172.31.255.255', '192.168.0.0', '192.168.1.1', '192.168.255.255'],
  ...['100.64.0.0', '100.100.100.100', '100.127.255.255'],
  // IETF protocols, documentation, 6to4 relays, benchmarking, AS112, AMT
  ...[
    '192.0.0.0',
    '192.0.0.8',
    '192.0.0.170',
    '192.0.0.255',
    '192.0.2.0',
    '192.0.2.1',
    '192.0.2.255',
    '192.31.196.1',
    '192.52.193.1',
    '192.88.99.1',
    '192.175.48.1',
  ],
  ...['198.18.0.0', '198.19.255.255', '198.51.100.0', '198.51.100.255', '203.0.113.0', '203.0.113.255'],
  // Multicast, reserved, broadcast
  ...['224.0.0.0', '224.0.0.1', '239.255.255.255', '240.0.0.0', '254.255.255.255', '255.255.255.254', '255.255.255.255'],
];

const ALWAYS_V4 = [
  '169.254.0.0',
  '169.254.0.23',
  '169.254.169.253',
  '169.254.169.254',
  '169.254.170.2',
  '169.254.255.255',
  '100.100.100.200',
  '192.0.0.192',
  '168.63.129.16',
];

const PUBLIC_V6 = [
  ...['2001:4860:4860::8888', '2606:4700:4700::1111', '2620:fe::fe', '2a00:1450:4001:81c::200e', '2400:cb00::1', '2003::1', '2c0f:fb50::1', '3ffe:ffff::1'],
  ...['2001:200::1', '2001:db7:ffff::1', '2001:db9::1', '2606:4700::1:0:5efd:7f00:1'],
];

const PRIVATE_V6 = [
  // Unspecified, loopback, and what merely begins with zeros
  ...['::', '0:0:0:0:0:0:0:0', '::1', '0:0:0:0:0:0:0:1', '::2', '::7f00:1', '::ffff', '::1:0', '0:0:0:1::1', '0:1::1'],
  // Unique local, deprecated site-local
  ...['fc00::', 'fc00::1', 'fd00::1', 'fd12:3456:789a:1::1', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'fec0::1', 'feff::1'],
  // Multicast, discard, documentation, benchmarking, ORCHID, AMT, AS112, segment routing, drone tags
  ...[
    'ff00::',
    'ff02::1',
    'ff05::2',
    'ff0e::1',
    '100::',
    '100::1',
    '2001:db8::1',
    '2001:db8:ffff::',
    '3fff::1',
    '3fff:fff::1',
    '2001:2::1',
    '2001:10::1',
    '2001:20::1',
  ],
  ...['2001:3::1', '2001:4:112::1', '2620:4f:8000::1', '5f00::1', '2001:30::1', '2001:1::1'],
  // Tunnels: 6to4 and Teredo, whomever they carry to
  ...[
    '2002::1',
    '2002:808:808::1',
    '2002:7f00:1::',
    '2002:c0a8:101::1',
    '2001::1',
    '2001:0:4136:e378:8000:63bf:f7f7:f7f7',
    '2001:0:4136:e378:8000:63bf:80ff:fffe',
  ],
  // Not handed out
  ...['200::1', '400::1', '1000::1', '4000::1', '6000::1', '8000::1', 'a000::1', 'c000::1', 'e000::1', 'f000::1', 'fe00::1'],
];

const ALWAYS_V6 = [
  ...['fe80::', 'fe80::1', 'fe80::a9fe:a9fe', 'febf:ffff::1', 'fd00:ec2::254', 'fd00:0ec2:0:0:0:0:0:254', 'fd20:ce::254', 'fd00:42::42', 'fd00:c1::a9fe:a9fe'],
  ...[
    '2002:a9fe:a9fe::',
    '2002:a9fe:a9fe::1',
    '2001:0:a9fe:a9fe::1',
    '2001:0:4136:e378:8000:63bf:5601:5601',
    '64:ff9b:1:a9fe:a9:fe00::',
    '64:ff9b:1::a9fe:a9fe',
  ],
];

const octets = (ip: string): number[] => ip.split('.').map(Number);
const hex = (ip: string): string => {
  const [a = 0, b = 0, c = 0, d = 0] = octets(ip);
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
};
const asNumber = (ip: string): number => octets(ip).reduce((sum, octet) => sum * 256 + octet, 0);

/** Spellings of an IPv4 address that URL parsers and resolvers take for it. */
const spellings = (ip: string): string[] => {
  const [a = 0, b = 0, c = 0, d = 0] = octets(ip);
  return [
    ip,
    `${ip}.`,
    String(asNumber(ip)),
    `0x${asNumber(ip).toString(16)}`,
    `0${asNumber(ip).toString(8)}`,
    octets(ip)
      .map((octet) => `0x${octet.toString(16)}`)
      .join('.'),
    octets(ip)
      .map((octet) => `0${octet.toString(8)}`)
      .join('.'),
    octets(ip)
      .map((octet) => `000${octet.toString(8)}`)
      .join('.'),
    `${a}.${b * 65_536 + c * 256 + d}`,
    `${a}.${b}.${c * 256 + d}`,
    `0x${a.toString(16)}.${b}.0${c.toString(8)}.${d}`,
    ip.replaceAll('.', '%2e'),
    ip.replaceAll('.', '。'),
    // Full-width digits
    [...ip].map((character) => (character === '.' ? '.' : String.fromCodePoint(0xff10 + Number(character)))).join(''),
    `[::ffff:${ip}]`,
    `[::ffff:${hex(ip)}]`,
    `[0:0:0:0:0:FFFF:${hex(ip)}]`,
    `[0000:0000:0000:0000:0000:ffff:${hex(ip)}]`,
    `[64:ff9b::${ip}]`,
    `[64:ff9b::${hex(ip)}]`,
  ];
};

/** IPv6 forms that hide an IPv4 host and that nobody needs to reach, public or not. */
const hiding = (ip: string): string[] => [`::${hex(ip)}`, `::ffff:0:${hex(ip)}`, `2002:${hex(ip)}::1`, `64:ff9b:1::${hex(ip)}`, `2001:0:${hex(ip)}::1`];
/** Interface ids of ISATAP, behind a public prefix. */
const isatap = (ip: string): string[] => [`2606:4700::5efe:${hex(ip)}`, `2606:4700::200:5efe:${hex(ip)}`];

const throughUrl = (host: string): string => hostOf(new URL(`http://${host}/`));

const all = (forms: string[], allowed: (ip: string) => boolean): string[] => forms.filter((form) => allowed(throughUrl(form)));
const bracketed = (forms: string[]): string[] => forms.map((form) => `[${form}]`);

describe('which addresses may be reached', () => {
  test.each(PUBLIC_V4)('%s is public in every spelling', (ip) => {
    expect(all(spellings(ip), isPublicAddress)).toEqual(spellings(ip));
    expect(all(spellings(ip), isAlwaysBlocked)).toEqual([]);
  });

  test.each(PRIVATE_V4)('%s is private in every spelling, and reachable only if the operator says so', (ip) => {
    const forms = [...spellings(ip), ...bracketed(isatap(ip))];
    expect(all(forms, (form) => isAllowedAddress(form, false))).toEqual([]);
    expect(all(forms, (form) => isAllowedAddress(form, true))).toEqual(forms);
  });

  test.each(ALWAYS_V4)('%s is never reachable, in no spelling', (ip) => {
    const forms = [...spellings(ip), ...bracketed([...hiding(ip), ...isatap(ip)])];
    expect(all(forms, (form) => isAllowedAddress(form, false))).toEqual([]);
    expect(all(forms, (form) => isAllowedAddress(form, true))).toEqual([]);
  });

  test('an IPv6 form that hides an IPv4 host is not public, whatever it hides', () => {
    expect([...PUBLIC_V4, ...PRIVATE_V4].flatMap(hiding).filter(isPublicAddress)).toEqual([]);
  });

  test.each(PUBLIC_V6)('%s is public', (ip) => {
    expect(isPublicAddress(ip)).toBe(true);
    expect(isPublicAddress(throughUrl(`[${ip.toUpperCase()}]`))).toBe(true);
    expect(isAlwaysBlocked(ip)).toBe(false);
  });

  test.each(PRIVATE_V6)('%s is not public', (ip) => {
    expect(isPublicAddress(ip)).toBe(false);
    expect(isPublicAddress(throughUrl(`[${ip.toUpperCase()}]`))).toBe(false);
  });

  test.each(ALWAYS_V6)('%s is never reachable', (ip) => {
    expect(isAllowedAddress(ip, false)).toBe(false);
    expect(isAllowedAddress(ip, true)).toBe(false);
  });

  test.each(['fe80::1%eth0', 'fe80::1%1', '::1%lo', 'fd00:ec2::254%eth0'])('%s, an address with a zone, is not public', (ip) => {
    expect(isPublicAddress(ip)).toBe(false);
    expect(isAllowedAddress(ip, true)).toBe(ip.startsWith('::1'));
  });

  test.each(['', 'example.com', '127.1', '0177.0.0.1', '2130706433', '1.2.3.4.5', '8.8.8.8 ', '[::1]', '8.8.8.8/0', '::ffff:8.8.8.256'])(
    '"%s" is no address and never reachable',
    (ip) => {
      expect(isAllowedAddress(ip, false)).toBe(false);
      expect(isAllowedAddress(ip, true)).toBe(false);
    },
  );
});
