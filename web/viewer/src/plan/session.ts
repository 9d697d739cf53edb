/**
 * What to ask for next while someone looks around in an image. Sans-IO: the caller fetches, decodes and shows. Twin of
 * tiler/session.py, held to it by tests/data/plan_cases.json.
 *
 * States of a request, each exclusive:
 *
 *     (planned) -- next --> in flight -- receive --> done
 *         ^                    |-- failed ---> planned again, given up after ATTEMPTS
 *         |                    |-- replaced -> the shard starts afresh
 *         +-- looked at again -+-- look -----> aborted: listed for the caller, an answer that still comes is ignored
 *
 * Invariants: no segment is fetched, in whole or in part, while it is there or on its way; all bytes of a shard belong to one version
 * of it (the first ETag is pinned, another one makes that shard start afresh); requests of a view come before those of
 * the views that are looked at in advance; what is kept outside of what is looked at has at most `cacheBytes` bytes:
 * shards out of view go first, least recently looked at first, then what lies farthest from the view in the others.
 */
import { bound, CodecError, mse, type ShardIndex, segmentsFor } from "@firstlight/codecs";
import type { Region } from "./geometry.ts";
import { DTYPE_LIMITS, type ImageLayout } from "./layout.ts";
import {
  allows,
  compareRanks,
  completeLayers,
  type Errors,
  fitRegion,
  headRequest,
  planPart,
  type Rank,
  type Request,
  type View,
  type ViewPart,
  viewParts,
} from "./plan.ts";

/** How often a request may fail, a segment be rejected, or a shard be replaced, before it is given up. */
export const ATTEMPTS = 3;
export const CACHE_BYTES = 128 * 2 ** 20;

/** From the first bytes of a shard: its index, or how many bytes it takes. Throws CodecError. */
export type HeadParser = (data: Uint8Array) => ShardIndex | number;

/** A part of the view whose picture is better now: decode `region` of `part.ref.level` again. */
export interface Improved {
  readonly part: ViewPart;
  readonly region: Region;
}

/** Segments that have arrived, for the shard's decoder. */
export interface Received {
  readonly type: "received";
  readonly key: string;
  readonly index: ShardIndex;
  /** The shard's head came with this answer: nothing has been said about the shard before. */
  readonly isNew: boolean;
  /** Each with its bytes; all of them are views of one buffer, laid out as in the shard. */
  readonly segments: readonly (readonly [segment: number, data: Uint8Array])[];
  /** Of the view, not of what is looked at in advance. */
  readonly improved: readonly Improved[];
}

/** Release the memory of a shard (no `segments`) or of these segments of it: they are not held any more. */
export interface Forgotten {
  readonly type: "forgotten";
  readonly key: string;
  readonly segments?: readonly number[];
}

/** The object was replaced while it was read: drop all that came from it, and these requests. */
export interface Restarted {
  readonly type: "restarted";
  readonly key: string;
  readonly aborted: readonly Request[];
}

/** The shard's head is no head, or the shard could not be fetched: it stays as it is until `retry`. */
export interface Broken {
  readonly type: "broken";
  readonly key: string;
  readonly error: string;
}

export type Event = Received | Forgotten | Restarted | Broken;

interface Planned {
  readonly tier: number;
  readonly rank: Rank;
  readonly request: Request;
}

/** What is known of one object. */
class Shard {
  index: ShardIndex | undefined;
  /** Of a head that is longer than what was asked for, and how long that head is. */
  prefix = new Uint8Array(0);
  headBytes = 0;
  absent = false;
  broken = false;
  etag: string | undefined;
  restarts = 0;
  have = new Set<number>();
  /** Segments that are there, in flight, or given up. */
  taken = new Set<number>();
  bytes = 0;
  /** By what is looked at now. */
  wanted = new Set<number>();
  queue = new Set<Planned>();

  constructor(readonly key: string) {}
}

export class Session {
  bytesReceived = 0;
  requestsMade = 0;
  private readonly cacheBytes: number;
  private readonly parse: HeadParser;
  /** Least recently looked at first. */
  private readonly shards = new Map<string, Shard>();
  /** The view's own parts (tier 0) first. */
  private looked = new Map<string, { tier: number; part: ViewPart }[]>();
  private readonly flying = new Set<Request>();
  private readonly failures = new Map<string, number>();
  /** Keys whose queue must be made anew. */
  private readonly dirty = new Set<string>();
  /** All shards' queues, most urgent last. */
  private queue: Planned[] = [];
  private checkMemoryAt = 0;

  /** @param options.cacheBytes how many bytes outside of what is looked at to keep. */
  constructor(
    readonly layout: ImageLayout,
    options: { parse: HeadParser; cacheBytes?: number },
  ) {
    this.parse = options.parse;
    this.cacheBytes = options.cacheBytes ?? CACHE_BYTES;
  }

  // -- looking -------------------------------------------------------------------------------------------------------

  /**
   * Look at `view` from now on.
   *
   * @param ahead what may be looked at next, most likely first: fetched when the view itself is complete.
   * @returns requests in flight that are not needed any more: abort them. They count as never made.
   * @throws as viewParts; nothing has changed then.
   */
  look(view: View, ahead: Iterable<View> = []): Request[] {
    const looked: typeof this.looked = new Map();
    for (const [tier, each] of [view, ...ahead].entries())
      for (const part of viewParts(this.layout, each)) {
        const parts = looked.get(part.ref.key);
        if (parts) parts.push({ tier, part });
        else looked.set(part.ref.key, [{ tier, part }]);
      }
    for (const key of this.looked.keys())
      if (!looked.has(key)) {
        const shard = this.shards.get(key)!;
        shard.wanted.clear();
        shard.queue.clear();
      }
    this.looked = looked;
    this.dirty.clear();
    for (const key of looked.keys()) {
      const shard = this.shards.get(key) ?? new Shard(key);
      this.shards.delete(key);
      this.shards.set(key, shard);
      this.plan(shard);
      this.dirty.add(key);
    }
    const aborted = [...this.flying].filter((request) => !this.isNeeded(request));
    for (const request of aborted) this.land(request);
    this.checkMemoryAt = 0;
    return aborted;
  }

  /** The most urgent requests, at most `count`; they are in flight from now on. */
  next(count: number): Request[] {
    this.refresh();
    const requests: Request[] = [];
    while (requests.length < count) {
      const planned = this.queue.pop();
      if (!planned) break;
      const { request } = planned;
      const shard = this.shards.get(request.key)!;
      shard.queue.delete(planned);
      for (const segment of request.segments) shard.taken.add(segment);
      this.flying.add(request);
      requests.push(request);
    }
    this.requestsMade += requests.length;
    return requests;
  }

  // -- answers -------------------------------------------------------------------------------------------------------

  /**
   * Take the answer to a request (the very object that `next` gave).
   *
   * @param data the bytes asked for; fewer only for a head, when the whole object is shorter.
   * @returns what to do about it, in order; nothing for a request that is not in flight (any more).
   */
  receive(request: Request, data: Uint8Array, etag?: string): Event[] {
    if (!this.flying.has(request)) return [];
    const shard = this.shards.get(request.key)!;
    if (etag !== undefined && shard.etag !== undefined && etag !== shard.etag) {
      const usable = request.segments.length === 0 && request.offset === 0;
      if (usable) this.flying.delete(request);
      const events = this.restart(shard);
      if (!usable || shard.broken) return events;
      return [...events, ...this.accept(shard, request, data, etag)];
    }
    this.flying.delete(request);
    return this.accept(shard, request, data, etag);
  }

  /** The request brought no bytes: it will be made again, or given up after ATTEMPTS. */
  failed(request: Request): Event[] {
    if (!this.flying.has(request)) return [];
    this.land(request);
    this.dirty.add(request.key);
    if (this.countFailure(`${request.key} ${request.offset}`) < ATTEMPTS) return [];
    const shard = this.shards.get(request.key)!;
    let what = "its head";
    if (request.segments.length > 0) {
      for (const segment of request.segments) shard.taken.add(segment);
      what = `${request.length} bytes at ${request.offset}`;
    } else shard.broken = true;
    const error = `${request.key}: ${what} could not be fetched in ${ATTEMPTS} attempts`;
    return [{ type: "broken", key: request.key, error }];
  }

  /** The object is not the one whose ETag is pinned (412): begin again with it. */
  replaced(request: Request): Event[] {
    return this.flying.has(request) ? this.restart(this.shards.get(request.key)!) : [];
  }

  /** There is no such object: its samples are 0. */
  absent(request: Request): Event[] {
    if (!this.flying.has(request)) return [];
    this.land(request);
    const shard = this.shards.get(request.key)!;
    if (shard.index) return this.restart(shard);
    shard.absent = true;
    this.dirty.add(request.key);
    return [];
  }

  /** Segments that have arrived turned out to be damaged: fetch them again, at most ATTEMPTS times. */
  reject(key: string, segments: Iterable<number>): void {
    const shard = this.shards.get(key);
    if (!shard?.index) return;
    for (const segment of segments) {
      if (!shard.have.delete(segment)) continue;
      shard.bytes -= shard.index.length(segment);
      if (this.countFailure(`${key} segment ${segment}`) < ATTEMPTS) shard.taken.delete(segment);
    }
    if (this.looked.has(key)) this.dirty.add(key);
  }

  /** Try again what was given up. */
  retry(): void {
    this.failures.clear();
    for (const [key, shard] of this.shards) {
      shard.broken = false;
      shard.restarts = 0;
      shard.taken = new Set(shard.have);
      if (this.looked.has(key)) this.dirty.add(key);
    }
    for (const { key, segments } of this.flying)
      for (const segment of segments) this.shards.get(key)!.taken.add(segment);
  }

  // -- what is known -------------------------------------------------------------------------------------------------

  /** The shards of the view, in its order. */
  get parts(): ViewPart[] {
    const own: ViewPart[] = [];
    for (const parts of this.looked.values()) for (const { tier, part } of parts) if (tier === 0) own.push(part);
    return own.sort((a, b) => a.order - b.order);
  }

  get inFlight(): readonly Request[] {
    return [...this.flying];
  }

  /** Bytes of the segments and heads that are kept. */
  get bytesHeld(): number {
    let sum = 0;
    for (const shard of this.shards.values()) sum += shard.bytes;
    return sum;
  }

  /** The index of a shard whose head is known. */
  index(key: string): ShardIndex | undefined {
    return this.shards.get(key)?.index;
  }

  /** The version of an object that further answers must belong to (If-Match). */
  etag(key: string): string | undefined {
    return this.shards.get(key)?.etag;
  }

  has(key: string, segment: number): boolean {
    return this.shards.get(key)?.have.has(segment) ?? false;
  }

  /** Whether the shard is known not to exist. */
  isAbsent(key: string): boolean {
    return this.shards.get(key)?.absent ?? false;
  }

  /** What is there of a part; before its head is known it may be off by the data type's whole range. */
  partErrors(part: ViewPart): Errors {
    const shard = this.shards.get(part.ref.key);
    if (shard?.absent) return { error: 0, mse: 0 };
    if (!shard?.index) {
      const [least, greatest] = DTYPE_LIMITS[this.layout.dtype];
      return { error: greatest - least, mse: (greatest - least) ** 2 };
    }
    const fitted = fitRegion(shard.index, part.ref.level, part.ref.region);
    if (!fitted) return { error: 0, mse: 0 };
    const layers = completeLayers(shard.index, ...fitted, shard.have);
    return { error: bound(shard.index, fitted[0], layers), mse: mse(shard.index, fitted[0], layers) };
  }

  /** As `partErrors`, of the view as it is now: the worst of its parts. */
  errors(): Errors {
    const each = this.parts.map((part) => this.partErrors(part));
    return { error: Math.max(0, ...each.map(({ error }) => error)), mse: Math.max(0, ...each.map(({ mse }) => mse)) };
  }

  /** Every sample of the view is there to the last bit. */
  get exact(): boolean {
    return this.errors().error === 0;
  }

  /** The view has the precision that was asked for. */
  get complete(): boolean {
    return this.parts.every((part) => allows(part.tolerance, this.partErrors(part)));
  }

  /** Nothing is in flight and nothing is left to ask for. */
  get idle(): boolean {
    this.refresh();
    return this.flying.size === 0 && this.queue.length === 0;
  }

  // -- inside --------------------------------------------------------------------------------------------------------

  /** Plan again where something has changed. */
  private refresh(): void {
    if (this.dirty.size === 0) return;
    for (const key of this.dirty) this.plan(this.shards.get(key)!);
    this.dirty.clear();
    this.queue = [...this.looked.keys()].flatMap((key) => [...this.shards.get(key)!.queue]);
    this.queue.sort((a, b) => b.tier - a.tier || compareRanks(b.rank, a.rank));
  }

  /** Make a shard's queue anew. */
  private plan(shard: Shard): void {
    shard.queue.clear();
    shard.wanted.clear();
    if (shard.absent || shard.broken) return;
    let taken = shard.taken;
    for (const { tier, part } of this.looked.get(shard.key) ?? []) {
      if (!shard.index) {
        for (const { key } of this.flying) if (key === shard.key) return;
        let { rank, request } = headRequest(this.layout, part);
        if (shard.prefix.length > 0) {
          const offset = shard.prefix.length;
          request = { key: shard.key, offset, length: shard.headBytes - offset, segments: [] };
        }
        shard.queue.add({ tier, rank, request });
        return;
      }
      const planned = planPart(part, shard.index, taken);
      for (const segment of planned.wanted) shard.wanted.add(segment);
      if (planned.requests.length > 0) taken = new Set(taken);
      for (const { rank, request } of planned.requests) {
        shard.queue.add({ tier, rank, request });
        for (const segment of request.segments) taken.add(segment);
      }
    }
  }

  private isNeeded(request: Request): boolean {
    if (request.segments.length === 0) return this.looked.has(request.key);
    const { wanted } = this.shards.get(request.key)!;
    return request.segments.some((segment) => wanted.has(segment));
  }

  /** A request is in flight no more, and brought nothing. */
  private land(request: Request): void {
    this.flying.delete(request);
    const { taken } = this.shards.get(request.key)!;
    for (const segment of request.segments) taken.delete(segment);
  }

  private countFailure(what: string): number {
    const attempts = (this.failures.get(what) ?? 0) + 1;
    this.failures.set(what, attempts);
    return attempts;
  }

  /** Forget everything of a shard whose object was replaced. */
  private restart(shard: Shard): Event[] {
    const { key } = shard;
    const aborted = [...this.flying].filter((request) => request.key === key);
    for (const request of aborted) this.flying.delete(request);
    const restarts = shard.restarts + 1;
    Object.assign(shard, new Shard(key), { restarts, broken: restarts >= ATTEMPTS });
    if (this.looked.has(key)) this.dirty.add(key);
    const events: Event[] = [{ type: "restarted", key, aborted }];
    if (shard.broken)
      events.push({ type: "broken", key, error: `${key}: was replaced ${restarts} times while it was read` });
    return events;
  }

  /** An answer of the right version, to a request that has just left the air. */
  private accept(shard: Shard, request: Request, data: Uint8Array, etag: string | undefined): Event[] {
    const whole = data.length === request.length;
    if (data.length > request.length || (request.segments.length > 0 && !whole)) {
      this.flying.add(request);
      return this.failed(request);
    }
    this.bytesReceived += data.length;
    if (etag !== undefined) shard.etag = etag;
    this.failures.delete(`${request.key} ${request.offset}`);
    if (request.segments.length > 0)
      return [this.keep(shard, shard.index!, request.offset, data, false), ...this.forget()];
    let prefix = data;
    if (shard.prefix.length > 0) {
      prefix = new Uint8Array(shard.prefix.length + data.length);
      prefix.set(shard.prefix);
      prefix.set(data, shard.prefix.length);
    }
    this.dirty.add(shard.key);
    let parsed: ShardIndex | number;
    try {
      parsed = this.parse(prefix);
      const expected = typeof parsed === "number" ? parsed : parsed.size;
      if (!whole && prefix.length < expected)
        throw new CodecError(`the object ends after ${prefix.length} bytes, expected ${expected} or more`);
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
      shard.broken = true;
      return [{ type: "broken", key: shard.key, error: `${shard.key}: ${error.message}` }];
    }
    if (typeof parsed === "number") {
      shard.prefix = prefix.slice();
      shard.headBytes = parsed;
      return [];
    }
    shard.index = parsed;
    shard.prefix = new Uint8Array(0);
    shard.bytes = parsed.headSize;
    return [this.keep(shard, parsed, 0, prefix, true), ...this.forget()];
  }

  private keep(shard: Shard, index: ShardIndex, offset: number, data: Uint8Array, isNew: boolean): Received {
    const segments: [number, Uint8Array][] = [];
    const { first, end } = index.within(offset, data.length);
    for (let segment = first; segment < end; segment++) {
      if (index.length(segment) === 0 || shard.have.has(segment)) continue;
      segments.push([segment, data.subarray(index.offsets[segment]! - offset, index.offsets[segment + 1]! - offset)]);
      shard.have.add(segment);
      shard.taken.add(segment);
      shard.bytes += index.length(segment);
    }
    const numbers = segments.map(([segment]) => segment);
    const improved: Improved[] = [];
    for (const { tier, part } of this.looked.get(shard.key) ?? []) {
      const region = tier === 0 ? improvedRegion(index, part, numbers) : undefined;
      if (region) improved.push({ part, region });
    }
    return { type: "received", key: shard.key, index, isNew, segments, improved };
  }

  /** Keep memory within its bound. */
  private forget(): Forgotten[] {
    const held = this.bytesHeld;
    if (held <= this.checkMemoryAt) return [];
    // Enumerating what is looked at takes time: wait until as many bytes have come as might matter.
    const protectedSegments = new Map<string, Set<number>>();
    let outside = held;
    for (const key of this.looked.keys()) {
      const shard = this.shards.get(key)!;
      const segments = this.protectedOf(shard);
      protectedSegments.set(key, segments);
      if (shard.index) outside -= shard.index.headSize;
      for (const segment of segments) outside -= shard.index!.length(segment);
    }
    const events: Forgotten[] = [];
    if (outside > this.cacheBytes) {
      // A little more than necessary, so that it is not for every answer.
      const target = this.cacheBytes - Math.floor(this.cacheBytes / 8);
      const busy = new Set([...this.flying].map((request) => request.key));
      for (const [key, shard] of this.shards)
        if (outside > target && !this.looked.has(key) && !busy.has(key)) {
          outside -= shard.bytes;
          if (shard.index) events.push({ type: "forgotten", key });
          this.shards.delete(key);
        }
      for (const key of this.looked.keys())
        if (outside > target) {
          const [segments, size] = this.trim(this.shards.get(key)!, protectedSegments.get(key)!, outside - target);
          outside -= size;
          if (segments.length > 0) events.push({ type: "forgotten", key, segments });
        }
    }
    this.checkMemoryAt = this.bytesHeld + Math.max(this.cacheBytes - outside, 0);
    return events;
  }

  /** What of a shard is there and belongs to what is looked at. */
  private protectedOf(shard: Shard): Set<number> {
    const segments = new Set<number>();
    const { index } = shard;
    if (!index) return segments;
    const everything = index.levels.map((level) => level.layers);
    for (const { part } of this.looked.get(shard.key) ?? []) {
      const fitted = fitRegion(index, part.ref.level, part.ref.region);
      if (fitted)
        for (const segment of segmentsFor(index, ...fitted, everything))
          if (shard.have.has(segment)) segments.add(segment);
    }
    return segments;
  }

  /** Forget `excess` bytes of a shard in view: the finest level first, there the farthest from the view. */
  private trim(shard: Shard, kept: ReadonlySet<number>, excess: number): [segments: number[], bytes: number] {
    const { index } = shard;
    if (!index) return [[], 0];
    const { centre, ref } = this.looked.get(shard.key)![0]!.part;
    const scale = 2 ** ref.level;
    const candidates = [...shard.have]
      .filter((segment) => !kept.has(segment))
      .map((segment) => {
        const at = index.locate(segment);
        const tile = index.levels[at.level]!.tile * 2 ** at.level;
        const dy = (2 * at.tileY + 1) * tile - centre[0] * scale;
        const dx = (2 * at.tileX + 1) * tile - centre[1] * scale;
        return { segment, level: at.level, distance: dy * dy + dx * dx };
      })
      .sort((a, b) => a.level - b.level || b.distance - a.distance || b.segment - a.segment);
    const dropped: number[] = [];
    let size = 0;
    for (const { segment } of candidates) {
      if (size >= excess) break;
      dropped.push(segment);
      size += index.length(segment);
      shard.have.delete(segment);
      shard.taken.delete(segment);
    }
    shard.bytes -= size;
    return [dropped, size];
  }
}

/** The least region of a part's level that holds all of it that `segments` change; undefined if they change nothing. */
export function improvedRegion(index: ShardIndex, part: ViewPart, segments: Iterable<number>): Region | undefined {
  const { level, region } = part.ref;
  const [y, x, height, width] = region;
  const base = index.levels.length - 1;
  let [y0, x0, y1, x1] = [y + height, x + width, y, x];
  for (const segment of segments) {
    const at = index.locate(segment);
    if (at.level === base) return region;
    if (at.level < level) continue;
    // The reverse of ShardIndex.tiles: samples whose decoding reads this tile.
    const { tile } = index.levels[at.level]!;
    const scale = 2 ** (at.level - level);
    y0 = Math.min(y0, (at.tileY * tile - index.margin) * scale);
    x0 = Math.min(x0, (at.tileX * tile - index.margin) * scale);
    y1 = Math.max(y1, ((at.tileY + 1) * tile + index.margin) * scale);
    x1 = Math.max(x1, ((at.tileX + 1) * tile + index.margin) * scale);
  }
  y0 = Math.max(y0, y);
  x0 = Math.max(x0, x);
  y1 = Math.min(y1, y + height);
  x1 = Math.min(x1, x + width);
  return y1 > y0 && x1 > x0 ? [y0, x0, y1 - y0, x1 - x0] : undefined;
}
