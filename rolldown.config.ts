import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { defineConfig, type Plugin } from 'rolldown';

// Everything is bundled but native parts and packages that load files of their own at run time.
const outside = [/^sharp(\/|$)/, /^pino(\/|$)/, /^fasttext\.wasm\.js(\/|$)/, /^@lancedb\//, /^apache-arrow(\/|$)/, /^@energetic-ai\//];

const core = join(import.meta.dirname, 'packages/core/src');

/** An included script is found by its name alone in the bundle (`loadScript`). */
const withFlatIncludes = (script: string): string => script.replace(/^(-- @include )\S*\//gm, '$1');

/** Copies what core loads with `new URL('./name', import.meta.url)` flat beside the bundle, where that URL then points. */
const besideTheBundle: Plugin = {
  name: 'beside-the-bundle',
  generateBundle() {
    const seen = new Map<string, string>();
    for (const path of globSync('**/*.{lua,bin}', { cwd: core })) {
      const fileName = basename(path);
      const other = seen.get(fileName);
      if (other !== undefined) this.error(`packages/core/src/${path} and packages/core/src/${other} have the same name: one would replace the other in dist/`);
      seen.set(fileName, path);
      this.emitFile({
        type: 'asset',
        fileName,
        source: path.endsWith('.lua') ? withFlatIncludes(readFileSync(join(core, path), 'utf8')) : readFileSync(join(core, path)),
      });
    }
  },
};

// The process that reads hostile documents is a program of its own, started by workers.
const children = basename(process.cwd()) === 'worker' ? { 'extract-child': join(core, 'web/extract-child.ts') } : {};

export default defineConfig({
  // `config` lets `npm start` read the settings as the processes will, before it starts any.
  // The others are the modules of threads (thread-url.ts finds them beside the bundle).
  input: {
    main: 'src/main.ts',
    config: join(core, 'config.ts'),
    'embed-thread': join(core, 'retrieval/embed-thread.ts'),
    'chunk-thread': join(core, 'retrieval/chunk-thread.ts'),
    ...children,
  },
  platform: 'node',
  external: outside,
  plugins: [besideTheBundle],
  transform: { target: 'node24' },
  output: { dir: 'dist', format: 'esm', entryFileNames: '[name].mjs', chunkFileNames: '[name]-[hash].mjs', sourcemap: true, cleanDir: true },
});
