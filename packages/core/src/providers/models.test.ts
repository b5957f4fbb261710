import { describe, expect, it } from 'vitest';
import { ALIASES, MODELS, modelOf } from './models.ts';

describe('the catalogue', () => {
  it('names each model once', () => {
    expect(new Set(MODELS.map(({ id }) => id)).size).toBe(MODELS.length);
  });

  it.each(MODELS.map((model) => [model.id, model] as const))('has sound data for %s', (_id, model) => {
    if (model.shutdownDate !== undefined) {
      expect(model.shutdownDate).toMatch(/^\d{4}-\d{2}-\d{2}$/);
      expect(new Date(model.shutdownDate).toISOString().slice(0, 10)).toBe(model.shutdownDate);
      expect(model.successor).toBeDefined();
    }
    if (model.successor !== undefined) expect(modelOf(model.successor)?.provider).toBe(model.provider);
    for (const price of Object.values(model.price ?? {})) expect(price).toBeGreaterThan(0);
    expect(model.types.length).toBeGreaterThan(0);
  });

  it.each(MODELS.map(({ id }) => id))('leads from %s to a model that is not replaced', (id) => {
    const seen = new Set<string>();
    for (let at = modelOf(id); at?.successor !== undefined; at = modelOf(at.successor)) {
      expect(seen.has(at.id)).toBe(false);
      seen.add(at.id);
    }
  });

  it.each(Object.entries(ALIASES))('resolves %s to models of its types', (_name, alias) => {
    for (const id of [...alias.candidates, alias.simulated]) {
      const model = modelOf(id);
      expect(model?.successor).toBeUndefined();
      for (const type of alias.types) expect(model?.types).toContain(type);
    }
  });

  it('takes a dated snapshot for its model', () => {
    expect(modelOf('gpt-4o-2024-08-06')).toMatchObject({ id: 'gpt-4o-2024-08-06', types: ['chat', 'vision'], successor: 'gpt-4o' });
    expect(modelOf('nothing-2024-08-06')).toBeUndefined();
  });
});
