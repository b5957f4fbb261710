import { createLocalEmbedder, type LocalEmbedder } from './local-embedder.ts';
import { type ChunkTables, createChunkTables } from './table.ts';

/** The heavy parts of retrieval, each loaded when it is first used. */
export type Retrieval = { tables: ChunkTables; local: LocalEmbedder; close: () => void };

/** `folder` is shared by the processes of one machine. */
export const createRetrieval = (folder: string): Retrieval => {
  const tables = createChunkTables(folder);
  const local = createLocalEmbedder();
  return {
    tables,
    local,
    close() {
      local.close();
      tables.close();
    },
  };
};
