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
  /** Tiles of all coarser levels. */
  firstTile: number;
  /** For each group of layers the segments before this level's first one in it. */
  firstSegments: readonly number[];
  /** errors[n]: what this level adds to the bound on |error| when only its first n layers are there. */
  errors: readonly number[];
  /** mse[n]: what it then adds to the mean squared error (over samples and components), an estimate (SPEC 2.4). */
  mse: readonly number[];
  /**
   * By n, ascending, for some n of levels 0, 1, 2: a bound on |error| of a picture of this level that has of every level its
   * first n layers and no others (all, if there are fewer), much nearer to the real error.
   */
  measured: ReadonlyMap<number, number>;
}

/** Where the segments of one layer of a level are: that of tile t (row-major) has the number first + t * step. */
export interface LayerRun {
  first: number;
  step: number;
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
  groups: readonly number[];
  parts: readonly number[];
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
  /** First layer of each group of layers that lie together in the shard (SPEC 2.6); groups[0] is 0. */
  readonly groups: readonly number[];
  /** Where the part of the head that tells of each group ends: the first g groups need parts[g - 1] bytes of it. */
  readonly parts: readonly number[];
  /** Bytes of the head, all parts of it. */
  readonly headSize: number;
  /** Segment s is the bytes [offsets[s], offsets[s + 1]) of the shard. */
  readonly offsets: Uint32Array;
  readonly raw: Uint8Array;
  readonly values: Uint8Array;
  private readonly runs: readonly (readonly LayerRun[])[];

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
    this.groups = fields.groups;
    this.parts = fields.parts;
    this.headSize = fields.headSize;
    this.offsets = fields.offsets;
    this.raw = fields.raw;
    this.values = fields.values;
    this.runs = this.levels.map((_, level) => this.layerRuns(level));
  }

  /** Bytes of the whole shard, of what is known of it. */
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

  /** Layers [first, end) of a level in each group; first === end where the level has none of a group's layers. */
  layerGroups(level: number): (readonly [first: number, end: number])[] {
    const { layers } = this.levels[level]!;
    return this.groups.map((start, g) => [Math.min(start, layers), Math.min(this.groups[g + 1] ?? layers, layers)]);
  }

  /** Groups, levels coarse to fine, tiles row by row, the group's layers (SPEC 2.6). */
  private layerRuns(level: number): LayerRun[] {
    const { firstSegments } = this.levels[level]!;
    return this.layerGroups(level).flatMap(([first, end], group) =>
      Array.from({ length: end - first }, (_, n) => ({ first: firstSegments[group]! + n, step: end - first })),
    );
  }

  /** Where a layer's segments are. */
  layerRun(level: number, layer: number): LayerRun {
    return this.runs[level]![layer]!;
  }

  /** Number of a segment. */
  segment(level: number, layer: number, tileY: number, tileX: number): number {
    const { first, step } = this.runs[level]![layer]!;
    return first + (tileY * this.levels[level]!.tilesX + tileX) * step;
  }

  locate(segment: number): SegmentId {
    if (!(segment >= 0 && segment < this.segments))
      throw new InvalidArgument(`segment ${segment}: the shard has ${this.segments}`);
    const group = this.levels.at(-1)!.firstSegments.findLastIndex((start) => start <= segment);
    const level = this.levels.findIndex(({ firstSegments }) => firstSegments[group]! <= segment);
    const { firstSegments, tilesX } = this.levels[level]!;
    const [first, end] = this.layerGroups(level)[group]!;
    const rest = segment - firstSegments[group]!;
    const tile = Math.floor(rest / (end - first));
    return {
      level,
      layer: first + (rest % (end - first)),
      tileY: Math.floor(tile / tilesX),
      tileX: tile % tilesX,
    };
  }

  /** A segment as error messages name it. */
  describe(segment: number): string {
    const { level, layer, tileY, tileX } = this.locate(segment);
    return `segment ${segment} (level ${level}, layer ${layer}, tile ${tileY},${tileX})`;
  }

  /**
   * `region` of `level` checked; all of the level where it is left out.
   *
   * @throws InvalidArgument: no such level, or the region is empty, not whole, or leaves the level.
   */
  region(level: number, region?: Region): Region {
    const at = this.levels[level];
    if (!at) throw new InvalidArgument(`level ${level}: the shard has levels 0 to ${this.levels.length - 1}`);
    if (!region) return [0, 0, at.height, at.width];
    const [y, x, height, width] = region;
    const inside = y >= 0 && x >= 0 && height >= 1 && width >= 1 && y + height <= at.height && x + width <= at.width;
    if (!inside || !region.every(Number.isInteger))
      throw new InvalidArgument(
        `region (y, x, height, width) = (${region.join(", ")}): level ${level} has ${at.height} x ${at.width} samples`,
      );
    return region;
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
