/** kernels.wasm: instantiation, and its functions with typed arguments. Interface: codecs/kernels/firstlight.h. */
import { CorruptData, check, InsufficientData, InvalidArgument, UnsupportedFormat } from "./errors.ts";
import { type Dtype, type Level, ShardIndex } from "./index.ts";
import { Arena, Loan } from "./memory.ts";

interface Exports extends WebAssembly.Exports {
  memory: WebAssembly.Memory;
  __heap_base: WebAssembly.Global;
  fl_info_size(): number;
  fl_head_parse(data: number, size: number, groups: number, info: number): number;
  fl_head_index(data: number, size: number, info: number, offsets: number): number;
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
const MAX_LEVELS = 14;
const MAX_LAYERS = 24;
const MAX_GROUPS = 5;
const SEGMENTS = 12;
const VALUES = 15;
const GROUPS_AT = 17;
const PARTS_AT = GROUPS_AT + 1 + MAX_GROUPS;
const LEVEL_AT = PARTS_AT + 1 + MAX_GROUPS;
const FIRST_SEGMENT_AT = 7;
const ERRORS_AT = FIRST_SEGMENT_AT + MAX_GROUPS;
const MSE_AT = ERRORS_AT + MAX_LAYERS + 1;
const MEASURED_AT = MSE_AT + MAX_LAYERS + 1;
const LEVEL_WORDS = MEASURED_AT + MAX_LAYERS + 1;
const NOT_MEASURED = 0xffffffff;
const INFO_WORDS = LEVEL_AT + (MAX_LEVELS + 1) * LEVEL_WORDS;
/** So many bytes of a shard tell how long its head is (SPEC 2.1). */
export const FIXED_BYTES = 80;
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

  /**
   * Bytes of the head that begins with `data`, or of its parts that tell of the first `groups` groups of layers; 0 when that
   * can't be told yet (FIXED_BYTES are enough).
   *
   * @throws CorruptData, UnsupportedFormat, InvalidArgument: as `parseHead`.
   */
  headSize(data: Uint8Array, groups = MAX_GROUPS): number {
    const loan = new Loan(this.arena);
    try {
      const fixed = data.subarray(0, FIXED_BYTES);
      return neededBytes(this.readHead(loan, fixed, groups).words, groups);
    } finally {
      loan.end();
    }
  }

  /**
   * Parse the head at the start of a shard.
   *
   * @param groups of so many groups of layers only, for which only their parts of the head need be there. The index is that
   * of a shard that has no more: its segments are the first ones of the shard, and at its last layer an error may remain.
   * @throws InsufficientData, with the bytes that are needed in its message, when `shard` is shorter than that; CorruptData;
   * UnsupportedFormat for another format version or segment codec; InvalidArgument for fewer than one group.
   */
  parseHead(shard: Uint8Array, groups = MAX_GROUPS): ShardIndex {
    const size = this.headSize(shard, groups);
    if (size === 0 || size > shard.length)
      throw new InsufficientData(
        `head of the shard: ${size || `up to ${FIXED_BYTES}`} bytes expected, ${shard.length} found`,
      );
    const loan = new Loan(this.arena);
    try {
      const head = this.readHead(loan, shard.subarray(0, size), groups);
      const { words } = head;
      const offsets = loan.allocate((words[SEGMENTS]! + 1) * 4);
      const values = loan.allocate(words[VALUES]! * 2);
      const { exports } = this;
      check(
        exports.fl_head_index(head.data, size, head.info, offsets) ||
          exports.fl_head_values(head.data, size, head.info, values),
        () => "head of the shard: its index or its value table is not readable",
      );
      return makeIndex(
        this.words(head.info, INFO_WORDS).slice(),
        this.words(offsets, words[SEGMENTS]! + 1).slice(),
        this.bytes(values, words[VALUES]! * 2).slice(),
      );
    } finally {
      loan.end();
    }
  }

  /** Bring the start of a shard, and what is known of its head by that, into memory. */
  private readHead(
    loan: Loan,
    start: Uint8Array,
    groups: number,
  ): { data: number; info: number; words: Uint32Array<ArrayBuffer> } {
    if (!(groups >= 1)) throw new InvalidArgument(`groups ${groups}: expected 1 or more`);
    const data = loan.allocate(start.length);
    const info = loan.allocate(INFO_WORDS * 4);
    this.bytes(data, start.length).set(start);
    const status = this.exports.fl_head_parse(data, start.length, groups, info);
    if (status === UNSUPPORTED)
      throw new UnsupportedFormat(
        `head of the shard: format version ${start[4]}, codec ${start[5]}: not readable here`,
      );
    if (status !== OK && status !== INSUFFICIENT)
      throw new CorruptData("head of the shard: not a firstlight shard, or a checksum is wrong");
    return { data, info, words: this.words(info, INFO_WORDS).slice() };
  }
}

/** Where the part of the head ends that tells of the last of the first `groups` groups; 0: not known yet. */
function neededBytes(info: Uint32Array, groups: number): number {
  const known = Math.min(groups, info[PARTS_AT]!);
  return known === 0 ? 0 : info[PARTS_AT + known]!;
}

/** What a code of the head's table stands for (SPEC 2.4). */
function meanSquaredError(code: number): number {
  return (code < 8 ? code : (8 + (code & 7)) * 2 ** ((code >> 3) - 1)) / 16;
}

function makeLevel(words: Uint32Array, groups: number): Level {
  const layers = words[5]!;
  return {
    width: words[0]!,
    height: words[1]!,
    tile: 2 ** words[2]!,
    tilesX: words[3]!,
    tilesY: words[4]!,
    layers,
    firstTile: words[6]!,
    firstSegments: Array.from(words.subarray(FIRST_SEGMENT_AT, FIRST_SEGMENT_AT + groups)),
    errors: Array.from(words.subarray(ERRORS_AT, ERRORS_AT + layers + 1)),
    mse: Array.from(words.subarray(MSE_AT, MSE_AT + layers + 1), meanSquaredError),
    measured: new Map(
      Array.from(words.subarray(MEASURED_AT, MEASURED_AT + layers + 1), (error, n): [number, number] => [n, error]).filter(
        ([n, error]) => n > 0 && error !== NOT_MEASURED,
      ),
    ),
  };
}

function makeIndex(info: Uint32Array<ArrayBuffer>, offsets: Uint32Array, values: Uint8Array): ShardIndex {
  const groups = info[GROUPS_AT]!;
  return new ShardIndex({
    version: info[0]!,
    codec: CODECS[info[1]!] ?? `codec ${info[1]}`,
    headSize: info[2]!,
    width: info[3]!,
    height: info[4]!,
    components: info[5]!,
    dtype: `${info[7] ? "" : "u"}int${info[6]! <= 8 ? 8 : 16}` as Dtype,
    colour: COLOURS[info[8]!] ?? `colour ${info[8]}`,
    transform: TRANSFORMS[info[14]!] ?? `transform ${info[14]}`,
    margin: info[10]!,
    groups: Array.from(info.subarray(GROUPS_AT + 1, GROUPS_AT + 1 + groups)),
    parts: Array.from(info.subarray(PARTS_AT + 1, PARTS_AT + 1 + groups)),
    levels: Array.from({ length: info[9]! + 1 }, (_, k) =>
      makeLevel(info.subarray(LEVEL_AT + k * LEVEL_WORDS, LEVEL_AT + (k + 1) * LEVEL_WORDS), groups),
    ),
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
