/**
 * Display tiles: the squares of a shard's levels that become textures. Pure.
 *
 * A display tile is TILE x TILE samples of one level of one shard (fewer at its edges), decoded with one sample more
 * on each side where the shard has it, so that interpolation meets the neighbour's. It lies where its samples do:
 * sample i of level k sits on sample i * 2^k of level 0 (plan/geometry).
 */
import type { Region } from "@firstlight/codecs";
import { TEXTURE_SIDE } from "../gl/textures.ts";

export const TILE = TEXTURE_SIDE - 2;

/** A shard's place in the image. */
export interface ShardPlace {
  /** Image level of the shard's level 0. */
  baseLevel: number;
  /** The shard's corner in samples of its level 0. */
  y: number;
  x: number;
}

export interface TilePlace {
  /** Samples that are decoded, in the shard's level. */
  region: Region;
  /** Image pixels that the tile stands for. */
  y0: number;
  x0: number;
  y1: number;
  x1: number;
  /** Image pixels per sample, and the image coordinate of the decoded region's corner. */
  step: number;
  originY: number;
  originX: number;
}

/** Along one axis: decoded samples [from, to), and the image pixels that they stand for. */
function span(tile: number, size: number, corner: number, level: number, base: number, image: number) {
  const step = 2 ** (base + level);
  const first = tile * TILE;
  const last = Math.min(first + TILE, size);
  const from = Math.max(0, first - 1);
  const to = Math.min(size, last + 1);
  // A shard's corner is a multiple of 8 samples wherever it has neighbours, so this is a whole number there.
  const at = Math.ceil(corner / 2 ** level);
  return {
    from,
    to,
    start: (at + first) * step,
    end: Math.min(image, (at + last) * step),
    origin: (at + from) * step - (step - 1) / 2,
    step,
  };
}

/** Where display tile (tileY, tileX) of a shard's level lies; `height`, `width`: samples of that level of the shard. */
export function tilePlace(
  shard: ShardPlace,
  level: number,
  tileY: number,
  tileX: number,
  [height, width]: readonly [number, number],
  image: { height: number; width: number },
): TilePlace {
  const y = span(tileY, height, shard.y, level, shard.baseLevel, image.height);
  const x = span(tileX, width, shard.x, level, shard.baseLevel, image.width);
  return {
    region: [y.from, x.from, y.to - y.from, x.to - x.from],
    y0: y.start,
    x0: x.start,
    y1: y.end,
    x1: x.end,
    step: y.step,
    originY: y.origin,
    originX: x.origin,
  };
}

/** Display tiles that a region of a level touches: [tileY, tileX], row-major. */
export function tilesUnder([y, x, height, width]: Region): [number, number][] {
  const tiles: [number, number][] = [];
  for (let tileY = Math.floor(y / TILE); tileY * TILE < y + height; tileY++)
    for (let tileX = Math.floor(x / TILE); tileX * TILE < x + width; tileX++) tiles.push([tileY, tileX]);
  return tiles;
}
