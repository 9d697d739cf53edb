/**
 * The decode workers. A shard's decoder lives in one of them from `open` to `close`, so its segments travel once.
 */
import type { Dtype, Region, Samples, ShardIndex } from "@firstlight/codecs";
import { ViewerError } from "./errors.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

export interface DecodeRequest {
  level: number;
  region: Region;
  components: number;
  priority: number;
}

interface Pending {
  worker: number;
  resolve(samples: Samples): void;
  reject(error: Error): void;
}

export interface PoolOptions {
  workers: number;
  createWorker(): Worker;
  kernels: WebAssembly.Module;
  /** Bytes of decoded coefficients kept, over all workers. */
  cacheBytes: number;
  /** Wrong bytes in a shard (named), or a worker that does not run. */
  onError(error: ViewerError, shard: number, segment?: number): void;
}

const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, int8: Int8Array, int16: Int16Array };

export class DecodePool {
  private readonly workers: Worker[] = [];
  private readonly homes = new Map<number, number>();
  private readonly load: number[] = [];
  private readonly pending = new Map<number, Pending>();
  private nextShard = 0;
  private nextJob = 0;

  constructor(private readonly options: PoolOptions) {
    for (let i = 0; i < options.workers; i++) {
      const worker = options.createWorker();
      worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(data);
      worker.onerror = (event) => {
        const error = new ViewerError(
          "unsupported",
          `decode worker: ${event.message || "its script can not be loaded"}`,
        );
        options.onError(error, -1);
        for (const [job, pending] of this.pending)
          if (pending.worker === i) {
            this.pending.delete(job);
            pending.reject(error);
          }
      };
      worker.postMessage({
        type: "start",
        kernels: options.kernels,
        cacheBytes: Math.floor(options.cacheBytes / options.workers),
      } satisfies ToWorker);
      this.workers.push(worker);
      this.load.push(0);
    }
  }

  /** Decode jobs that are out. */
  get busy(): number {
    return this.pending.size;
  }

  /** Give a shard a home; returns its number. */
  open(name: string, index: ShardIndex): number {
    const shard = this.nextShard++;
    let home = 0;
    for (let i = 1; i < this.load.length; i++) if (this.load[i]! < this.load[home]!) home = i;
    this.load[home]!++;
    this.homes.set(shard, home);
    this.send(shard, { type: "open", shard, name, index: { ...index } });
    return shard;
  }

  /** Hand over bytes of a shard from `offset` on, which hold `segments` whole. `data` is gone afterwards. */
  add(shard: number, offset: number, data: ArrayBuffer, segments: readonly number[]): void {
    this.send(shard, { type: "add", shard, offset, data, segments }, [data]);
  }

  /** A picture from what was added before this call (or a little more). `cancel` makes it reject if it has not begun. */
  decode(shard: number, request: DecodeRequest): { picture: Promise<Samples>; cancel(): void } {
    const job = this.nextJob++;
    const worker = this.homes.get(shard);
    const picture = new Promise<Samples>((resolve, reject) => {
      if (worker === undefined) {
        reject(closed());
        return;
      }
      this.pending.set(job, { worker, resolve, reject });
      this.send(shard, { type: "decode", job, shard, ...request });
    });
    const cancel = () => {
      const pending = this.pending.get(job);
      if (!pending) return;
      this.pending.delete(job);
      this.send(shard, { type: "cancel", job });
      pending.reject(new DOMException("picture not wanted any more", "AbortError"));
    };
    return { picture, cancel };
  }

  /** Forget segments of a shard. */
  drop(shard: number, segments: readonly number[]): void {
    this.send(shard, { type: "drop", shard, segments });
  }

  close(shard: number): void {
    const home = this.homes.get(shard);
    if (home === undefined) return;
    this.send(shard, { type: "close", shard });
    this.homes.delete(shard);
    this.load[home]!--;
  }

  destroy(): void {
    for (const worker of this.workers) worker.terminate();
    for (const pending of this.pending.values()) pending.reject(new DOMException("viewer closed", "AbortError"));
    this.pending.clear();
    this.homes.clear();
  }

  private send(shard: number, message: ToWorker, transfer: Transferable[] = []): void {
    const home = this.homes.get(shard);
    if (home !== undefined) this.workers[home]!.postMessage(message, transfer);
  }

  private receive(message: FromWorker): void {
    const pending = message.job === undefined ? undefined : this.pending.get(message.job);
    if (message.job !== undefined) this.pending.delete(message.job);
    if (message.type === "decoded") {
      pending?.resolve(new ARRAYS[message.dtype as Dtype](message.data));
      return;
    }
    if (message.kind === "closed") {
      pending?.reject(closed());
      return;
    }
    const kind = message.kind === "CorruptData" ? "corrupt" : "unsupported";
    const error = new ViewerError(kind, message.message);
    if (pending) pending.reject(error);
    else this.options.onError(error, message.shard, message.segment);
  }
}

/** A shard was closed while its picture was waited for: nobody wants that any more. */
function closed(): DOMException {
  return new DOMException("the shard is closed", "AbortError");
}
