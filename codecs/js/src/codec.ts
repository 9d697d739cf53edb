/** The codec as a program uses it: kernels, and what is shared by all that they decode. */
import { Decoder, type DecoderOptions, type Picture, type PictureOptions, TileCache } from "./decoder.ts";
import { InsufficientData, InvalidArgument } from "./errors.ts";
import type { ShardIndex } from "./index.ts";
import { type Kernels, loadKernels } from "./kernels.ts";
import { compile, type WasmSource } from "./platform.ts";
import { chooseLayers, segmentsFor, withinBudget } from "./select.ts";

/** What to decode of a shard, and how well. */
export interface DecodeOptions extends PictureOptions {
  /** Use at most this many bytes of the shard, head included: those that lower the error most. */
  maxBytes?: number;
  /**
   * In sample units, 0 by default. Without `maxBytes` a guarantee: no sample is off by more, and only the segments are
   * decoded that it takes. With `maxBytes`, a precision at which decoding may stop. null: as good as the bytes allow.
   */
  maxError?: number | null;
}

export interface CodecOptions {
  /** Decoded coefficients to keep between calls, for decoders. */
  cacheBytes?: number;
}

/** For one thread: a `DecoderPool` has one in each worker. */
export class Codec {
  private readonly cache: TileCache;

  constructor(
    /** The compiled kernels, to share with workers. */
    readonly module: WebAssembly.Module,
    private readonly kernels: Kernels,
    { cacheBytes }: CodecOptions = {},
  ) {
    this.cache = new TileCache(kernels, cacheBytes);
  }

  /**
   * The head at the start of a shard.
   *
   * @param data the shard, or any part of it from its start that holds the head, or the parts of it that are asked for.
   * @param groups of so many groups of layers only; default: all. The index is that of a shard that has no more: its
   * segments are the first ones of the shard, and at its last layer an error may remain.
   * @throws InsufficientData when `data` ends inside the head; CorruptData; UnsupportedFormat for another format version or
   * segment codec; InvalidArgument for fewer than one group.
   */
  parse(data: Uint8Array, groups?: number): ShardIndex {
    return this.kernels.parseHead(data, groups);
  }

  /**
   * Bytes of the head that begins with `data` (of its parts that tell of the first `groups` groups); 0 when that can't be
   * told yet: FIXED_BYTES are enough.
   *
   * @throws CorruptData, UnsupportedFormat when `data` begins no shard, or a shard of another version.
   */
  headSize(data: Uint8Array, groups?: number): number {
    return this.kernels.headSize(data, groups);
  }

  /** A decoder for segments that come one by one. */
  decoder(index: ShardIndex, options?: DecoderOptions): Decoder {
    return new Decoder(this.kernels, this.cache, index, options);
  }

  /**
   * A picture from a shard's bytes, or from those up to anywhere. Twin of `firstlight.codecs.decode`.
   *
   * @throws InsufficientData: `data` (or `maxBytes`) does not hold head and base, or not what `maxError` takes; CorruptData,
   * UnsupportedFormat: `data` is damaged, or is no shard of a known version; InvalidArgument: no such level or region.
   */
  decode(data: Uint8Array, options: DecodeOptions = {}): Picture {
    const { maxBytes, maxError = 0, level = 0 } = options;
    const index = this.parse(data);
    const region = index.region(level, options.region);
    const decoder = this.decoder(index);
    try {
      if (maxBytes !== undefined) {
        if (!(maxBytes >= 0)) throw new InvalidArgument(`maxBytes ${maxBytes}: expected 0 or more`);
        const wanted = withinBudget(index, level, region, maxBytes, maxError ?? 0);
        if (wanted.length === 0 && index.length(0) > 0)
          throw new InsufficientData(`maxBytes ${maxBytes}: the base level does not fit`);
        for (const [segment, size] of wanted) {
          const begin = index.offsets[segment]!;
          decoder.addPrefix(segment, data.subarray(begin, begin + size));
        }
        return decoder.decode(options);
      }
      if (maxError) {
        const wanted = segmentsFor(index, level, region, chooseLayers(index, level, region, maxError));
        decoder.feed(0, data, wanted);
      }
      if (!maxError || decoder.exactBound(level, region) > maxError) {
        // All of it; if the cheapest choice is not all here, what is here may do as well.
        decoder.feed(0, data);
        const reached = maxError === null ? 0 : decoder.exactBound(level, region);
        if (maxError !== null && reached > maxError)
          throw new InsufficientData(
            `maxError ${maxError}: the ${data.length} bytes that are there, of ${index.size}, guarantee ${reached}`,
          );
      }
      return decoder.decode(options);
    } finally {
      decoder.close();
    }
  }
}

/**
 * Load the kernels.
 *
 * @param source the bytes of kernels.wasm, a module that was compiled before, or where it is; default: beside this script.
 */
export async function loadCodec(source?: WasmSource, options?: CodecOptions): Promise<Codec> {
  const module = await compile(source);
  return new Codec(module, await loadKernels(module), options);
}
