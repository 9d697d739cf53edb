/**
 * Which segments give a region, a precision, or the most for a number of bytes. Pure arithmetic on a `ShardIndex`.
 *
 * Twin of codecs/python/select.py; tests/data/plan_cases.json binds the two together. All numbers are integers but for
 * `Level.mse`, whose values are exact in floating point and are summed from the coarsest level on; so both choose alike.
 *
 * Steps: after the base, which every picture needs, a picture is refined by whole layers of a level: layer 0 of level L - 1,
 * L - 2, ..., then layer 1 of these levels, and so on. A layer holds what lowers the squared error by at least so much a
 * bit, as much in every level: the order of steps is the order of what bytes are worth.
 */
import { InvalidArgument } from "./errors.ts";
import type { Region, ShardIndex, TileRect } from "./index.ts";

/** Bytes (offset, length). */
export type ByteRange = readonly [offset: number, length: number];

/** The first bytes of a segment. */
export type SegmentPart = readonly [segment: number, bytes: number];

/** `chooseLayers` tells apart so many errors up to the one that is allowed. */
const ERROR_UNITS = 1024;

/** Bound on |error|, in sample units, of a picture of `level` for which every tile of level j has layers[j] layers at least. */
export function bound(index: ShardIndex, level: number, layers: readonly number[]): number {
  let sum = 0;
  for (let j = index.levels.length - 1; j >= level; j--) sum += index.levels[j]!.errors[layers[j]!]!;
  return sum;
}

/** As `bound`, and often much less, if every tile has exactly so many layers, and no part of another. */
export function exactBound(index: ShardIndex, level: number, layers: readonly number[]): number {
  let found = bound(index, level, layers);
  for (const [n, measured] of index.levels[level]!.measured)
    if (measured < found && uniform(index, level, n).every((count, j) => j < level || count === layers[j])) found = measured;
  return found;
}

/** The first n layers of every level from `level` on, or all if there are fewer. */
function uniform(index: ShardIndex, level: number, n: number): number[] {
  return index.levels.map(({ layers }, j) => (j < level ? 0 : Math.min(n, layers)));
}

/** Mean squared error, in squared sample units, of such a picture: an estimate. */
export function mse(index: ShardIndex, level: number, layers: readonly number[]): number {
  let sum = 0;
  for (let j = index.levels.length - 1; j >= level; j--) sum += index.levels[j]!.mse[layers[j]!]!;
  return sum;
}

/**
 * The fewest bytes that give `region` of `level` with an error of at most `maxError` (in sample units; 0: exact). Where errors
 * of levels are added up, it is what it says up to 1024; above, each level's error counts in units of ceil(maxError / 1024),
 * rounded up.
 *
 * @param exactly the picture will be made of exactly these layers, so that what was measured of them holds. False: of these
 * at least.
 * @returns for every level 0 .. L the number of layers to have. Of several choices with the fewest bytes, the one with
 * the smallest sum of errors; of several of those, the one with fewer layers at level `level`, then at the next coarser one
 * ... The same number of layers of every level, after which errors were measured, if that has at most an eighth more bytes:
 * of it the error is known, and not only a bound on it. All layers when not even those suffice.
 */
export function chooseLayers(
  index: ShardIndex,
  level: number,
  region: Region,
  maxError: number,
  exactly = true,
): number[] {
  if (!(maxError >= 0 && Number.isFinite(maxError)))
    throw new InvalidArgument(`maxError ${maxError}: expected 0 or more, in sample units`);
  const area = index.region(level, region);
  const base = index.levels.length - 1;
  const unit = Math.max(Math.ceil(maxError / ERROR_UNITS), 1);
  const limit = Math.floor(maxError / unit);
  // fewest[e]: bytes of the cheapest choice for the levels so far whose errors sum up to e units; -1: there is none.
  let fewest = new Array<number>(limit + 1).fill(-1);
  fewest[0] = 0;
  const chosen: number[][] = []; // the layers of each level in those choices
  const sizes: number[][] = []; // of the layers of each level
  for (let j = base; j >= level; j--) {
    const at = index.levels[j]!;
    const costs = layerBytes(index, j, index.tiles(j, level, area));
    sizes[j] = costs;
    const grown = new Array<number>(limit + 1).fill(-1);
    const layers = new Array<number>(limit + 1).fill(0);
    let size = 0;
    for (let n = 0; n <= at.layers; n++) {
      if (n > 0) size += costs[n - 1]!;
      // Without the base there is no picture at all, however small its error bound.
      if (n === 0 && j === base) continue;
      const error = Math.ceil(at.errors[n]! / unit);
      for (let e = error; e <= limit; e++) {
        const before = fewest[e - error]!;
        if (before < 0 || (grown[e]! >= 0 && before + size >= grown[e]!)) continue;
        grown[e] = before + size;
        layers[e] = n;
      }
    }
    fewest = grown;
    chosen.push(layers);
  }
  let left = -1;
  for (let e = 0; e <= limit; e++) if (fewest[e]! >= 0 && (left < 0 || fewest[e]! < fewest[left]!)) left = e;
  for (const [n, error] of exactly ? index.levels[level]!.measured : []) {
    if (error > maxError) continue;
    const equal = uniform(index, level, n);
    let size = 0;
    for (let j = level; j <= base; j++) for (let i = 0; i < equal[j]!; i++) size += sizes[j]![i]!;
    if (left < 0 || 8 * size <= 9 * fewest[left]!) return equal;
    break;
  }
  const result = uniform(index, level, Number.POSITIVE_INFINITY);
  if (left < 0) return result;
  for (let j = level; j <= base; j++) {
    result[j] = chosen[base - j]![left]!;
    left -= Math.ceil(index.levels[j]!.errors[result[j]!]! / unit);
  }
  return result;
}

/**
 * The fewest steps after which a picture of `level` has a mean squared error of at most `maxMse`, in squared sample
 * units (an estimate).
 *
 * @returns as `chooseLayers`. All layers when not even those suffice.
 */
export function chooseForMse(index: ShardIndex, level: number, maxMse: number): number[] {
  index.region(level);
  const base = index.levels.length - 1;
  const have = index.levels.map(({ layers }, j) => (j === base ? layers : 0));
  for (const [j, n] of steps(index, level)) {
    if (mse(index, level, have) <= maxMse) break;
    have[j] = n + 1;
  }
  return have;
}

/**
 * The segments, in their order in the shard, of the first layers[j] layers of every tile under `region`. Empty segments
 * are left out: there is nothing to fetch.
 */
export function segmentsFor(index: ShardIndex, level: number, region: Region, layers: readonly number[]): number[] {
  const area = index.region(level, region);
  const chosen: number[] = [];
  for (let j = index.levels.length - 1; j >= level; j--) {
    const rect = index.tiles(j, level, area);
    for (let n = 0; n < layers[j]!; n++) inRect(index, j, n, rect, chosen);
  }
  return chosen.sort((a, b) => a - b);
}

/**
 * What is worth most for `region` of `level` and has at most `maxBytes` bytes.
 *
 * The base, then whole steps over the region, while they fit. The first step that does not is filled tile by tile, from the
 * region's centre outwards, up to the last byte: the first bytes of a segment hold its first passes. (The same part of every
 * tile's segment would be fairer, but loses 0.2 to 0.5 dB: in each tile a pass is then cut in two.)
 *
 * @param maxBytes bytes of segments, and of the parts of the head that tell of them.
 * @param maxError stop before a step if the bound, in sample units, is this small.
 * @param maxMse stop before a step if the mean squared error is this small by estimate. 0: never.
 * @returns segments, and how many of their first bytes, in the order in which they should be read: the base first, a tile's
 * layers in their order. No empty ones. Empty if not even the base fits.
 */
export function withinBudget(
  index: ShardIndex,
  level: number,
  region: Region,
  maxBytes: number,
  maxError = 0,
  maxMse = 0,
): SegmentPart[] {
  if (!(maxBytes >= 0 && maxError >= 0 && maxMse >= 0))
    throw new InvalidArgument(`maxBytes ${maxBytes}, maxError ${maxError}, maxMse ${maxMse}: expected 0 or more`);
  const area = index.region(level, region);
  const base = index.levels.length - 1;
  const rects = index.levels.map((_, j) => (j >= level ? index.tiles(j, level, area) : NOWHERE));
  const costs = rects.map((rect, j) => layerBytes(index, j, rect));
  const have = index.levels.map(({ layers }, j) => (j === base ? layers : 0));
  const chosen: SegmentPart[] = [];
  const take = (j: number, n: number) => {
    const segments: number[] = [];
    inRect(index, j, n, rects[j]!, segments);
    for (const segment of segments) chosen.push([segment, index.length(segment)]);
  };
  const parts = [0, ...index.parts];
  let known = 1;
  let left = maxBytes - parts[known]! - costs[base]!.reduce((sum, bytes) => sum + bytes, 0);
  if (left < 0) return [];
  for (let n = 0; n < have[base]!; n++) take(base, n);
  for (const [j, n] of steps(index, level)) {
    if (exactBound(index, level, have) <= maxError || (maxMse > 0 && mse(index, level, have) <= maxMse)) break;
    for (; index.groups[known]! <= n; known++) left -= parts[known + 1]! - parts[known]!;
    if (left <= 0) break;
    if (costs[j]![n]! > left) {
      chosen.push(...filled(index, j, n, rects[j]!, level, area, Math.floor(left)));
      break;
    }
    take(j, n);
    have[j] = n + 1;
    left -= costs[j]![n]!;
  }
  return chosen;
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

/** (level, layer) of every step of a picture of `level`, in their order. */
function steps(index: ShardIndex, level: number): [level: number, layer: number][] {
  const base = index.levels.length - 1;
  const refined = index.levels.slice(level, base);
  const most = refined.reduce((layers, at) => Math.max(layers, at.layers), 0);
  const order: [number, number][] = [];
  for (let n = 0; n < most; n++)
    for (let j = base - 1; j >= level; j--) if (n < index.levels[j]!.layers) order.push([j, n]);
  return order;
}

/** Bytes of every layer of a level over a rectangle of tiles. */
function layerBytes(index: ShardIndex, level: number, rect: TileRect): number[] {
  const { layers, tilesX } = index.levels[level]!;
  const costs = new Array<number>(layers).fill(0);
  for (let n = 0; n < layers; n++) {
    const { first, step } = index.layerRun(level, n);
    for (let y = rect.y0; y < rect.y1; y++)
      for (let x = rect.x0; x < rect.x1; x++) costs[n]! += index.length(first + (y * tilesX + x) * step);
  }
  return costs;
}

/** Append the non-empty segments of a layer over a rectangle of tiles, in their order. */
function inRect(index: ShardIndex, level: number, layer: number, rect: TileRect, chosen: number[]): void {
  const { first, step } = index.layerRun(level, layer);
  const { tilesX } = index.levels[level]!;
  for (let y = rect.y0; y < rect.y1; y++)
    for (let x = rect.x0; x < rect.x1; x++) {
      const segment = first + (y * tilesX + x) * step;
      if (index.length(segment) > 0) chosen.push(segment);
    }
}

/**
 * What of each segment of a layer fits into `left` bytes, the nearest tile to the middle of the region of level `asked` first.
 *
 * Distances are those of the tiles' middles, in halves of a sample of that level, squared; of equals the first in raster
 * order.
 */
function filled(
  index: ShardIndex,
  level: number,
  layer: number,
  rect: TileRect,
  asked: number,
  [y, x, height, width]: Region,
  left: number,
): SegmentPart[] {
  const { tile, tilesX } = index.levels[level]!;
  const { first, step } = index.layerRun(level, layer);
  const scale = 2 ** (level - asked);
  const tiles: { segment: number; distance: number }[] = [];
  for (let ty = rect.y0; ty < rect.y1; ty++)
    for (let tx = rect.x0; tx < rect.x1; tx++) {
      const dy = (2 * ty + 1) * tile * scale - (2 * y + height);
      const dx = (2 * tx + 1) * tile * scale - (2 * x + width);
      tiles.push({ segment: first + (ty * tilesX + tx) * step, distance: dy * dy + dx * dx });
    }
  // Sorting is stable.
  tiles.sort((a, b) => a.distance - b.distance);
  const parts: SegmentPart[] = [];
  let rest = left;
  for (const { segment } of tiles) {
    const bytes = Math.min(index.length(segment), rest);
    if (bytes > 0) parts.push([segment, bytes]);
    rest -= bytes;
  }
  return parts.sort((a, b) => a[0] - b[0]);
}
