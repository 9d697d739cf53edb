/** What a pool and its workers say to each other. Buffers are handed over, not copied. */
import type { DecodeOptions } from "./codec.ts";
import type { Picture, PictureOptions } from "./decoder.ts";
import type { PlainError } from "./errors.ts";
import type { ShardIndexFields } from "./index.ts";

/** A picture to make; of those that wait the one with the lowest priority is next. */
interface Job {
  job: number;
  priority: number;
}

export type Work =
  /** From the bytes of a shard. */
  | (Job & { type: "whole"; data: Uint8Array; options: DecodeOptions })
  /** From what the decoder of an open shard holds. */
  | (Job & { type: "picture"; shard: number; options: PictureOptions });

/** First of all. What comes before the worker is ready waits. */
export interface Start {
  type: "start";
  module: WebAssembly.Module;
  cacheBytes: number | undefined;
}

export type ToWorker =
  | Work
  | { type: "cancel"; job: number }
  | { type: "open"; shard: number; index: ShardIndexFields; name: string | undefined }
  /** Bytes of a shard from `offset` on, which hold `segments` whole (default: all that they do). */
  | { type: "feed"; shard: number; offset: number; data: Uint8Array; segments: readonly number[] | undefined }
  | { type: "drop"; shard: number; segments: readonly number[] }
  | { type: "close"; shard: number };

export type FromWorker =
  | { type: "done"; job: number; picture: Picture }
  /** `job` is absent when the worker as a whole can not work. */
  | { type: "failed"; job?: number; error: PlainError }
  /** A damaged segment of an open shard, which its decoder has dropped. */
  | { type: "damaged"; shard: number; error: PlainError };
