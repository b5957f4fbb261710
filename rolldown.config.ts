import { defineConfig } from 'rolldown';

// Everything is bundled but native parts and packages that load files of their own at run time.
const outside = [/^sharp(\/|$)/, /^pino(\/|$)/, /^fasttext\.wasm\.js(\/|$)/];

export default defineConfig({
  input: { main: 'src/main.ts' },
  platform: 'node',
  external: outside,
  transform: { target: 'node24' },
  moduleTypes: { '.lua': 'text' },
  output: { dir: 'dist', format: 'esm', entryFileNames: '[name].mjs', sourcemap: true, cleanDir: true },
});
