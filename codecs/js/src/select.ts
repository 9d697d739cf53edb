/**
 * Which segments give a region, a precision, or the most for a number of bytes. Pure arithmetic on a `ShardIndex`.
 *
 * Twin of codecs/python/select.py; tests/data/plan_cases.json binds the two together. Divisions of integers are the only
 * floating-point operations, so that both choose alike.
 */
import { InvalidArgument } from "./errors.ts";
import type { Region, ShardIndex, TileRect } from "./index.ts";

/** Bytes (offset, length). */
export type ByteRange = readonly [offset: number, length: number];

/** Bound on |error|, in sample units, of a picture of `level` for which every tile of level j has layers[j] layers. */
export function bound(index: ShardIndex, level: number, layers: readonly number[]): number {
  let sum = 0;
  for (let j = level; j < index.levels.length; j++) sum += index.levels[j]!.errors[layers[j]!]!;
  return sum;
}

interface Choice {
  bytes: number;
  error: number;
  /** Of the finest level so far, then of ever coarser ones. */
  layers: readonly number[];
}

function compare(a: Choice, b: Choice): number {
  if (a.bytes !== b.bytes) return a.bytes - b.bytes;
  if (a.error !== b.error) return a.error - b.error;
  for (let i = 0; i < a.layers.length; i++) {
    const difference = a.layers[i]! - b.layers[i]!;
    if (difference) return difference;
  }
  return 0;
}

/**
 * The fewest bytes that give `region` of `level` with an error of at most `maxError` (in sample units; 0: exact).
 *
 * @returns for every level 0 .. L the number of layers to have. Of several choices with the fewest bytes, the one with
 * the smallest bound; of several of those, the one with fewer layers at level `level`, then at the next coarser one ...
 */
export function chooseLayers(index: ShardIndex, level: number, region: Region, maxError: number): number[] {
  if (maxError < 0) throw new InvalidArgument(`maxError ${maxError}: expected 0 or more, in sample units`);
  checkRegion(index, level, region);
  const base = index.levels.length - 1;
  // Pareto front over (bytes, error), from the coarsest level to ever finer ones.
  let front: Choice[] = [{ bytes: 0, error: 0, layers: [] }];
  for (let j = base; j >= level; j--) {
    const at = index.levels[j]!;
    const costs = layerBytes(index, j, index.tiles(j, level, region));
    const grown: Choice[] = [];
    let more = 0;
    for (let n = 0; n <= at.layers; n++) {
      if (n > 0) more += costs[n - 1]!;
      // Without the base there is no picture at all, however small its error bound.
      if (n === 0 && j === base) continue;
      for (const { bytes, error, layers } of front)
        if (error + at.errors[n]! <= maxError)
          grown.push({ bytes: bytes + more, error: error + at.errors[n]!, layers: [n, ...layers] });
    }
    grown.sort(compare);
    front = [];
    for (const candidate of grown)
      if (front.length === 0 || candidate.error < front[front.length - 1]!.error) front.push(candidate);
  }
  return [...new Array<number>(level).fill(0), ...front[0]!.layers];
}

/**
 * The segments, in their order in the shard, of the first layers[j] layers of every tile under `region`. Empty segments
 * are left out: there is nothing to fetch.
 */
export function segmentsFor(index: ShardIndex, level: number, region: Region, layers: readonly number[]): number[] {
  checkRegion(index, level, region);
  const chosen: number[] = [];
  for (let j = index.levels.length - 1; j >= level; j--) {
    const rect = index.tiles(j, level, region);
    for (let layer = 0; layer < layers[j]!; layer++) inRect(index, j, layer, rect, chosen);
  }
  return chosen;
}

/**
 * The segments that are worth most for `region` of `level` and together have at most `maxBytes` bytes, in the order in
 * which they should be read; empty if not even the base fits.
 *
 * Greedy by the fall of the squared error bound per byte. Layers are taken whole over the region; only the last is
 * filled up tile by tile, from the region's centre outwards. Stops as soon as the bound is at most `maxError`.
 */
export function withinBudget(
  index: ShardIndex,
  level: number,
  region: Region,
  maxBytes: number,
  maxError = 0,
): number[] {
  if (maxBytes < 0 || maxError < 0)
    throw new InvalidArgument(`maxBytes ${maxBytes}, maxError ${maxError}: expected 0 or more`);
  checkRegion(index, level, region);
  const base = index.levels.length - 1;
  const rects = index.levels.map((_, j) => (j >= level ? index.tiles(j, level, region) : NOWHERE));
  const costs = rects.map((rect, j) => layerBytes(index, j, rect));
  const have = index.levels.map((at, j) => (j === base ? at.layers : 0));
  let left = maxBytes - sum(costs[base]!);
  if (left < 0) return [];
  const chosen: number[] = [];
  for (let layer = 0; layer < have[base]!; layer++) inRect(index, base, layer, rects[base]!, chosen);
  for (;;) {
    for (let j = level; j < base; j++)
      while (have[j]! < index.levels[j]!.layers && costs[j]![have[j]!] === 0) have[j]!++;
    if (bound(index, level, have) <= maxError || base === level) return chosen;
    // The first of equals: the coarsest level.
    let best = base - 1;
    let steepest = Number.NEGATIVE_INFINITY;
    for (let j = base - 1; j >= level; j--) {
      const slope = steepestSlope(index.levels[j]!.errors, costs[j]!, have[j]!);
      if (slope > steepest) {
        steepest = slope;
        best = j;
      }
    }
    if (have[best] === index.levels[best]!.layers) return chosen;
    const cost = costs[best]![have[best]!]!;
    if (cost > left) return [...chosen, ...fromCentre(index, best, have[best]!, level, region, left)];
    inRect(index, best, have[best]!, rects[best]!, chosen);
    have[best]!++;
    left -= cost;
  }
}

/**
 * Byte ranges, in any order, as few ranges in ascending order. Ranges are joined that overlap, touch, or leave at most
 * `gap` bytes between them. Empty ranges vanish.
 */
export function mergeRanges(ranges: Iterable<ByteRange>, gap: number): ByteRange[] {
  const merged: [number, number][] = [];
  const sorted = [...ranges].filter((range) => range[1] > 0).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  for (const [offset, length] of sorted) {
    const last = merged[merged.length - 1];
    if (last && offset - (last[0] + last[1]) <= gap) last[1] = Math.max(last[1], offset + length - last[0]);
    else merged.push([offset, length]);
  }
  return merged;
}

const NOWHERE: TileRect = { y0: 0, x0: 0, y1: 0, x1: 0 };

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}

function checkRegion(index: ShardIndex, level: number, [y, x, height, width]: Region): void {
  const at = index.levels[level];
  if (!at) throw new InvalidArgument(`level ${level}: the shard has levels 0 to ${index.levels.length - 1}`);
  if (y < 0 || x < 0 || height < 1 || width < 1 || y + height > at.height || x + width > at.width)
    throw new InvalidArgument(
      `region (y, x, height, width) = (${y}, ${x}, ${height}, ${width}): ` +
        `level ${level} has ${at.height} x ${at.width} samples`,
    );
}

/** Bytes of every layer of a level over a rectangle of tiles. */
function layerBytes(index: ShardIndex, level: number, rect: TileRect): number[] {
  const costs: number[] = [];
  for (let layer = 0; layer < index.levels[level]!.layers; layer++) {
    let bytes = 0;
    for (let y = rect.y0; y < rect.y1; y++) {
      const first = index.segment(level, layer, y, rect.x0, 0);
      bytes += index.offsets[first + (rect.x1 - rect.x0) * index.components]! - index.offsets[first]!;
    }
    costs.push(bytes);
  }
  return costs;
}

/** Append the non-empty segments of a layer over a rectangle of tiles, in their order. */
function inRect(index: ShardIndex, level: number, layer: number, rect: TileRect, chosen: number[]): void {
  for (let y = rect.y0; y < rect.y1; y++) {
    const first = index.segment(level, layer, y, rect.x0, 0);
    const end = first + (rect.x1 - rect.x0) * index.components;
    for (let s = first; s < end; s++) if (index.offsets[s + 1] !== index.offsets[s]) chosen.push(s);
  }
}

/**
 * Fall of the squared bound per byte of the best run of next layers; -1 when there is none. A run, because the first of
 * two layers may gain little alone and much together with the second.
 */
function steepestSlope(errors: readonly number[], costs: readonly number[], have: number): number {
  let best = -1;
  let size = 0;
  for (let n = have; n < costs.length; n++) {
    size += costs[n]!;
    best = Math.max(best, (errors[have]! * errors[have]! - errors[n + 1]! * errors[n + 1]!) / size);
  }
  return best;
}

/** One layer's segments tile by tile, nearest to the region's centre first, while they fit. */
function fromCentre(
  index: ShardIndex,
  level: number,
  layer: number,
  asked: number,
  region: Region,
  budget: number,
): number[] {
  const rect = index.tiles(level, asked, region);
  const { tile } = index.levels[level]!;
  const [y, x, height, width] = region;
  const scale = 2 ** (level - asked);
  const tiles: { distance: number; ty: number; tx: number }[] = [];
  for (let ty = rect.y0; ty < rect.y1; ty++)
    for (let tx = rect.x0; tx < rect.x1; tx++) {
      // In halves of a sample of the asked level, so that all is integer.
      const dy = (2 * ty + 1) * tile * scale - (2 * y + height);
      const dx = (2 * tx + 1) * tile * scale - (2 * x + width);
      tiles.push({ distance: dy * dy + dx * dx, ty, tx });
    }
  tiles.sort((a, b) => a.distance - b.distance || a.ty - b.ty || a.tx - b.tx);
  const chosen: number[] = [];
  let left = budget;
  for (const { ty, tx } of tiles) {
    const segments: number[] = [];
    inRect(index, level, layer, { y0: ty, x0: tx, y1: ty + 1, x1: tx + 1 }, segments);
    const size = sum(segments.map((s) => index.length(s)));
    if (size > left) break;
    left -= size;
    chosen.push(...segments);
  }
  return chosen;
}
