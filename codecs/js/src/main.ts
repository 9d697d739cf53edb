/** Public names of the JavaScript codec. */
export { Codec, type CodecOptions, type DecodeOptions, loadCodec } from "./codec.ts";
export {
  type Decoder,
  type DecoderOptions,
  makeSamples,
  type Picture,
  type PictureOptions,
  type Samples,
} from "./decoder.ts";
export { CodecError, CorruptData, InsufficientData, InvalidArgument, UnsupportedFormat } from "./errors.ts";
export {
  type Dtype,
  type LayerRun,
  type Level,
  type Region,
  type SegmentId,
  ShardIndex,
  type ShardIndexFields,
  type TileRect,
} from "./index.ts";
export { FIXED_BYTES } from "./kernels.ts";
export type { WasmSource, WorkerLike } from "./platform.ts";
export { DecoderPool, type JobOptions, type PoolOptions, type RemoteDecoder } from "./pool.ts";
export {
  type ByteRange,
  bound,
  chooseForMse,
  chooseLayers,
  exactBound,
  mergeRanges,
  mse,
  type SegmentPart,
  segmentsFor,
  withinBudget,
} from "./select.ts";
