/**
 * Where samples are: levels, arrays, shards and regions of an image, as integers. Twin of tiler/geometry.py.
 *
 * Level k of an image is 1/2^k of it; sample i of level k sits on sample i * 2^k of level 0. Array a of the pyramid is
 * level 3a; a shard also holds the coarser levels of its own samples, so level k is read from array min(floor(k / 3),
 * last), at level k - 3 * array of its shards. A region is in samples of the level that is asked for.
 */
import type { Region } from "@firstlight/codecs";

export type { Region };
export type Size = readonly [height: number, width: number];

export const LEVELS_PER_ARRAY = 3;
export const ARRAY_STEP = 1 << LEVELS_PER_ARRAY;
/** A shard's coarsest level has at most this many samples a side. */
const BASE_SIDE = 4;
export const MAX_SHARD_SIDE = 65536;
/** Magnification that nobody sees: keeps a zoom of 0.5000001 from fetching the next finer level. */
const ZOOM_SLACK = 1e-3;

/** ceil(n / 2^shift). Numbers may exceed 32 bits, so no bit operators. */
export function ceilShift(n: number, shift: number): number {
  return Math.ceil(n / 2 ** shift);
}

/** Size of `level` of an image or shard whose level 0 is height x width. */
export function levelSize([height, width]: Size, level: number): Size {
  return [ceilShift(height, level), ceilShift(width, level)];
}

/** How often a shard of this size is halved: the least L for which ceil(max(height, width) / 2^L) <= 4. */
export function shardLevels([height, width]: Size): number {
  let level = 0;
  while (ceilShift(Math.max(height, width), level) > BASE_SIDE) level++;
  return level;
}

/**
 * Size of the shards of an array: all of it where it has no more than chunk x chunk samples and no side is more than a
 * shard may have; else it is cut at every `chunk` samples of y and of x.
 */
export function chunkShape([height, width]: Size, chunk: number): Size {
  if (height * width <= chunk * chunk && Math.max(height, width) <= MAX_SHARD_SIDE) return [height, width];
  return [Math.min(height, chunk), Math.min(width, chunk)];
}

/** Size of every array of an image, finest first: level 0, 3, 6 ... until one shard holds it all. */
export function pyramid(size: Size, chunk: number): Size[] {
  const sizes = [size];
  for (let last = size; chunkShape(last, chunk).join() !== last.join(); sizes.push(last))
    last = levelSize(last, LEVELS_PER_ARRAY);
  return sizes;
}

/** [array, level inside its shards] that hold `level` of an image of `arrays` arrays. */
export function arrayOfLevel(level: number, arrays: number): [array: number, level: number] {
  const array = Math.min(Math.floor(level / LEVELS_PER_ARRAY), arrays - 1);
  return [array, level - LEVELS_PER_ARRAY * array];
}

/** Levels of an image, level 0 included. */
export function levelCount(size: Size, arrays: number): number {
  const last = LEVELS_PER_ARRAY * (arrays - 1);
  return last + shardLevels(levelSize(size, last)) + 1;
}

/**
 * The coarsest level that still has a sample for every screen pixel.
 *
 * @param zoom screen pixels per sample of level 0.
 */
export function levelForZoom(zoom: number, levels: number): number {
  let level = 0;
  while (level + 1 < levels && zoom * 2 ** (level + 1) <= 1 + ZOOM_SLACK) level++;
  return level;
}

/** The part of `region` inside 0..height, 0..width; height or width 0 where nothing is. */
export function clipRegion([y, x, h, w]: Region, [height, width]: Size): Region {
  const y0 = Math.min(Math.max(y, 0), height);
  const x0 = Math.min(Math.max(x, 0), width);
  const y1 = Math.max(Math.min(y + h, height), y0);
  const x1 = Math.max(Math.min(x + w, width), x0);
  return [y0, x0, y1 - y0, x1 - x0];
}

/**
 * The least region of `toLevel` whose samples cover those of `region` of `level`. Finer levels are multiplied (and may
 * pass the image's edge by less than a sample of `level`: clip), coarser ones rounded outwards.
 */
export function scaleRegion([y, x, h, w]: Region, level: number, toLevel: number): Region {
  if (toLevel <= level) {
    const up = 2 ** (level - toLevel);
    return [y * up, x * up, h * up, w * up];
  }
  const down = 2 ** (toLevel - level);
  const y0 = Math.floor(y / down);
  const x0 = Math.floor(x / down);
  return [y0, x0, Math.ceil((y + h) / down) - y0, Math.ceil((x + w) / down) - x0];
}

/** What one shard contributes to a region of a level. */
export interface ShardPart {
  /** The shard's place in its array's chunk grid. */
  row: number;
  column: number;
  /** Samples of the shard's level, from the shard's own corner. */
  region: Region;
  /** Where the region's first sample lands, from the asked region's corner. */
  y: number;
  x: number;
}

/**
 * The shards of one array that hold `region`, row-major.
 *
 * @param region in samples of `level`; what lies outside the array is left out.
 * @param level inside the array's shards.
 * @param size of the array, in samples of level 0.
 * @param chunk of its shards.
 */
export function shardsUnder(region: Region, level: number, size: Size, chunk: Size): ShardPart[] {
  const [y, x, h, w] = clipRegion(region, levelSize(size, level));
  if (h === 0 || w === 0) return [];
  // A shard that spans the axis has no neighbour to meet, so its side need not divide.
  const [stepY, stepX] = levelSize(chunk, level);
  const parts: ShardPart[] = [];
  for (let row = Math.floor(y / stepY); row * stepY < y + h; row++) {
    const y0 = Math.max(y, row * stepY);
    const y1 = Math.min(y + h, (row + 1) * stepY);
    for (let column = Math.floor(x / stepX); column * stepX < x + w; column++) {
      const x0 = Math.max(x, column * stepX);
      const x1 = Math.min(x + w, (column + 1) * stepX);
      parts.push({
        row,
        column,
        region: [y0 - row * stepY, x0 - column * stepX, y1 - y0, x1 - x0],
        y: y0 - region[0],
        x: x0 - region[1],
      });
    }
  }
  return parts;
}
