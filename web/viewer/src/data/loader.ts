/**
 * Runs a session: fetches what it asks for, hands segments to the decode workers, keeps track of what they hold.
 *
 * Owns requests in flight and the shards' decoders. What is fetched and in which order is the session's; what is
 * decoded and drawn is the core's.
 */
import {
  type Codec,
  type CorruptData,
  DecoderPool,
  FIXED_BYTES,
  type PictureOptions,
  type PoolOptions,
  type RemoteDecoder,
  type Samples,
  type ShardIndex,
} from "@firstlight/codecs";
import type { ImageLayout } from "../plan/layout.ts";
import type { Request, View } from "../plan/plan.ts";
import { type Event, Session } from "../plan/session.ts";
import { asError, isAbort, ViewerError } from "./errors.ts";
import type { Fetcher } from "./fetch.ts";
import { Flow } from "./flow.ts";
import { ShardProgress } from "./progress.ts";

/** A shard that has a head. */
export interface LoadedShard {
  readonly key: string;
  readonly index: ShardIndex;
  readonly progress: ShardProgress;
  readonly decoder: RemoteDecoder;
}

export interface LoaderOptions extends Pick<PoolOptions, "workers" | "cacheBytes" | "createWorker"> {
  layout: ImageLayout;
  /** URL of an object of the image, from its key. */
  url(key: string): string;
  fetcher: Fetcher;
  codec: Codec;
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
  private readonly flights = new Map<Request, AbortController>();
  private readonly flow = new Flow<Request>();
  private readonly pool: DecoderPool;
  private readonly options: LoaderOptions;
  private closed = false;

  constructor(options: LoaderOptions) {
    this.options = options;
    this.session = new Session(options.layout, {
      cacheBytes: options.segmentBytes,
      parse: (data) => parseHead(options.codec, data),
    });
    const { workers, cacheBytes, createWorker, onError } = options;
    this.pool = new DecoderPool({
      workers,
      cacheBytes,
      createWorker,
      wasm: options.codec.module,
      onError: (error) => onError(new ViewerError("unsupported", error.message)),
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

  /** A picture from what has arrived. `cancel` makes it reject, and not be made unless it is begun. */
  decode(
    { decoder }: LoadedShard,
    options: PictureOptions & { priority: number },
  ): { picture: Promise<Samples>; cancel(): void } {
    const controller = new AbortController();
    const picture = decoder.decode({ ...options, signal: controller.signal }).then(({ data }) => data);
    return { picture, cancel: () => controller.abort() };
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
    this.pool.close();
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
          const { key, index } = event;
          const decoder = this.pool.open(index, { name: key, onDamage: (error) => this.onDamage(key, error) });
          shard = { key, index, progress: new ShardProgress(index), decoder };
          this.shards.set(key, shard);
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
          shard.decoder.drop(event.segments);
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

  /**
   * Use the segments at the beginning of an answer that is still on its way: as far as tiles have all that the answer
   * brings of a group of layers, so that they are decoded once for it.
   */
  private take(request: Request, arrived: Uint8Array, etag: string): void {
    const shard = this.shards.get(request.key);
    const pinned = this.session.etag(request.key);
    if (!shard || !this.flights.has(request) || (pinned !== undefined && etag !== pinned)) return;
    const { offsets } = shard.index;
    const end = request.offset + arrived.length;
    const there = request.segments.filter((s) => offsets[s + 1]! <= end);
    const next = request.segments[there.length];
    while (next !== undefined && there.length > 0 && ofOneTile(shard.index, there.at(-1)!, next)) there.pop();
    const whole = there.filter((s) => !shard.progress.has(s));
    if (whole.length === 0) return;
    const from = offsets[whole[0]!]!;
    const to = offsets[whole[whole.length - 1]! + 1]!;
    const copy = arrived.slice(from - request.offset, to - request.offset);
    this.hand(shard, from, copy.buffer as ArrayBuffer, whole);
    this.options.onChange();
  }

  /** Give segments to the shard's decoder. `data` starts at `offset` of the shard, and is gone afterwards. */
  private hand(shard: LoadedShard, offset: number, data: ArrayBuffer, segments: readonly number[]): void {
    shard.decoder.feed(offset, new Uint8Array(data), segments);
    this.segments += segments.length;
    shard.progress.add(segments);
  }

  private close(shard: LoadedShard): void {
    shard.decoder.close();
    this.shards.delete(shard.key);
  }

  /** Fetch a damaged segment again: its decoder has forgotten it. */
  private onDamage(key: string, { message, segment }: CorruptData): void {
    const shard = this.shards.get(key);
    if (shard && segment !== undefined) {
      shard.progress.remove([segment]);
      this.session.reject(key, [segment]);
      this.pump();
    }
    this.options.onError(new ViewerError("corrupt", message));
  }
}

function parseHead(codec: Codec, data: Uint8Array): ShardIndex | number {
  const size = codec.headSize(data) || FIXED_BYTES;
  return size <= data.length ? codec.parse(data) : size;
}

function ofOneTile(index: ShardIndex, segment: number, other: number): boolean {
  const [a, b] = [index.locate(segment), index.locate(other)];
  return a.level === b.level && a.tileY === b.tileY && a.tileX === b.tileX;
}

function unknown(error: unknown): ViewerError {
  return new ViewerError("server", asError(error).message, "", { cause: error });
}
