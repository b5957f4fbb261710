import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRetrieval } from '@fana/core/retrieval/retrieval.ts';
import { type Figure, pairedFigure } from './figure.ts';
import { measureQuality, type Quality } from './retrieval/quality.ts';
import { measureScale } from './retrieval/scale.ts';
import { manPages, readmes } from './retrieval/sets.ts';

/** Documents of each set. */
const DOCUMENTS = 150;
/** How far the hybrid may stay behind the better of its halves. */
const TOLERANCE = 0.05;

const round = (value: number): number => Number(value.toPrecision(4));

const ndcg = (figure: string, ours: number, baseline: number, reach: number | null): Figure => ({
  suite: 'retrieval',
  figure,
  ours: round(ours),
  baseline: round(baseline),
  unit: 'nDCG@10',
  ratio: round(ours / baseline),
  reach: reach === null ? null : round(reach),
  met: reach === null ? null : ours / baseline >= reach,
});

const best = ({ fullText, vector }: Quality): number => Math.max(fullText, vector);
const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The hybrid beside its halves on two labelled sets with the model in the house, and its speed beside LanceDB called directly. */
export const retrieval = async (): Promise<Figure[]> => {
  const folder = await mkdtemp(join(tmpdir(), 'fana-retrieval-'));
  const parts = createRetrieval(folder);
  const figures: Figure[] = [];
  const all: Quality[] = [];
  try {
    for (const set of [readmes(DOCUMENTS), manPages(DOCUMENTS)]) {
      const quality = await measureQuality(parts, set);
      all.push(quality);
      figures.push(
        ndcg(`${set.name}: hybrid, beside its better half`, quality.hybrid, best(quality), (best(quality) - TOLERANCE) / best(quality)),
        ndcg(`${set.name}: full text alone, beside the hybrid`, quality.fullText, quality.hybrid, null),
        ndcg(`${set.name}: vectors alone, beside the hybrid`, quality.vector, quality.hybrid, null),
      );
    }
  } finally {
    parts.close();
    await rm(folder, { recursive: true, force: true });
  }
  const halves = Math.max(mean(all.map(({ fullText }) => fullText)), mean(all.map(({ vector }) => vector)));
  figures.push(ndcg('both sets: hybrid, beside the better half', mean(all.map(({ hybrid }) => hybrid)), halves, 1));
  figures.push(pairedFigure('retrieval', 'hybrid search of 100,000 vectors', 'ms', await measureScale(), { atMost: 1.3 }));
  return figures;
};
