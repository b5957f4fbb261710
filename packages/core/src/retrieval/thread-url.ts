/**
 * Where the module of a thread is: a TypeScript file beside its starter, or, in the bundle, a file of the same name beside it
 * (rolldown.config.ts names them).
 */
export const threadUrl = (moduleUrl: string, name: string): URL => new URL(`./${name}${moduleUrl.endsWith('.ts') ? '.ts' : '.mjs'}`, moduleUrl);
