/**
 * Pictures of one shard from the segments that have arrived. Takes bytes, never fetches. Twin of codecs/python/shard.py.
 *
 * A tile's coefficients stay decoded in the kernels' memory until it improves or the cache's bound is reached; so
 * a refinement decodes only the tiles that changed.
 */
import { CorruptData, check, InsufficientData, InvalidArgument } from "./errors.ts";
import type { Dtype, Region, ShardIndex } from "./index.ts";
import type { Kernels } from "./kernels.ts";
import { Loan } from "./memory.ts";
import { bound, mse } from "./select.ts";

export type Samples =
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>;

/** What to decode. */
export interface PictureOptions {
  /** 0 is full resolution, k is 1/2^k. */
  level?: number;
  /** (y, x, height, width) in samples of that level; default: all of it. */
  region?: Region;
  /** Samples per pixel of the result: the shard's own, or more of them to leave room (RGBA textures: 4), filled with ones. */
  components?: number;
}

export interface Picture {
  /** Row by row, components interleaved. */
  data: Samples;
  /** [height, width], or [height, width, components]. */
  shape: number[];
  /** No sample is off by more than this, in sample units. */
  bound: number;
}

export interface DecoderOptions {
  /** Names the shard in errors. */
  name?: string | undefined;
  /**
   * Hears of a damaged segment, which is then forgotten: decoding goes on without that layer and those after it. Only a
   * damaged base makes it fail. Without `onDamage` every damaged segment does.
   */
  onDamage?: ((error: CorruptData) => void) | undefined;
}

const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, int8: Int8Array, int16: Int16Array };

/** Samples of a dtype in a buffer: `length` of them, or zeros in a new one. */
export function makeSamples(dtype: Dtype, from: number | ArrayBuffer): Samples {
  return typeof from === "number" ? new ARRAYS[dtype](from) : new ARRAYS[dtype](from);
}

// fl_status: a segment that ends too early is as wrong as one whose checksum fails.
const INSUFFICIENT = 1;
const CORRUPT = 2;

/** Rows of samples are made in multiples of this: the largest tile. */
const STRIP = 256;

/** Bytes of a shard from `offset` on. */
interface Source {
  offset: number;
  data: Uint8Array;
}

interface CachedTile {
  /** The decoder's tiles, where it is entry `tile`. */
  home: Map<number, CachedTile>;
  tile: number;
  /** Coefficients of all components; 0 where all of them are zeros. */
  block: number;
  size: number;
  /** Whether they are 32-bit integers. */
  wide: number;
  /** What they were decoded from: layers, and bytes of the next one. */
  layers: number;
  more: number;
}

/** Decoded coefficients of all shards of a thread, least recently used first, at most `capacity` bytes. */
export class TileCache {
  private readonly entries = new Set<CachedTile>();
  private bytes = 0;

  constructor(
    private readonly kernels: Kernels,
    readonly capacity = 192 << 20,
  ) {}

  touch(entry: CachedTile): void {
    this.entries.delete(entry);
    this.entries.add(entry);
  }

  put(entry: CachedTile): void {
    this.entries.add(entry);
    entry.home.set(entry.tile, entry);
    this.bytes += entry.size;
  }

  drop(entry: CachedTile): void {
    this.entries.delete(entry);
    entry.home.delete(entry.tile);
    if (entry.size > 0) this.kernels.arena.release(entry.block, entry.size);
    this.bytes -= entry.size;
  }

  /** Make room, least recently used first. */
  trim(): void {
    for (const entry of this.entries) {
      if (this.bytes <= this.capacity) return;
      this.drop(entry);
    }
  }
}

/** Where tile decoding finds and leaves things. */
interface Workbench {
  info: number;
  scratch: number;
  /** Room for a tile's coefficients. */
  coefs: number;
  wide: number;
  /** Addresses and lengths of a tile's layers. */
  table: number;
}

/** Turns the segments of one shard into pictures, in whatever order they arrive. Made by `Codec.decoder`. */
export class Decoder {
  readonly name: string;
  private readonly onDamage: DecoderOptions["onDamage"];
  /** Where each segment's bytes are. */
  private readonly sources: (Source | undefined)[];
  /** First bytes of segments that are not there whole. */
  private readonly prefixes = new Map<number, Uint8Array>();
  private readonly tiles = new Map<number, CachedTile>();

  constructor(
    private readonly kernels: Kernels,
    private readonly cache: TileCache,
    readonly index: ShardIndex,
    { name = "shard", onDamage }: DecoderOptions = {},
  ) {
    if (index.raw.length === 0) throw new InvalidArgument(`${name}: its index was not made by parse`);
    this.name = name;
    this.onDamage = onDamage;
    this.sources = new Array(index.segments);
  }

  // ---- segments in -------------------------------------------------------------------------------------------------

  /** Take a whole segment. The bytes are kept, not copied: they must not change. */
  add(segment: number, data: Uint8Array): void {
    if (!(segment >= 0 && segment < this.index.segments))
      throw new InvalidArgument(`${this.name}, segment ${segment}: the shard has ${this.index.segments}`);
    const expected = this.index.length(segment);
    if (data.length !== expected)
      throw new InvalidArgument(
        `${this.name}, ${this.index.describe(segment)}: ${expected} bytes announced, ${data.length} given`,
      );
    this.take(segment, { offset: this.index.offsets[segment]!, data });
  }

  /**
   * Take the segments that lie completely in `data`, the shard's bytes from `offset` on. They are kept, not copied.
   *
   * @param segments of these alone.
   */
  feed(offset: number, data: Uint8Array, segments?: Iterable<number>): void {
    const source = { offset, data };
    const { first, end } = this.index.within(offset, data.length);
    if (!segments) for (let s = first; s < end; s++) this.take(s, source);
    else for (const s of segments) if (s >= first && s < end) this.take(s, source);
  }

  private take(segment: number, source: Source): void {
    if (!this.has(segment)) this.sources[segment] = source;
    this.prefixes.delete(segment);
  }

  /**
   * Take the first bytes of a segment. They make the picture better, not its bound, once the layers before are there. They
   * are kept, not copied.
   */
  addPrefix(segment: number, data: Uint8Array): void {
    if (!(segment >= 0 && segment < this.index.segments) || data.length > this.index.length(segment))
      throw new InvalidArgument(`${this.name}, segment ${segment}: ${data.length} bytes are no prefix of it`);
    const length = this.index.length(segment);
    if (data.length === length) this.add(segment, data);
    // Without what there is of the check (SPEC 2.6): it would be taken for payload.
    const part = data.subarray(0, length - (length < 64 ? 1 : 2));
    if (!this.has(segment) && part.length > (this.prefixes.get(segment)?.length ?? 0)) this.prefixes.set(segment, part);
  }

  /** Forget a segment, for its memory: its tile then has the layers below it. */
  drop(segment: number): void {
    this.sources[segment] = undefined;
    this.prefixes.delete(segment);
  }

  // ---- what is known -----------------------------------------------------------------------------------------------

  /** Whether the segment is there (an empty one always is). */
  has(segment: number): boolean {
    return this.sources[segment] !== undefined || this.index.length(segment) === 0;
  }

  /** How many layers of a tile are there, from the first on. */
  layers(level: number, tileY: number, tileX: number): number {
    const { layers, tilesX } = this.index.levels[level]!;
    const tile = tileY * tilesX + tileX;
    for (let layer = 0; layer < layers; layer++) {
      const { first, step } = this.index.layerRun(level, layer);
      if (!this.has(first + tile * step)) return layer;
    }
    return layers;
  }

  /** Bound on |error|, in sample units, of what `decode` would give now. It never grows. */
  bound(level: number, region?: Region): number {
    return bound(this.index, level, this.least(level, region));
  }

  /** As `bound`, and often much less, where errors were measured of just what is there: with more it may grow. */
  exactBound(level: number, region?: Region): number {
    let found = this.bound(level, region);
    const area = this.index.region(level, region);
    for (const [n, measured] of this.index.levels[level]!.measured)
      if (measured < found && this.index.levels.every((_, j) => j < level || this.isCut(j, n, level, area)))
        found = measured;
    return found;
  }

  /** Whether tiles under a region have the first `count` layers of a level, or all, and nothing of others. */
  private isCut(of: number, count: number, level: number, area: Region): boolean {
    const { layers, tilesX } = this.index.levels[of]!;
    const { y0, x0, y1, x1 } = this.index.tiles(of, level, area);
    for (let layer = 0; layer < layers; layer++) {
      const { first, step } = this.index.layerRun(of, layer);
      for (let y = y0; y < y1; y++)
        for (let x = x0; x < x1; x++) {
          const segment = first + (y * tilesX + x) * step;
          if (this.index.length(segment) === 0) continue;
          if (layer < count ? !this.has(segment) : this.has(segment) || this.prefixes.has(segment)) return false;
        }
    }
    return true;
  }

  /** Mean squared error, in squared sample units, of what `decode` would give now: an estimate. */
  mse(level: number, region?: Region): number {
    return mse(this.index, level, this.least(level, region));
  }

  /** The layers that every tile under a region has, for each level. */
  private least(level: number, region?: Region): number[] {
    const area = this.index.region(level, region);
    return this.index.levels.map(({ layers }, j) => {
      if (j < level) return 0;
      const { y0, x0, y1, x1 } = this.index.tiles(j, level, area);
      let least = layers;
      for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) least = Math.min(least, this.layers(j, y, x));
      return least;
    });
  }

  // ---- pictures out ------------------------------------------------------------------------------------------------

  /**
   * The best picture that the segments give.
   *
   * @throws InsufficientData when the base is not there; CorruptData names the segment (see `onDamage`).
   */
  decode({ level = 0, region, components = this.index.components }: PictureOptions = {}): Picture {
    const { index } = this;
    const area = index.region(level, region);
    const [y, x, height, width] = area;
    if (components < index.components)
      throw new InvalidArgument(`${this.name}: ${components} samples per pixel, the shard has ${index.components}`);
    if (this.layers(index.levels.length - 1, 0, 0) === 0)
      throw new InsufficientData(`${this.name}: the base level (segment 0) is not there yet`);
    // In bands, so that the coefficients that are needed at once stay near the cache's size.
    const row = 4 * index.components * width;
    const band = Math.max(Math.floor(this.cache.capacity / (2 * row * STRIP)), 1) * STRIP;
    const data = makeSamples(index.dtype, height * width * components);
    for (let top = 0; top < height; top += band) {
      const rows = Math.min(band, height - top);
      this.decodeBand(level, [y + top, x, rows, width], components, data, top * width * components);
      this.cache.trim();
    }
    const shape = components === 1 ? [height, width] : [height, width, components];
    return { data, shape, bound: this.exactBound(level, area) };
  }

  /** Forget everything. */
  close(): void {
    for (const entry of this.tiles.values()) this.cache.drop(entry);
    this.sources.fill(undefined);
    this.prefixes.clear();
  }

  /** Decode a region into `out` from `at` on. */
  private decodeBand(level: number, region: Region, components: number, out: Samples, at: number): void {
    const { index, kernels } = this;
    const { exports } = kernels;
    const [y, x, height, width] = region;
    // Everything is allocated before it is filled: growing the memory detaches views, not addresses.
    const loan = new Loan(kernels.arena);
    try {
      const info = loan.allocate(index.raw.length);
      kernels.bytes(info, index.raw.length).set(index.raw);
      const values = index.values.length === 0 ? 0 : loan.allocate(index.values.length);
      if (values) kernels.bytes(values, index.values.length).set(index.values);
      const finest = index.levels[0]!;
      const count = finest.firstTile + finest.tilesX * finest.tilesY;
      const pointers = loan.allocate(count * 4);
      const wide = loan.allocate(count);
      const side = Math.max(...index.levels.map(({ tile }) => tile));
      const layers = Math.max(...index.levels.map(({ layers }) => layers));
      const bench = {
        info,
        scratch: loan.allocate(exports.fl_wavelet_decode_scratch(info) >>> 0),
        coefs: loan.allocate(side * side * index.components * 4),
        wide: loan.allocate(4),
        table: loan.allocate(layers * 8),
      };
      const tiles = this.decodeTiles(bench, level, region);
      const bytes = height * width * components * out.BYTES_PER_ELEMENT;
      const samples = loan.allocate(bytes);
      const workspace = loan.allocate(exports.fl_wavelet_region_workspace(info, level, width, height) >>> 0);
      const addresses = kernels.words(pointers, count).fill(0);
      const widths = kernels.bytes(wide, count).fill(0);
      for (const tile of tiles) {
        addresses[tile.tile] = tile.block;
        widths[tile.tile] = tile.wide;
      }
      if (components > index.components) kernels.bytes(samples, bytes).fill(255);
      check(
        exports.fl_wavelet_region(
          info,
          level,
          x,
          y,
          width,
          height,
          pointers,
          wide,
          0,
          values,
          samples,
          1,
          width * components,
          components,
          workspace,
        ),
        () => `${this.name}: level ${level} can not be decoded`,
      );
      new Uint8Array(out.buffer, at * out.BYTES_PER_ELEMENT, bytes).set(kernels.bytes(samples, bytes));
    } finally {
      loan.end();
    }
  }

  /** All tiles that a region needs, decoded as far as they are there. */
  private decodeTiles(bench: Workbench, level: number, region: Region): CachedTile[] {
    const { index } = this;
    const tiles: CachedTile[] = [];
    for (let j = index.levels.length - 1; j >= level; j--) {
      const at = index.levels[j]!;
      const { y0, x0, y1, x1 } = index.tiles(j, level, region);
      for (let tileY = y0; tileY < y1; tileY++)
        for (let tileX = x0; tileX < x1; tileX++) {
          const layers = this.layers(j, tileY, tileX);
          const next = layers < at.layers ? this.prefixes.get(index.segment(j, layers, tileY, tileX)) : undefined;
          const tile = at.firstTile + tileY * at.tilesX + tileX;
          let entry = this.tiles.get(tile);
          if (entry && entry.layers === layers && entry.more === (next?.length ?? 0)) this.cache.touch(entry);
          else {
            if (entry) this.cache.drop(entry);
            if (layers === 0 && !next) continue;
            entry = this.decodeTile(bench, j, tileY, tileX, layers, next);
            this.cache.put(entry);
          }
          tiles.push(entry);
        }
    }
    return tiles;
  }

  /**
   * A tile from its first `layers` layers and what there is of the next one, or from the layers before the first that is
   * damaged.
   */
  private decodeTile(
    bench: Workbench,
    level: number,
    tileY: number,
    tileX: number,
    layers: number,
    next: Uint8Array | undefined,
  ): CachedTile {
    const { index, kernels } = this;
    const { firstTile, tilesX } = index.levels[level]!;
    const tile = firstTile + tileY * tilesX + tileX;
    // Segments are checked by decoding them: with fewer layers, which is the first that is damaged?
    let good = layers;
    let more = next?.length ?? 0;
    let status = this.runTile(bench, level, tileY, tileX, good, next);
    if (next && (status === INSUFFICIENT || status === CORRUPT)) {
      more = 0;
      status = layers === 0 ? 0 : this.runTile(bench, level, tileY, tileX, good);
    }
    while ((status === INSUFFICIENT || status === CORRUPT) && good > 0)
      status = --good === 0 ? 0 : this.runTile(bench, level, tileY, tileX, good);
    check(status, () => `${this.name}: tile ${tileY},${tileX} of level ${level} can not be decoded`);
    if (good < layers || (next && more === 0)) {
      const damaged = index.segment(level, good, tileY, tileX);
      const error = new CorruptData(
        `${this.name}, ${index.describe(damaged)}: its ${index.length(damaged)} bytes are damaged`,
        damaged,
      );
      this.drop(damaged);
      this.onDamage?.(error);
      if (!this.onDamage || level === index.levels.length - 1) throw error;
    }
    const empty = { home: this.tiles, tile, block: 0, size: 0, wide: 0, layers: good, more };
    if (good === 0 && more === 0) return empty;
    const wide = kernels.words(bench.wide, 1)[0]!;
    const count = kernels.exports.fl_wavelet_tile_size(bench.info, level, tileX, tileY) * index.components;
    const size = count * (wide ? 4 : 2);
    if (size === 0) return empty;
    const block = kernels.arena.allocate(size);
    new Uint8Array(kernels.exports.memory.buffer).copyWithin(block, bench.coefs, bench.coefs + size);
    return { ...empty, block, size, wide };
  }

  /** Status of decoding the first `layers` layers of a tile, and what there is of the next one, onto the workbench. */
  private runTile(
    bench: Workbench,
    level: number,
    tileY: number,
    tileX: number,
    layers: number,
    next?: Uint8Array,
  ): number {
    const { index, kernels } = this;
    const { offsets } = index;
    const tile = tileY * index.levels[level]!.tilesX + tileX;
    const count = next ? layers + 1 : layers;
    let total = next?.length ?? 0;
    for (let layer = 0; layer < layers; layer++) {
      const { first, step } = index.layerRun(level, layer);
      total += index.length(first + tile * step);
    }
    const input = kernels.arena.allocate(total);
    const table = kernels.words(bench.table, count * 2);
    const memory = kernels.bytes(input, total);
    let at = 0;
    for (let layer = 0; layer < layers; layer++) {
      const { first, step } = index.layerRun(level, layer);
      const segment = first + tile * step;
      const length = index.length(segment);
      const source = this.sources[segment];
      if (source) {
        const from = offsets[segment]! - source.offset;
        memory.set(source.data.subarray(from, from + length), at);
      }
      table[layer] = input + at;
      table[count + layer] = length;
      at += length;
    }
    if (next) {
      memory.set(next, at);
      table[layers] = input + at;
      table[count + layers] = next.length;
    }
    const { info, coefs, wide, scratch } = bench;
    const status = kernels.exports.fl_wavelet_tile_decode(
      info,
      level,
      tileX,
      tileY,
      bench.table,
      bench.table + count * 4,
      count,
      next ? 1 : 0,
      coefs,
      wide,
      scratch,
    );
    kernels.arena.release(input, total);
    return status;
  }
}
