/**
 * The pictures of display tiles: what to decode next, and the best there is for a frame.
 *
 * Owns the tiles and their textures. A tile is decoded again when the shard's decoder holds more of what it needs; its
 * texture is then replaced in place. States: no picture -> decoding -> texture (-> decoding, ...) -> evicted.
 */
import type { Region, Samples } from "@firstlight/codecs";
import { asError, isAbort, ViewerError } from "../data/errors.ts";
import type { LoadedShard, Loader } from "../data/loader.ts";
import type { Quality } from "../data/progress.ts";
import type { DrawnTile, Renderer } from "../gl/renderer.ts";
import type { Slot } from "../gl/textures.ts";
import { LEVELS_PER_ARRAY, scaleRegion } from "../plan/geometry.ts";
import type { ImageLayout } from "../plan/layout.ts";
import { allows, type Errors, fitRegion, type Tolerance, type View, type ViewPart, viewParts } from "../plan/plan.ts";
import type { Bounds } from "./camera.ts";
import { TILE, type TilePlace, tilePlace, tilesUnder } from "./tiles.ts";

export type FullView = Required<View>;

interface DisplayTile {
  /** As it is open now; a shard that was forgotten and fetched again is another one. */
  shard: LoadedShard;
  readonly level: number;
  readonly place: TilePlace;
  readonly imageLevel: number;
  /** "t/z/channel" that it belongs to. */
  readonly plane: string;
  /** Tiles of the overview stay on the GPU. */
  pinned: boolean;
  slot: Slot | null;
  /** `quality().layers` and errors of the texture. */
  layers: number;
  error: number;
  mse: number;
  job: { cancel(): void } | null;
  /** Progress stamp when `available` was computed. */
  stamp: number;
  available: Quality;
  lastUsed: number;
}

/** What a view wants of one place: the tile of the view's level, and what there may be instead. */
export interface Target {
  view: FullView;
  part: ViewPart;
  plane: string;
  shard: LoadedShard;
  level: number;
  tileY: number;
  tileX: number;
  distance: number;
  overview: boolean;
  /** All that the view wants of the shard is there. */
  complete: boolean;
}

export interface PicturesOptions {
  layout: ImageLayout;
  loader: Loader;
  workers: number;
  /** A texture is better than before. */
  onShown(picture: Errors & { level: number }): void;
  /** A picture has come, or will not come: plan again. */
  onChange(): void;
  onError(error: ViewerError): void;
}

/** Decode jobs that a worker has at most: what waits in the page can still be put in another order. */
const JOBS_PER_WORKER = 3;
const MOST_TILES = 4096;
/** Errors of what has no picture. */
const NOTHING: Errors = { error: Number.POSITIVE_INFINITY, mse: Number.POSITIVE_INFINITY };

export class Pictures {
  private readonly layout: ImageLayout;
  private readonly loader: Loader;
  private readonly tiles = new Map<string, DisplayTile>();
  private turn = 0;
  private closed = false;

  constructor(
    private readonly options: PicturesOptions,
    private renderer: Renderer,
  ) {
    this.layout = options.layout;
    this.loader = options.loader;
  }

  /** The display tiles that a view consists of, as far as the shards' heads are known. */
  targets(view: FullView, overview: boolean): Target[] {
    const targets: Target[] = [];
    for (const part of viewParts(this.layout, view)) {
      const shard = this.loader.shard(part.ref.key);
      if (!shard) continue;
      const fitted = fitRegion(shard.index, part.ref.level, part.ref.region);
      if (!fitted) continue;
      const [level, region] = fitted;
      const complete = allows(part.tolerance, shard.progress.quality(level, region));
      // From the region's corner: the view's centre.
      const centreY = view.region[2] / 2 - part.ref.y;
      const centreX = view.region[3] / 2 - part.ref.x;
      for (const [tileY, tileX] of tilesUnder(region)) {
        const dy = (tileY + 0.5) * TILE - region[0] - centreY;
        const dx = (tileX + 0.5) * TILE - region[1] - centreX;
        targets.push({
          view,
          part,
          plane: `${view.t}/${view.z}/${part.channel}`,
          shard,
          level,
          tileY,
          tileX,
          distance: Math.hypot(dy, dx),
          overview,
          complete,
        });
      }
    }
    return targets;
  }

  /**
   * Have decoded what has improved, most wanted first; what is not wanted any more is cancelled.
   *
   * @returns the worst errors of what is drawn of the targets (without the overview's), infinite where a target's own
   * level has no picture; `busy`: there is something left to decode.
   */
  update(targets: readonly Target[]): Errors & { busy: boolean } {
    this.turn++;
    const wanted = new Map<DisplayTile, number>();
    let [error, mse] = [0, 0];
    for (const target of targets) {
      const own = this.tile(target, target.level, target.tileY, target.tileX);
      const best = this.best(target);
      if (!target.overview) {
        const visible = own ? this.visibleErrors(own, target) : NOTHING;
        error = Math.max(error, visible.error);
        mse = Math.max(mse, visible.mse);
      }
      if (!best) continue;
      best.lastUsed = this.turn;
      if (target.overview) best.pinned = true;
      if (best.slot && best.available.layers <= best.layers) continue;
      // What has no picture at all comes first, then what is nearest to the centre.
      const priority = target.distance + (best.slot ? 1e6 : 0) + (target.overview ? 1e3 : 0);
      wanted.set(best, Math.min(priority, wanted.get(best) ?? Number.POSITIVE_INFINITY));
    }
    for (const tile of this.tiles.values())
      if (tile.job && !wanted.has(tile)) {
        tile.job.cancel();
        tile.job = null;
      }
    if (this.tiles.size > MOST_TILES) this.prune();
    const limit = this.options.workers * JOBS_PER_WORKER;
    for (const [tile, priority] of [...wanted].sort((a, b) => a[1] - b[1])) {
      if (this.loader.decoding >= limit) break;
      if (!tile.job) this.decode(tile, priority);
    }
    return { error, mse, busy: wanted.size > 0 };
  }

  /** Whether there is something to draw for a target. */
  hasPicture(target: Target): boolean {
    for (let level = target.level; level < target.shard.index.levels.length; level++) {
      const up = 2 ** (level - target.level);
      const key = `${target.shard.key} ${level} ${Math.floor(target.tileY / up)} ${Math.floor(target.tileX / up)}`;
      if (this.tiles.get(key)?.slot) return true;
    }
    return false;
  }

  /** What to draw of a plane ("t/z/channel") within bounds, front to back, where `level` fits the screen. */
  drawn(plane: string, bounds: Bounds, level: number, tolerance: Tolerance): DrawnTile[] {
    const tiles: DisplayTile[] = [];
    for (const tile of this.tiles.values()) {
      const { x0, y0, x1, y1 } = tile.place;
      if (!tile.slot || tile.plane !== plane) continue;
      if (x1 > bounds.x0 && x0 < bounds.x1 && y1 > bounds.y0 && y0 < bounds.y1) tiles.push(tile);
    }
    tiles.sort((a, b) => order(a, level, tolerance) - order(b, level, tolerance) || a.mse - b.mse);
    return tiles.map((tile) => {
      const [, , height, width] = tile.place.region;
      return { slot: tile.slot!, ...tile.place, height, width };
    });
  }

  /** Only the overview of this plane ("t/z") has to stay. */
  pinPlane(plane: string): void {
    for (const tile of this.tiles.values()) tile.pinned = tile.pinned && tile.plane.startsWith(`${plane}/`);
  }

  /** A shard's pictures are not valid any more. */
  forget(shardKey: string): void {
    for (const [key, tile] of this.tiles) if (tile.shard.key === shardKey) this.dropTile(key, tile);
  }

  /** All textures are gone with the graphics system: make them anew from what the workers hold. */
  reset(renderer: Renderer): void {
    this.renderer = renderer;
    for (const tile of this.tiles.values()) {
      tile.slot = null;
      tile.layers = -1;
      Object.assign(tile, NOTHING);
    }
  }

  destroy(): void {
    this.closed = true;
  }

  /** The finest tile over a target for which every part has something, up to the target's own level. */
  private best(target: Target): DisplayTile | null {
    for (let level = target.level; level < target.shard.index.levels.length; level++) {
      const up = 2 ** (level - target.level);
      const tile = this.tile(target, level, Math.floor(target.tileY / up), Math.floor(target.tileX / up));
      if (!tile) continue;
      const { progress } = target.shard;
      if (tile.stamp !== progress.stamp) {
        tile.available = progress.quality(level, tile.place.region);
        tile.stamp = progress.stamp;
      }
      if (tile.available.ready || tile.slot || target.complete || this.isCovered(target, level)) return tile;
      // The coarsest level is one tile: with it there is a picture.
      if (level === target.shard.index.levels.length - 1 && progress.layers(level, 0, 0) > 0) return tile;
    }
    return null;
  }

  /** Whether something has come of all that the part of a tile needs which lies over the target and in view. */
  private isCovered(target: Target, level: number): boolean {
    const region = this.inView(target, level);
    return !region || target.shard.progress.quality(level, region).ready;
  }

  /** The samples of a level under the part of the target that is in view. */
  private inView(target: Target, level: number): Region | null {
    const { width, height } = target.shard.index.levels[level]!;
    const [viewY, viewX, viewHeight, viewWidth] = scaleRegion(target.part.ref.region, target.part.ref.level, level);
    const side = TILE / 2 ** (level - target.level);
    const y0 = Math.max(viewY, Math.floor(target.tileY * side));
    const x0 = Math.max(viewX, Math.floor(target.tileX * side));
    const y1 = Math.min(height, viewY + viewHeight, Math.ceil((target.tileY + 1) * side));
    const x1 = Math.min(width, viewX + viewWidth, Math.ceil((target.tileX + 1) * side));
    return y1 > y0 && x1 > x0 ? [y0, x0, y1 - y0, x1 - x0] : null;
  }

  /** Errors of what a texture shows of the target; infinite without one. */
  private visibleErrors(tile: DisplayTile, target: Target): Errors {
    if (!tile.slot) return NOTHING;
    // A tile at the view's edge has parts that nobody asked for: only what is in view counts.
    if (tile.layers >= tile.available.layers) {
      const region = this.inView(target, tile.level);
      const { error, mse } = region ? tile.shard.progress.quality(tile.level, region) : { error: 0, mse: 0 };
      Object.assign(tile, { error, mse });
    }
    return tile;
  }

  private tile(target: Target, level: number, tileY: number, tileX: number): DisplayTile | null {
    const key = `${target.shard.key} ${level} ${tileY} ${tileX}`;
    let tile = this.tiles.get(key);
    if (tile && tile.shard !== target.shard) {
      if (sameShard(tile.shard, target.shard)) {
        tile.shard = target.shard;
        tile.stamp = -1;
      } else {
        this.dropTile(key, tile);
        tile = undefined;
      }
    }
    if (!tile) {
      const { part, shard, view } = target;
      const size = shard.index.levels[level];
      if (!size) return null;
      const scale = 2 ** part.ref.level;
      const place = tilePlace(
        {
          baseLevel: LEVELS_PER_ARRAY * part.ref.array,
          y: (view.region[0] + part.ref.y - part.ref.region[0]) * scale,
          x: (view.region[1] + part.ref.x - part.ref.region[1]) * scale,
        },
        level,
        tileY,
        tileX,
        [size.height, size.width],
        this.layout,
      );
      tile = {
        shard,
        level,
        place,
        imageLevel: LEVELS_PER_ARRAY * part.ref.array + level,
        plane: target.plane,
        pinned: false,
        slot: null,
        layers: -1,
        ...NOTHING,
        job: null,
        stamp: -1,
        available: { layers: 0, ready: false, ...NOTHING },
        lastUsed: this.turn,
      };
      this.tiles.set(key, tile);
    }
    return tile;
  }

  private decode(tile: DisplayTile, priority: number): void {
    const { shard, level, place } = tile;
    const quality = shard.progress.quality(level, place.region);
    const { losses } = shard.progress;
    const components = this.layout.rgb ? 4 : 1;
    const job = this.loader.decode(shard, { level, region: place.region, components, priority });
    tile.job = job;
    job.picture
      .then((samples) => {
        if (this.closed) return;
        if (tile.job === job) tile.job = null;
        if (shard.progress.losses !== losses) {
          const now = shard.progress.quality(level, place.region);
          quality.layers = Math.min(quality.layers, now.layers);
          quality.error = Math.max(quality.error, now.error);
          quality.mse = Math.max(quality.mse, now.mse);
          Object.assign(tile, NOTHING);
        }
        this.show(tile, samples, quality);
      })
      .catch((error) => {
        if (tile.job === job) tile.job = null;
        if (isAbort(error) || this.closed) return;
        // Not again until more has arrived.
        tile.layers = quality.layers;
        this.options.onError(error instanceof ViewerError ? error : new ViewerError("corrupt", asError(error).message));
        this.options.onChange();
      });
  }

  private show(tile: DisplayTile, samples: Samples, quality: Quality): void {
    tile.slot ??= this.allocate();
    if (tile.slot) {
      const [, , height, width] = tile.place.region;
      this.renderer.textures.upload(tile.slot, samples, width, height);
      tile.layers = quality.layers;
      tile.error = Math.min(tile.error, quality.error);
      tile.mse = Math.min(tile.mse, quality.mse);
      this.options.onShown({ error: quality.error, mse: quality.mse, level: tile.imageLevel });
    } else tile.layers = quality.layers;
    this.options.onChange();
  }

  /** A texture, if need be the one that was out of use longest. */
  private allocate(): Slot | null {
    const slot = this.renderer.textures.allocate();
    if (slot) return slot;
    let oldest: DisplayTile | null = null;
    for (const tile of this.tiles.values())
      if (tile.slot && !tile.pinned && tile.lastUsed < this.turn && (!oldest || tile.lastUsed < oldest.lastUsed))
        oldest = tile;
    if (!oldest) return null;
    const freed = oldest.slot;
    for (const [key, tile] of this.tiles) if (tile === oldest) this.tiles.delete(key);
    return freed;
  }

  /** Forget tiles without a picture that nobody has looked at for a while. */
  private prune(): void {
    for (const [key, tile] of this.tiles)
      if (!tile.slot && !tile.job && tile.lastUsed < this.turn - 100) this.tiles.delete(key);
  }

  private dropTile(key: string, tile: DisplayTile): void {
    tile.job?.cancel();
    if (tile.slot) this.renderer.textures.release(tile.slot);
    this.tiles.delete(key);
  }
}

/**
 * Place of a tile in the drawing order, front first: the level that fits the screen once it is good enough, finer
 * ones (seen before, when zoomed in), the fitting one while it is not yet good, then ever coarser ones.
 */
function order(tile: DisplayTile, level: number, tolerance: Tolerance): number {
  const above = tile.imageLevel - level;
  if (above === 0) return allows(tolerance, tile) ? 0 : 1000;
  return above < 0 ? -above : 1000 + above;
}

/** Whether the object is the same as when it was fetched before. */
function sameShard(a: LoadedShard, b: LoadedShard): boolean {
  const [x, y] = [a.index, b.index];
  return x.size === y.size && x.raw.length === y.raw.length && x.raw.every((byte, i) => byte === y.raw[i]);
}
