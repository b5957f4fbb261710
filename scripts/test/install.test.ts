import { describe, expect, it } from 'vitest';
import { installEnvironment } from '../install.mjs';
import { bringsNode, findNode, typeScriptFlags } from '../node-binary.mjs';

const system = (platform: string, arch: string, version: string, files: string[] = []) => ({
  platform,
  arch,
  version,
  exists: (path: string) => files.includes(path),
});
const GLIBC = ['/lib64/ld-linux-x86-64.so.2', '/lib/ld-linux-aarch64.so.1'];

describe('the Node that runs FANA', () => {
  it.each(['x64', 'arm64'])('comes with the install on Linux %s, whatever Node runs', (arch) => {
    expect(findNode(system('linux', arch, '20.0.0', GLIBC))).toMatch(/node_modules\/\.bin\/node$/);
  });

  it.each([
    ['macOS', system('darwin', 'arm64', '22.0.0')],
    ['musl', system('linux', 'x64', '24.1.0', ['/lib/ld-musl-x86_64.so.1'])],
    ['another processor', system('linux', 'riscv64', '25.0.0', GLIBC)],
  ])('is the running one on %s', (_, other) => {
    expect(bringsNode(other)).toBe(false);
    expect(findNode(other)).toBe(process.execPath);
  });

  it('is refused in one line there when it is older than 22', () => {
    expect(() => findNode(system('darwin', 'arm64', '21.7.3'))).toThrow(/must be 22 or newer; this is Node 21\.7\.3\.$/);
  });

  it('is told to strip types only where it would not by itself', () => {
    expect(typeScriptFlags(system('darwin', 'arm64', '22.9.0'))).toContain('--experimental-strip-types');
    expect(typeScriptFlags(system('darwin', 'arm64', '24.0.0'))).toEqual([]);
    expect(typeScriptFlags(system('linux', 'x64', '22.9.0', GLIBC))).toEqual([]);
  });
});

describe('the environment of the install', () => {
  it('passes the registry that npm was given on to pnpm', () => {
    expect(installEnvironment({ npm_config_registry: 'http://mirror.test/' })).toMatchObject({ pnpm_config_registry: 'http://mirror.test/' });
    expect(installEnvironment({ NPM_CONFIG_REGISTRY: 'http://mirror.test/' })).toMatchObject({ pnpm_config_registry: 'http://mirror.test/' });
  });

  it('leaves a registry set for pnpm alone, and sets none by itself', () => {
    expect(installEnvironment({ npm_config_registry: 'http://a.test/', pnpm_config_registry: 'http://b.test/' })['pnpm_config_registry']).toBe(
      'http://b.test/',
    );
    expect(installEnvironment({})).not.toHaveProperty('pnpm_config_registry');
  });
});
