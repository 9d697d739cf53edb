/** What the page and a decode worker say to each other. Buffers are transferred, not copied. */
import type { Dtype, Region, ShardIndexFields } from "@firstlight/codecs";

export type ToWorker =
  | { type: "start"; kernels: WebAssembly.Module; cacheBytes: number }
  | { type: "open"; shard: number; name: string; index: ShardIndexFields }
  /** Bytes of a shard from `offset` on, which hold `segments` whole. */
  | { type: "add"; shard: number; offset: number; data: ArrayBuffer; segments: readonly number[] }
  | {
      type: "decode";
      job: number;
      shard: number;
      level: number;
      region: Region;
      /** Samples per pixel to leave room for (4 for RGBA textures). */
      components: number;
      /** Lower is sooner. */
      priority: number;
    }
  | { type: "cancel"; job: number }
  /** These segments may be forgotten. */
  | { type: "drop"; shard: number; segments: readonly number[] }
  | { type: "close"; shard: number };

export type FromWorker =
  | { type: "decoded"; job: number; data: ArrayBuffer; dtype: Dtype }
  /** `job` is absent when the failure is not a picture's; `segment` names wrong bytes, which the worker has dropped. */
  | { type: "failed"; job?: number; shard: number; kind: string; message: string; segment?: number };
