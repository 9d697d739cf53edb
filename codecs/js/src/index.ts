/**
 * The segment index of one shard: which levels, tiles and layers there are, and where their bytes lie.
 *
 * Pure: the planner works on it without any kernel. `parseHead` (kernels.ts) makes one from a shard's first bytes.
 * Twin of codecs/python/index.py.
 */
import { InvalidArgument } from "./errors.ts";

export type Dtype = "uint8" | "uint16" | "int8" | "int16";
export type Region = readonly [y: number, x: number, height: number, width: number];

/** One resolution level; 0 is full resolution. */
export interface Level {
  /** Samples of this level: ceil(shard / 2^level). */
  width: number;
  height: number;
  /** A tile covers tile x tile samples of this level. */
  tile: number;
  tilesX: number;
  tilesY: number;
  layers: number;
  /** Tiles and segments of all coarser levels. */
  firstTile: number;
  firstSegment: number;
  /** errors[n]: what this level adds to the bound on |error| when only its first n layers are there. */
  errors: readonly number[];
}

/** Tiles [y0, y1) x [x0, x1) of one level. */
export interface TileRect {
  y0: number;
  x0: number;
  y1: number;
  x1: number;
}

export interface SegmentId {
  level: number;
  layer: number;
  tileY: number;
  tileX: number;
  component: number;
}

export interface ShardIndexFields {
  version: number;
  codec: string;
  width: number;
  height: number;
  components: number;
  dtype: Dtype;
  colour: string;
  transform: string;
  levels: readonly Level[];
  margin: number;
  headSize: number;
  offsets: Uint32Array;
  /** The kernels' fl_info, byte for byte; empty when the index was made without a kernel. */
  raw: Uint8Array;
  /** The kernels' value table; empty where the shard has none. */
  values: Uint8Array;
}

export class ShardIndex {
  readonly version: number;
  readonly codec: string;
  /** Samples of level 0. An edge shard is smaller than its chunk. */
  readonly width: number;
  readonly height: number;
  readonly components: number;
  readonly dtype: Dtype;
  readonly colour: string;
  readonly transform: string;
  /** levels[0] is full resolution, the last one the coarsest. */
  readonly levels: readonly Level[];
  readonly margin: number;
  readonly headSize: number;
  /** Segment s is the bytes [offsets[s], offsets[s + 1]) of the shard. */
  readonly offsets: Uint32Array;
  readonly raw: Uint8Array;
  readonly values: Uint8Array;

  constructor(fields: ShardIndexFields) {
    this.version = fields.version;
    this.codec = fields.codec;
    this.width = fields.width;
    this.height = fields.height;
    this.components = fields.components;
    this.dtype = fields.dtype;
    this.colour = fields.colour;
    this.transform = fields.transform;
    this.levels = fields.levels;
    this.margin = fields.margin;
    this.headSize = fields.headSize;
    this.offsets = fields.offsets;
    this.raw = fields.raw;
    this.values = fields.values;
  }

  /** Bytes of the whole shard. */
  get size(): number {
    return this.offsets[this.offsets.length - 1]!;
  }

  get segments(): number {
    return this.offsets.length - 1;
  }

  /** Bytes of a segment. */
  length(segment: number): number {
    return this.offsets[segment + 1]! - this.offsets[segment]!;
  }

  /** The segments [first, end) that lie completely in the byte range (offset, length). */
  within(offset: number, length: number): { first: number; end: number } {
    const first = this.lowest(offset);
    return { first, end: Math.max(this.lowest(offset + length + 1) - 1, first) };
  }

  /** The first entry of `offsets` that is not below `offset`; their number where there is none. */
  private lowest(offset: number): number {
    let low = 0;
    let high = this.offsets.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.offsets[middle]! < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Number of a segment; order: level (coarsest first), layer, tile (row-major), component. */
  segment(level: number, layer: number, tileY: number, tileX: number, component: number): number {
    const l = this.levels[level]!;
    return l.firstSegment + ((layer * l.tilesY + tileY) * l.tilesX + tileX) * this.components + component;
  }

  locate(segment: number): SegmentId {
    for (let level = 0; level < this.levels.length; level++) {
      const l = this.levels[level]!;
      if (segment < l.firstSegment) continue;
      const within = segment - l.firstSegment;
      const tiles = l.tilesX * l.tilesY;
      const tile = Math.floor(within / this.components);
      const layer = Math.floor(tile / tiles);
      if (layer >= l.layers) break;
      const inLayer = tile % tiles;
      return {
        level,
        layer,
        tileY: Math.floor(inLayer / l.tilesX),
        tileX: inLayer % l.tilesX,
        component: within % this.components,
      };
    }
    throw new InvalidArgument(`segment ${segment}: the shard has ${this.segments}`);
  }

  /** Tiles of level `levelJ` that a region (y, x, height, width) of level `levelK` <= levelJ needs, margin included. */
  tiles(levelJ: number, levelK: number, region: Region): TileRect {
    const l = this.levels[levelJ]!;
    if (levelJ === this.levels.length - 1) return { y0: 0, x0: 0, y1: 1, x1: 1 };
    const [y, x, height, width] = region;
    const scale = 2 ** (levelJ - levelK);
    const low = (a: number) => Math.max(0, Math.floor(a / scale) - this.margin);
    const high = (a: number, n: number) => Math.min(n, Math.ceil(a / scale) + this.margin);
    return {
      y0: Math.floor(low(y) / l.tile),
      x0: Math.floor(low(x) / l.tile),
      y1: Math.ceil(high(y + height, l.height) / l.tile),
      x1: Math.ceil(high(x + width, l.width) / l.tile),
    };
  }
}
