/**
 * Pictures of one shard from the segments that have arrived. Takes bytes, never fetches. Twin of codecs/python/shard.py.
 *
 * A tile's coefficients stay decoded in the kernels' memory until it improves or the cache's bound is reached; so
 * a refinement decodes only the tiles that changed.
 */
import { CorruptData, check, InsufficientData, InvalidArgument } from "./errors.ts";
import type { Dtype, Region, ShardIndex } from "./index.ts";
import type { Kernels } from "./kernels.ts";

export type Samples = Uint8Array | Uint16Array | Int8Array | Int16Array;
type SamplesConstructor = { new (buffer: ArrayBufferLike, byteOffset: number, length: number): Samples };

const ARRAYS: Record<Dtype, SamplesConstructor> = {
  uint8: Uint8Array,
  uint16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
};

/** An array of `length` zeros of a dtype. */
export function makeSamples(dtype: Dtype, length: number): Samples {
  const bytes = dtype.endsWith("16") ? 2 : 1;
  return new ARRAYS[dtype](new ArrayBuffer(length * bytes), 0, length);
}

// fl_status: a segment that ends too early is as wrong as one whose checksum fails.
const INSUFFICIENT = 1;
const CORRUPT = 2;

interface CachedTile {
  block: number;
  size: number;
  layers: number;
}

/** Decoded coefficients of all shards of a worker, least recently used first, at most `capacity` bytes. */
export class TileCache {
  private readonly entries = new Map<string, CachedTile>();
  private bytes = 0;

  constructor(
    private readonly kernels: Kernels,
    readonly capacity = 192 << 20,
  ) {}

  get(key: string): CachedTile | undefined {
    const entry = this.entries.get(key);
    if (entry) {
      this.entries.delete(key);
      this.entries.set(key, entry);
    }
    return entry;
  }

  put(key: string, entry: CachedTile): void {
    this.entries.set(key, entry);
    this.bytes += entry.size;
  }

  /** Make room, but not at the cost of `keep`: what the picture in hand needs may exceed the bound. */
  trim(keep: ReadonlySet<string>): void {
    for (const [key, entry] of this.entries) {
      if (this.bytes <= this.capacity) return;
      if (keep.has(key)) continue;
      this.drop(key, entry);
    }
  }

  /** Forget every tile whose key starts with `prefix`. */
  forget(prefix: string): void {
    for (const [key, entry] of this.entries) if (key.startsWith(prefix)) this.drop(key, entry);
  }

  private drop(key: string, entry: CachedTile): void {
    this.entries.delete(key);
    this.kernels.arena.release(entry.block, entry.size);
    this.bytes -= entry.size;
  }
}

let decoders = 0;

/**
 * Decodes one shard.
 *
 * @param name names the shard in errors.
 */
export class ShardDecoder {
  private readonly segments = new Map<number, Uint8Array>();
  private readonly id = `${decoders++}/`;
  /** Bytes of segments held. */
  bytes = 0;

  constructor(
    private readonly kernels: Kernels,
    readonly index: ShardIndex,
    private readonly cache: TileCache,
    readonly name = "shard",
  ) {
    if (index.raw.length === 0) throw new InvalidArgument(`${name}: its index was not made by parseHead`);
  }

  /** Hand in a segment's bytes (kept, not copied). */
  add(segment: number, data: Uint8Array): void {
    const expected = this.index.length(segment);
    if (data.length !== expected)
      throw new InsufficientData(`${this.name}, segment ${segment}: ${expected} bytes announced, ${data.length} left`);
    if (this.segments.has(segment)) return;
    this.segments.set(segment, data);
    this.bytes += data.length;
  }

  /** Forget a segment, for its memory or because its bytes are wrong: its tile then has the layers below it. */
  drop(segment: number): void {
    this.bytes -= this.segments.get(segment)?.length ?? 0;
    this.segments.delete(segment);
  }

  has(segment: number): boolean {
    return this.index.length(segment) === 0 || this.segments.has(segment);
  }

  /** Complete layers (all components) of a tile, from the first on. Empty segments count as received. */
  layers(level: number, tileY: number, tileX: number): number {
    const { index } = this;
    const { layers } = index.levels[level]!;
    for (let layer = 0; layer < layers; layer++)
      for (let c = 0; c < index.components; c++)
        if (!this.has(index.segment(level, layer, tileY, tileX, c))) return layer;
    return layers;
  }

  /** Bound on |error| of a region at a level, in sample units, from what is there now. */
  bound(level: number, region: Region): number {
    let sum = 0;
    for (let j = level; j < this.index.levels.length; j++) {
      const { y0, x0, y1, x1 } = this.index.tiles(j, level, region);
      const { layers, errors } = this.index.levels[j]!;
      let least = layers;
      for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) least = Math.min(least, this.layers(j, y, x));
      sum += errors[least]!;
    }
    return sum;
  }

  /**
   * The best picture of a region from the segments that are there.
   *
   * @param region (y, x, height, width) in samples of `level`; default: the whole level.
   * @param components samples per pixel in the result: the shard's own, or 4 to leave room for a fourth (RGBA textures).
   * @returns height x width x components samples, interleaved.
   * @throws InsufficientData when the coarsest level is not complete; CorruptData names the segment.
   */
  decode(level = 0, region?: Region, components = this.index.components): Samples {
    const { index, kernels } = this;
    const { arena, exports } = kernels;
    const shape = index.levels[level];
    if (!shape) throw new InvalidArgument(`${this.name}: level ${level} of ${index.levels.length}`);
    const [y, x, height, width] = region ?? [0, 0, shape.height, shape.width];
    if (y < 0 || x < 0 || height < 1 || width < 1 || y + height > shape.height || x + width > shape.width)
      throw new InvalidArgument(
        `${this.name}: region (${y}, ${x}, ${height}, ${width}) outside of level ${level}, ${shape.height} x ${shape.width}`,
      );
    if (this.layers(index.levels.length - 1, 0, 0) === 0)
      throw new InsufficientData(`${this.name}: the coarsest level has not arrived`);

    // Everything is allocated before it is filled: growing the memory detaches views, not addresses.
    const blocks: [number, number][] = [];
    const allocate = (size: number) => {
      const block = arena.allocate(size);
      blocks.push([block, size]);
      return block;
    };
    try {
      const info = allocate(index.raw.length);
      kernels.bytes(info, index.raw.length).set(index.raw);
      const values = index.values.length === 0 ? 0 : allocate(index.values.length);
      if (values) kernels.bytes(values, index.values.length).set(index.values);
      const last = index.levels[0]!;
      const tiles = last.firstTile + last.tilesX * last.tilesY;
      const pointers = allocate(tiles * index.components * 4);
      kernels.words(pointers, tiles * index.components).fill(0);
      const scratch = allocate(exports.fl_wavelet_tile_scratch(info));
      const used = new Set<string>();
      for (let j = index.levels.length - 1; j >= level; j--) {
        const l = index.levels[j]!;
        const { y0, x0, y1, x1 } = index.tiles(j, level, [y, x, height, width]);
        for (let tileY = y0; tileY < y1; tileY++)
          for (let tileX = x0; tileX < x1; tileX++) {
            const layers = this.layers(j, tileY, tileX);
            if (layers === 0) continue;
            for (let c = 0; c < index.components; c++) {
              const block = this.coefficients(info, scratch, j, tileY, tileX, c, layers, used);
              const at = c + index.components * (l.firstTile + tileY * l.tilesX + tileX);
              kernels.words(pointers + at * 4, 1)[0] = block;
            }
          }
      }
      const length = height * width * components;
      const bytesPerSample = index.dtype.endsWith("16") ? 2 : 1;
      const samples = allocate(length * bytesPerSample);
      const workspace = allocate(exports.fl_wavelet_region_workspace(info, level, width, height));
      if (components > index.components) kernels.bytes(samples, length * bytesPerSample).fill(255);
      check(
        exports.fl_wavelet_region(
          info,
          level,
          x,
          y,
          width,
          height,
          pointers,
          values,
          samples,
          1,
          width * components,
          components,
          workspace,
        ),
        () => `${this.name}: level ${level} can not be decoded`,
      );
      this.cache.trim(used);
      return new ARRAYS[index.dtype](
        exports.memory.buffer.slice(samples, samples + length * bytesPerSample),
        0,
        length,
      );
    } finally {
      for (const [block, size] of blocks) arena.release(block, size);
    }
  }

  /** Forget decoded coefficients and segments. */
  close(): void {
    this.cache.forget(this.id);
    this.segments.clear();
    this.bytes = 0;
  }

  /** Address of a tile's coefficients with its first `layers` layers. */
  private coefficients(
    info: number,
    scratch: number,
    level: number,
    tileY: number,
    tileX: number,
    component: number,
    layers: number,
    used: Set<string>,
  ): number {
    const { index, kernels } = this;
    const { arena, exports } = kernels;
    const key = `${this.id}${index.segment(level, 0, tileY, tileX, component)}`;
    used.add(key);
    let entry = this.cache.get(key);
    if (entry && entry.layers >= layers) return entry.block;
    if (!entry) {
      const size = Math.max(4, exports.fl_wavelet_tile_size(info, level, tileX, tileY) * 4);
      entry = { block: arena.allocate(size), size, layers: 0 };
      this.cache.put(key, entry);
    }
    // A layer's bytes are checked by decoding: try fewer layers to find the one at fault.
    let good = layers;
    let status = this.decodeTile(info, scratch, entry.block, level, tileY, tileX, component, good);
    const corrupt = status === INSUFFICIENT || status === CORRUPT;
    if (corrupt)
      while (good > 1 && status !== 0) {
        good--;
        status = this.decodeTile(info, scratch, entry.block, level, tileY, tileX, component, good);
      }
    if (corrupt) {
      entry.layers = 0;
      const segment = index.segment(level, status === 0 ? good : 0, tileY, tileX, component);
      throw new CorruptData(
        `${this.name}, segment ${segment} (level ${level}, layer ${status === 0 ? good : 0}, tile ${tileY},${tileX}, ` +
          `component ${component}): its ${index.length(segment)} bytes fail their checksum`,
        segment,
      );
    }
    check(status, () => `${this.name}: tile ${tileY},${tileX} of level ${level} can not be decoded`);
    entry.layers = layers;
    return entry.block;
  }

  /** Status of decoding the first `layers` layers of a tile into `coefs`. */
  private decodeTile(
    info: number,
    scratch: number,
    coefs: number,
    level: number,
    tileY: number,
    tileX: number,
    component: number,
    layers: number,
  ): number {
    const { index, kernels } = this;
    const { arena, exports } = kernels;
    const parts: Uint8Array[] = [];
    for (let layer = 0; layer < layers; layer++)
      parts.push(this.segments.get(index.segment(level, layer, tileY, tileX, component)) ?? new Uint8Array(0));
    const total = Math.max(
      1,
      parts.reduce((sum, part) => sum + part.length, 0),
    );
    const input = arena.allocate(total);
    const table = arena.allocate(layers * 8);
    const words = kernels.words(table, layers * 2);
    let at = input;
    for (const [layer, part] of parts.entries()) {
      kernels.bytes(at, part.length).set(part);
      words[layer] = at;
      words[layers + layer] = part.length;
      at += part.length;
    }
    const status = exports.fl_wavelet_tile_decode(
      info,
      component,
      level,
      tileX,
      tileY,
      table,
      table + layers * 4,
      layers,
      coefs,
      scratch,
    );
    arena.release(input, total);
    arena.release(table, layers * 8);
    return status;
  }
}
