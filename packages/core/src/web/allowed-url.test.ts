import { describe, expect, test } from 'vitest';
import { AppError } from '../errors.ts';
import { assertAllowedUrl, BAD_PORTS } from './allowed-url.ts';

const refusal = (url: string, allowPrivateNetwork = false, param = 'webhook.url'): AppError => {
  try {
    assertAllowedUrl(url, allowPrivateNetwork, param);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error(`${url} was accepted`);
};

describe('what of a user-given URL is refused before any DNS', () => {
  test.each([['ftp://example.com/'], ['file:///etc/passwd'], ['gopher://example.com/'], ['data:text/plain,x'], ['javascript:alert(1)'], ['ws://example.com/']])(
    'scheme: %s',
    (url) => {
      expect(refusal(url)).toMatchObject({ code: 'invalid_url', param: 'webhook.url' });
      expect(refusal(url, true).code).toBe('invalid_url');
    },
  );

  test.each([[''], ['example.com'], ['http://'], ['http://[::1'], ['http://256.256.256.256/'], ['http://exa mple.com/'], ['http://x:99999/']])(
    'no URL at all: "%s"',
    (url) => {
      expect(refusal(url, true).code).toBe('invalid_url');
    },
  );

  test.each([['http://user:pass@example.com/'], ['http://user@example.com/'], ['https://:pass@example.com/'], ['http://example.com@127.0.0.1/']])(
    'credentials: %s',
    (url) => {
      expect(refusal(url, true).message).toMatch(/user name or password/);
    },
  );

  test('every port of the WHATWG list, and 0', () => {
    expect(BAD_PORTS.size).toBe(83);
    for (const port of BAD_PORTS) expect(refusal(`http://example.com:${port}/`, true).message).toContain(`Port ${port}`);
    for (const port of [80, 443, 3000, 8080, 8443, 65_535]) expect(assertAllowedUrl(`http://example.com:${port}/`, false, 'url').hostname).toBe('example.com');
  });

  test.each([
    ...['http://127.0.0.1/', 'http://127.1/', 'http://2130706433/', 'http://0x7f.1/', 'http://0177.0.0.1/', 'http://0/', 'http://[::1]/', 'http://[::]/'],
    ...['http://[::ffff:127.0.0.1]/', 'http://10.1.2.3:8080/hook', 'https://192.168.1.1/', 'http://100.64.0.1/', 'http://[fd00::1]/', 'http://１２７.0.0.1/'],
    ...['http://localhost/', 'http://LOCALHOST:3000/', 'http://localhost./', 'http://a.b.localhost/', 'http://localhost.localdomain/', 'http://ip6-localhost/'],
  ])('an address inside, or a name of this machine: %s', (url) => {
    expect(refusal(url)).toMatchObject({ code: 'invalid_url', param: 'webhook.url' });
    expect(assertAllowedUrl(url, true, 'url')).toBeInstanceOf(URL);
  });

  test.each([
    'http://169.254.169.254/latest/meta-data/',
    'http://[fe80::1]/',
    'http://[fd00:ec2::254]/',
    'http://100.100.100.200/',
    'http://[::ffff:a9fe:a9fe]/',
  ])('a metadata address, even when the private network is allowed: %s', (url) => {
    expect(refusal(url, true).code).toBe('invalid_url');
  });

  test.each([
    'https://example.com/hook?x=1#y',
    'http://EXAMPLE.com',
    'https://8.8.8.8/',
    'http://[2606:4700:4700::1111]/',
    'http://notlocalhost/',
    'http://localhost.example.com/',
  ])('and %s is let through', (url) => {
    expect(assertAllowedUrl(url, false, 'url').href).toBe(new URL(url).href);
  });
});
