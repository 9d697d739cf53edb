/**
 * Decoding in other threads: Web Workers in a page, worker_threads in Node.
 *
 * A picture from a shard's bytes is made by the worker that has least to do. A shard that is opened for segments that come one
 * by one lives in one worker from `open` to `close`, so that its segments travel once.
 */
import type { DecodeOptions } from "./codec.ts";
import type { DecoderOptions, Picture, PictureOptions } from "./decoder.ts";
import { CodecError, type CorruptData, fromPlain } from "./errors.ts";
import type { ShardIndex } from "./index.ts";
import type { FromWorker, Start, ToWorker, Work } from "./messages.ts";
import { compile, cores, hear, startWorker, type WasmSource, type WorkerLike } from "./platform.ts";

export interface PoolOptions {
  /** Default: one for each core. */
  workers?: number | undefined;
  /** The kernels; default: kernels.wasm beside this script. */
  wasm?: WasmSource | undefined;
  /** Decoded coefficients to keep for open shards, over all workers. */
  cacheBytes?: number | undefined;
  /** Default: starts worker.js beside this script. */
  createWorker?: (() => WorkerLike) | undefined;
  /** A worker that does not run. What it should have decoded is rejected too. */
  onError?: ((error: Error) => void) | undefined;
}

export interface JobOptions {
  /** Of what waits in a worker the lowest is next; default 0. */
  priority?: number | undefined;
  /** The picture is not wanted any more: rejects with the signal's reason, and is not made unless it is begun. */
  signal?: AbortSignal | undefined;
}

interface Home {
  worker: WorkerLike;
  pending: Map<number, { resolve(picture: Picture): void; reject(error: unknown): void; shard: number | undefined }>;
  shards: number;
  /** Why it does not run. */
  failure: Error | undefined;
}

type Without<T, Key extends string> = T extends unknown ? Omit<T, Key> : never;

export class DecoderPool {
  private readonly homes: Home[] = [];
  private readonly shards = new Map<number, RemoteDecoder>();
  private readonly onError: PoolOptions["onError"];
  private next = 0;

  constructor({ workers = cores(), wasm, cacheBytes, createWorker = startWorker, onError }: PoolOptions = {}) {
    this.onError = onError;
    for (let i = 0; i < workers; i++) {
      const home: Home = { worker: createWorker(), pending: new Map(), shards: 0, failure: undefined };
      hear(
        home.worker,
        (message) => this.receive(home, message as FromWorker),
        (reason) => this.fail(home, new CodecError(`decode worker: ${reason}`)),
      );
      this.homes.push(home);
    }
    const share = cacheBytes === undefined ? undefined : Math.floor(cacheBytes / workers);
    // Until then messages wait in the workers.
    compile(wasm).then(
      (module) => {
        for (const { worker } of this.homes) post(worker, { type: "start", module, cacheBytes: share });
      },
      (error) => {
        for (const home of this.homes) this.fail(home, error);
      },
    );
  }

  /** Pictures that are waited for. */
  get busy(): number {
    return this.homes.reduce((sum, { pending }) => sum + pending.size, 0);
  }

  /**
   * A picture from a shard's bytes, as `Codec.decode` makes it.
   *
   * @param data copied, unless `transfer` hands its whole buffer over, which is then gone here; memory that is shared already
   * (SharedArrayBuffer) stays where it is.
   */
  decode(data: Uint8Array, options: DecodeOptions & JobOptions & { transfer?: boolean } = {}): Promise<Picture> {
    const { signal, priority, transfer, ...decode } = options;
    const shared = typeof SharedArrayBuffer !== "undefined" && data.buffer instanceof SharedArrayBuffer;
    const own = shared || transfer ? data : new Uint8Array(data);
    return this.run(
      least(this.homes, ({ pending }) => pending.size),
      { type: "whole", data: own, options: decode },
      { signal, priority },
      shared ? [] : [own.buffer as ArrayBuffer],
    );
  }

  /** A decoder, in one of the workers, for segments that come one by one. */
  open(index: ShardIndex, { name, onDamage }: DecoderOptions = {}): RemoteDecoder {
    const shard = this.next++;
    const home = least(this.homes, ({ shards }) => shards);
    home.shards++;
    post(home.worker, { type: "open", shard, name, index: { ...index } });
    const decoder = new RemoteDecoder(index, onDamage, {
      post: (message, transfer) => post(home.worker, { ...message, shard } as ToWorker, transfer),
      decode: (options, job) => this.run(home, { type: "picture", shard, options }, job),
      close: () => {
        home.shards--;
        this.shards.delete(shard);
        for (const [job, pending] of home.pending) if (pending.shard === shard) this.cancel(home, job, closed());
        post(home.worker, { type: "close", shard });
      },
    });
    this.shards.set(shard, decoder);
    return decoder;
  }

  /** End the workers. What is waited for is rejected with an AbortError. */
  close(): void {
    for (const home of this.homes) {
      for (const { reject } of home.pending.values()) reject(closed());
      home.pending.clear();
      home.failure ??= closed();
      home.worker.terminate();
    }
    this.shards.clear();
  }

  private run(
    home: Home,
    work: Without<Work, "job" | "priority">,
    { signal, priority = 0 }: JobOptions,
    transfer: ArrayBuffer[] = [],
  ): Promise<Picture> {
    const job = this.next++;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (home.failure) return reject(home.failure);
      const abort = () => this.cancel(home, job, signal?.reason);
      const settled =
        <T>(settle: (value: T) => void) =>
        (value: T) => {
          signal?.removeEventListener("abort", abort);
          settle(value);
        };
      signal?.addEventListener("abort", abort);
      const shard = work.type === "picture" ? work.shard : undefined;
      home.pending.set(job, { resolve: settled(resolve), reject: settled(reject), shard });
      post(home.worker, { ...work, job, priority }, transfer);
    });
  }

  private cancel(home: Home, job: number, reason: unknown): void {
    const pending = home.pending.get(job);
    if (!pending) return;
    home.pending.delete(job);
    post(home.worker, { type: "cancel", job });
    pending.reject(reason);
  }

  private receive(home: Home, message: FromWorker): void {
    if (message.type === "damaged") {
      this.shards.get(message.shard)?.onDamage?.(fromPlain(message.error) as CorruptData);
      return;
    }
    if (message.type === "failed" && message.job === undefined) {
      this.fail(home, fromPlain(message.error));
      return;
    }
    const job = message.job!;
    const pending = home.pending.get(job);
    home.pending.delete(job);
    if (message.type === "done") pending?.resolve(message.picture);
    else pending?.reject(fromPlain(message.error));
  }

  private fail(home: Home, error: Error): void {
    if (home.failure) return;
    home.failure = error;
    for (const { reject } of home.pending.values()) reject(error);
    home.pending.clear();
    this.onError?.(error);
  }
}

/** A decoder that lives in a worker. Made by `DecoderPool.open`. */
export class RemoteDecoder {
  constructor(
    readonly index: ShardIndex,
    readonly onDamage: DecoderOptions["onDamage"],
    private readonly home: {
      post(message: Without<Extract<ToWorker, { type: "feed" | "drop" }>, "shard">, transfer?: ArrayBuffer[]): void;
      decode(options: PictureOptions, job: JobOptions): Promise<Picture>;
      close(): void;
    },
  ) {}

  /**
   * Hand over bytes of the shard from `offset` on. The whole buffer under `data` is gone afterwards.
   *
   * @param segments which of the segments that they hold whole; default: all.
   */
  feed(offset: number, data: Uint8Array<ArrayBuffer>, segments?: readonly number[]): void {
    this.home.post({ type: "feed", offset, data, segments }, [data.buffer]);
  }

  /** Forget segments. */
  drop(segments: readonly number[]): void {
    this.home.post({ type: "drop", segments });
  }

  /** A picture from what was fed before this call (or a little more), as `Decoder.decode` makes it. */
  decode({ signal, priority, ...options }: PictureOptions & JobOptions = {}): Promise<Picture> {
    return this.home.decode(options, { signal, priority });
  }

  /** Forget the shard. What is waited for is rejected with an AbortError. */
  close(): void {
    this.home.close();
  }
}

function post(worker: WorkerLike, message: Start | ToWorker, transfer: ArrayBuffer[] = []): void {
  worker.postMessage(message, transfer);
}

/** The worker with the least load, of those that run if there are any. */
function least(homes: readonly Home[], load: (home: Home) => number): Home {
  const rank = (home: Home) => (home.failure ? Number.POSITIVE_INFINITY : load(home));
  return homes.reduce((best, home) => (rank(home) < rank(best) ? home : best));
}

function closed(): DOMException {
  return new DOMException("the decoder is closed", "AbortError");
}
