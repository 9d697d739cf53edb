/**
 * Runs a session: fetches what it asks for, hands segments to the decode workers, keeps track of what they hold.
 *
 * Owns requests in flight and the shards' decoders. What is fetched and in which order is the session's; what is
 * decoded and drawn is the core's.
 */
import type { Kernels, Region, Samples, ShardIndex } from "@firstlight/codecs";
import type { ImageLayout } from "../plan/layout.ts";
import type { Request, View } from "../plan/plan.ts";
import { type Event, Session } from "../plan/session.ts";
import { asError, isAbort, ViewerError } from "./errors.ts";
import type { Fetcher } from "./fetch.ts";
import { Flow } from "./flow.ts";
import { DecodePool, type PoolOptions } from "./pool.ts";
import { ShardProgress } from "./progress.ts";

/** A shard that has a head. */
export interface LoadedShard {
  readonly key: string;
  readonly index: ShardIndex;
  readonly progress: ShardProgress;
  /** Its number in the decode pool. */
  readonly decoder: number;
}

export interface LoaderOptions extends Omit<PoolOptions, "onError" | "kernels"> {
  layout: ImageLayout;
  /** URL of an object of the image, from its key. */
  url(key: string): string;
  fetcher: Fetcher;
  kernels: Kernels;
  module: WebAssembly.Module;
  /** Bytes of segments out of view to keep. */
  segmentBytes: number;
  /** Requests at a time: browsers open six connections to a host. */
  concurrency: number;
  /** Something has arrived, or is gone: look at the pictures again. */
  onChange(): void;
  /** A shard's pictures are not valid any more: its object was replaced. */
  onRestart(key: string): void;
  onError(error: ViewerError): void;
}

export class Loader {
  readonly session: Session;
  /** Segments received. */
  segments = 0;

  private readonly shards = new Map<string, LoadedShard>();
  private readonly keys = new Map<number, string>();
  private readonly flights = new Map<Request, AbortController>();
  private readonly flow = new Flow<Request>();
  private readonly pool: DecodePool;
  private readonly options: LoaderOptions;
  private closed = false;

  constructor(options: LoaderOptions) {
    this.options = options;
    this.session = new Session(options.layout, {
      cacheBytes: options.segmentBytes,
      parse: (data) => parseHead(options.kernels, data),
    });
    this.pool = new DecodePool({
      workers: options.workers,
      createWorker: options.createWorker,
      cacheBytes: options.cacheBytes,
      kernels: options.module,
      onError: (error, shard, segment) => this.onDamage(error, shard, segment),
    });
  }

  /** Requests on their way. */
  get pending(): number {
    return this.flights.size;
  }

  get decoding(): number {
    return this.pool.busy;
  }

  /** Look at a view; what is on its way and not needed for it is aborted. */
  look(view: View, ahead: readonly View[]): void {
    for (const request of this.session.look(view, ahead)) this.abort(request);
    this.pump();
  }

  shard(key: string): LoadedShard | undefined {
    return this.shards.get(key);
  }

  /** The shard does not exist: its samples are the fill value. */
  isAbsent(key: string): boolean {
    return this.session.isAbsent(key);
  }

  decode(
    shard: LoadedShard,
    request: { level: number; region: Region; components: number; priority: number },
  ): { picture: Promise<Samples>; cancel(): void } {
    return this.pool.decode(shard.decoder, request);
  }

  /** Try again what was given up. */
  retry(): void {
    this.session.retry();
    this.pump();
  }

  destroy(): void {
    this.closed = true;
    for (const controller of this.flights.values()) controller.abort();
    this.flights.clear();
    this.pool.destroy();
  }

  private pump(): void {
    while (!this.closed && this.flights.size < this.options.concurrency && this.flow.open) {
      const [request] = this.session.next(1);
      if (!request) return;
      void this.fly(request);
    }
  }

  private abort(request: Request): void {
    this.flights.get(request)?.abort();
    this.flights.delete(request);
    this.flow.end(request);
  }

  private async fly(request: Request): Promise<void> {
    const { fetcher, url } = this.options;
    const controller = new AbortController();
    this.flights.set(request, controller);
    this.flow.start(request, request.length);
    let events: readonly Event[] = [];
    try {
      const answer = await fetcher.range(url(request.key), request.offset, request.length, {
        signal: controller.signal,
        short: request.segments.length === 0,
        onPart: (arrived, etag) => {
          this.take(request, arrived, etag);
          this.flow.progress(request, arrived.byteLength);
          this.pump();
        },
      });
      if (this.flights.get(request) !== controller) return;
      if (answer) this.flow.progress(request, answer.data.byteLength);
      events = answer
        ? this.session.receive(request, answer.data, answer.etag || undefined)
        : this.session.absent(request);
    } catch (error) {
      if (this.closed || this.flights.get(request) !== controller) return;
      if (!isAbort(error)) this.options.onError(error instanceof ViewerError ? error : unknown(error));
      events = this.session.failed(request);
    }
    this.flights.delete(request);
    this.flow.end(request);
    for (const event of events) this.handle(event);
    this.pump();
    this.options.onChange();
  }

  private handle(event: Event): void {
    switch (event.type) {
      case "received": {
        let shard = this.shards.get(event.key);
        if (!shard) {
          const decoder = this.pool.open(event.key, event.index);
          shard = { key: event.key, index: event.index, progress: new ShardProgress(event.index), decoder };
          this.shards.set(event.key, shard);
          this.keys.set(decoder, event.key);
        }
        const { progress } = shard;
        const missing = event.segments.filter(([segment]) => !progress.has(segment));
        const first = missing[0];
        if (first) {
          // All segments of one answer are views of one buffer, which now goes to the worker.
          const offset = event.index.offsets[first[0]]! - first[1].byteOffset;
          this.hand(
            shard,
            offset,
            first[1].buffer as ArrayBuffer,
            missing.map(([segment]) => segment),
          );
        }
        break;
      }
      case "forgotten": {
        const shard = this.shards.get(event.key);
        if (!shard) break;
        if (event.segments) {
          this.pool.drop(shard.decoder, event.segments);
          shard.progress.remove(event.segments);
        } else this.close(shard);
        break;
      }
      case "restarted": {
        for (const request of event.aborted) this.abort(request);
        const shard = this.shards.get(event.key);
        if (shard) this.close(shard);
        this.options.onRestart(event.key);
        break;
      }
      case "broken":
        this.options.onError(new ViewerError("corrupt", event.error, this.options.url(event.key)));
        break;
    }
  }

  /** Use the segments at the beginning of an answer that is still on its way. */
  private take(request: Request, arrived: Uint8Array, etag: string): void {
    const shard = this.shards.get(request.key);
    const pinned = this.session.etag(request.key);
    if (!shard || !this.flights.has(request) || (pinned !== undefined && etag !== pinned)) return;
    const { offsets } = shard.index;
    const end = request.offset + arrived.length;
    const whole = request.segments.filter((s) => offsets[s + 1]! <= end && !shard.progress.has(s));
    if (whole.length === 0) return;
    const from = offsets[whole[0]!]!;
    const to = offsets[whole[whole.length - 1]! + 1]!;
    const copy = arrived.slice(from - request.offset, to - request.offset);
    this.hand(shard, from, copy.buffer as ArrayBuffer, whole);
    this.options.onChange();
  }

  /** Give segments to the shard's decoder. `data` starts at `offset` of the shard, and is gone afterwards. */
  private hand(shard: LoadedShard, offset: number, data: ArrayBuffer, segments: readonly number[]): void {
    this.pool.add(shard.decoder, offset, data, segments);
    this.segments += segments.length;
    shard.progress.add(segments);
  }

  private close(shard: LoadedShard): void {
    this.pool.close(shard.decoder);
    this.keys.delete(shard.decoder);
    this.shards.delete(shard.key);
  }

  private onDamage(error: ViewerError, decoder: number, segment: number | undefined): void {
    const key = this.keys.get(decoder);
    const shard = key === undefined ? undefined : this.shards.get(key);
    if (shard && segment !== undefined) {
      shard.progress.remove([segment]);
      this.session.reject(shard.key, [segment]);
      this.pump();
    }
    this.options.onError(error);
  }
}

function parseHead(kernels: Kernels, data: Uint8Array): ShardIndex | number {
  const size = data.length < 12 ? 12 : new DataView(data.buffer, data.byteOffset).getUint32(8, true);
  // A size that no head has: let the kernel say what is wrong.
  return size <= data.length || size > 16 << 20 ? kernels.parseHead(data) : size;
}

function unknown(error: unknown): ViewerError {
  return new ViewerError("server", asError(error).message, "", { cause: error });
}
