/** kernels.wasm: instantiation, and its functions with typed arguments. Interface: codecs/kernels/firstlight.h. */
import { CorruptData, check, InsufficientData, UnsupportedFormat } from "./errors.ts";
import { type Dtype, type Level, ShardIndex } from "./index.ts";
import { Arena } from "./memory.ts";

interface Exports extends WebAssembly.Exports {
  memory: WebAssembly.Memory;
  __heap_base: WebAssembly.Global;
  fl_info_size(): number;
  fl_head_parse(data: number, size: number, info: number): number;
  fl_head_offsets(data: number, size: number, info: number, offsets: number): number;
  fl_head_values(data: number, size: number, info: number, values: number): number;
  fl_wavelet_tile_size(info: number, level: number, tileX: number, tileY: number): number;
  fl_wavelet_decode_scratch(info: number): number;
  fl_wavelet_tile_decode(
    info: number,
    level: number,
    tileX: number,
    tileY: number,
    layerData: number,
    layerSize: number,
    layers: number,
    partial: number,
    coefs: number,
    wide: number,
    scratch: number,
  ): number;
  fl_wavelet_region_workspace(info: number, level: number, width: number, height: number): number;
  fl_wavelet_region(
    info: number,
    level: number,
    x: number,
    y: number,
    width: number,
    height: number,
    tiles: number,
    wide: number,
    trimmed: number,
    values: number,
    samples: number,
    strideC: number,
    strideY: number,
    strideX: number,
    workspace: number,
  ): number;
}

// fl_info as an array of uint32 (FL_MAX_* of firstlight.h); `loadKernels` checks its size against the build's.
const MAX_LEVELS = 12;
const MAX_LAYERS = 24;
const MAX_GROUPS = 4;
const GROUPS_AT = 17;
const LEVEL_AT = GROUPS_AT + 1 + MAX_GROUPS;
const LEVEL_WORDS = 8 + 2 * (MAX_LAYERS + 1);
const INFO_WORDS = LEVEL_AT + (MAX_LEVELS + 1) * LEVEL_WORDS;
// Of a head (SPEC 2.1): where its size is, and no less than the fixed part takes.
const SIZE_AT = 8;
const LEAST_HEAD = 64;
const CODECS = ["wavelet"];
const COLOURS = ["none", "rct", "ycocg-r"];
const TRANSFORMS = ["5/3", "9/7-m", "s-haar"];
const OK = 0;
const INSUFFICIENT = 1;
const UNSUPPORTED = 4;

/** One instance of the kernels with its own memory. Not shared between threads: one per worker. */
export class Kernels {
  readonly arena: Arena;

  constructor(readonly exports: Exports) {
    this.arena = new Arena(exports.memory, Number(exports.__heap_base.value));
  }

  /** The memory as bytes; valid until the next allocation. */
  bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.exports.memory.buffer, at, length);
  }

  /** The memory as 32-bit words; valid until the next allocation. */
  words(at: number, length: number): Uint32Array {
    return new Uint32Array(this.exports.memory.buffer, at, length);
  }

  /** The value table of a head that is in memory: 16 bits each, little-endian. */
  private parseValues(input: number, length: number, info: number): Uint8Array {
    const size = this.words(info, INFO_WORDS)[15]! * 2;
    if (size === 0) return new Uint8Array(0);
    const at = this.arena.allocate(size);
    try {
      check(this.exports.fl_head_values(input, length, info, at), () => "head of the shard: its value table");
      return this.bytes(at, size).slice();
    } finally {
      this.arena.release(at, size);
    }
  }

  /**
   * Parse the head at the start of a shard.
   *
   * @throws InsufficientData, with `needed` bytes in its message, when `data` is shorter than the head; CorruptData;
   * UnsupportedFormat for another format version or segment codec.
   */
  parseHead(shard: Uint8Array): ShardIndex {
    const data = headOf(shard);
    const infoBytes = INFO_WORDS * 4;
    const info = this.arena.allocate(infoBytes);
    const input = this.arena.allocate(Math.max(1, data.length));
    let offsetsAt = 0;
    let offsetsBytes = 0;
    try {
      this.bytes(input, data.length).set(data);
      const status = this.exports.fl_head_parse(input, data.length, info);
      if (status === INSUFFICIENT) {
        const needed = this.words(info, INFO_WORDS)[2]!;
        throw new InsufficientData(
          `head of the shard: ${needed || "at least 12"} bytes expected, ${data.length} found`,
        );
      }
      if (status === UNSUPPORTED)
        throw new UnsupportedFormat(
          `head of the shard: format version ${data[4]}, codec ${data[5]}: not readable here`,
        );
      if (status !== OK) throw new CorruptData("head of the shard: not a firstlight shard, or its checksum is wrong");
      const segments = this.words(info, INFO_WORDS)[12]!;
      offsetsBytes = (segments + 1) * 4;
      offsetsAt = this.arena.allocate(offsetsBytes);
      check(
        this.exports.fl_head_offsets(input, data.length, info, offsetsAt),
        () => `head of the shard: the lengths of its ${segments} segments are not readable`,
      );
      return makeIndex(
        this.words(info, INFO_WORDS).slice(),
        this.words(offsetsAt, segments + 1).slice(),
        this.parseValues(input, data.length, info),
      );
    } finally {
      this.arena.release(info, infoBytes);
      this.arena.release(input, Math.max(1, data.length));
      if (offsetsAt) this.arena.release(offsetsAt, offsetsBytes);
    }
  }
}

/** The bytes that can be a shard's head, so that not all of the shard is copied. */
function headOf(shard: Uint8Array): Uint8Array {
  if (shard.length < SIZE_AT + 4) return shard;
  const size = new DataView(shard.buffer, shard.byteOffset).getUint32(SIZE_AT, true);
  return shard.subarray(0, Math.max(size, LEAST_HEAD));
}

/** What a code of the head's table stands for (SPEC 2.4). */
function meanSquaredError(code: number): number {
  return (code < 8 ? code : (8 + (code & 7)) * 2 ** ((code >> 3) - 1)) / 16;
}

function makeIndex(info: Uint32Array, offsets: Uint32Array, values: Uint8Array): ShardIndex {
  const levels: Level[] = [];
  for (let k = 0; k <= info[9]!; k++) {
    const [width, height, tileLog2, tilesX, tilesY, layers, firstTile, firstSegment, ...tables] = info.subarray(
      LEVEL_AT + k * LEVEL_WORDS,
      LEVEL_AT + (k + 1) * LEVEL_WORDS,
    ) as unknown as [number, number, number, number, number, number, number, number, ...number[]];
    levels.push({
      width,
      height,
      tile: 2 ** tileLog2,
      tilesX,
      tilesY,
      layers,
      firstTile,
      firstSegment,
      errors: tables.slice(0, layers + 1),
      mse: tables.slice(MAX_LAYERS + 1, MAX_LAYERS + 2 + layers).map(meanSquaredError),
    });
  }
  const dtype = `${info[7] ? "" : "u"}int${info[6]! <= 8 ? 8 : 16}` as Dtype;
  return new ShardIndex({
    version: info[0]!,
    codec: CODECS[info[1]!] ?? `codec ${info[1]}`,
    headSize: info[2]!,
    width: info[3]!,
    height: info[4]!,
    components: info[5]!,
    dtype,
    colour: COLOURS[info[8]!] ?? `colour ${info[8]}`,
    transform: TRANSFORMS[info[14]!] ?? `transform ${info[14]}`,
    margin: info[10]!,
    groups: Array.from(info.subarray(GROUPS_AT + 1, GROUPS_AT + 1 + info[GROUPS_AT]!)),
    levels,
    offsets,
    raw: new Uint8Array(info.buffer),
    values,
  });
}

/** Instantiate kernels.wasm. */
export async function loadKernels(module: WebAssembly.Module): Promise<Kernels> {
  const instance = await WebAssembly.instantiate(module, {});
  const exports = instance.exports as Exports;
  const size = exports.fl_info_size();
  if (size !== INFO_WORDS * 4)
    throw new UnsupportedFormat(`kernels.wasm: fl_info of ${INFO_WORDS * 4} bytes expected, ${size} found`);
  return new Kernels(exports);
}
