/** Public names of the JavaScript codecs. */
export { makeSamples, type Samples, ShardDecoder, TileCache } from "./decoder.ts";
export { CodecError, CorruptData, InsufficientData, InvalidArgument, UnsupportedFormat } from "./errors.ts";
export {
  type Dtype,
  type Level,
  type Region,
  type SegmentId,
  ShardIndex,
  type ShardIndexFields,
  type TileRect,
} from "./index.ts";
export { type Kernels, loadKernels } from "./kernels.ts";
export { type ByteRange, bound, chooseLayers, mergeRanges, segmentsFor, withinBudget } from "./select.ts";
