/**
 * The viewer without a user interface: from what is looked at to pixels on a canvas.
 *
 * It tells the loader what to fetch, has the workers decode what has improved, keeps the pictures as textures, and
 * draws the best there is. It does not know who moves the camera (osd/host.ts does in the page).
 *
 * Invariants:
 *  - a pixel never gets worse while one looks at it: a texture is replaced by a better one in place, and what is
 *    drawn on top has the smaller error;
 *  - a plane (z, t) is shown from when there is something of it everywhere in the view: until then the one before
 *    stays, at the start the thumbnail. So nothing goes blank, and the first picture has all its channels.
 */
import type { Dtype, Kernels, Region, Samples } from "@firstlight/codecs";
import { asError, isAbort, ViewerError } from "../data/errors.ts";
import type { Fetcher } from "../data/fetch.ts";
import { type LoadedShard, Loader } from "../data/loader.ts";
import { type Camera, type DrawnChannel, type DrawnTile, Renderer } from "../gl/renderer.ts";
import type { Slot } from "../gl/textures.ts";
import { levelForZoom, scaleRegion } from "../plan/geometry.ts";
import type { ImageLayout } from "../plan/layout.ts";
import { fitRegion, maxError, type Precision, type View, type ViewPart, viewParts } from "../plan/plan.ts";
import { type Bounds, regionAt, visibleBounds } from "./camera.ts";
import { Emitter } from "./events.ts";
import { TILE, type TilePlace, tilePlace, tilesUnder } from "./tiles.ts";

/** How a channel is shown. */
export interface ChannelState {
  label: string;
  /** "#rrggbb". */
  color: string;
  /** Contrast limits, in data units. */
  window: readonly [number, number];
  /** What the limits may be set to. */
  limits: readonly [number, number];
  visible: boolean;
}

/** Samples as they are, for tests and measurements. */
export interface ReadPixels {
  level: number;
  y: number;
  x: number;
  height: number;
  width: number;
  /** One array per visible channel, row-major; interleaved red, green, blue in colour images. */
  data: Samples[];
}

export interface CoreEvents {
  /** Something on the canvas is better than before. */
  refine: { error: number; level: number };
  /** All that was asked for is there and drawn. */
  settled: { error: number; level: number };
  error: ViewerError;
  /** What the status line shows has changed. */
  status: undefined;
}

export interface CoreOptions {
  layout: ImageLayout;
  url(key: string): string;
  canvas: HTMLCanvasElement;
  fetcher: Fetcher;
  kernels: Kernels;
  module: WebAssembly.Module;
  createWorker(): Worker;
  workers: number;
  /** Call `draw` soon. */
  invalidate(): void;
  textureBytes?: number;
  segmentBytes?: number;
  cacheBytes?: number;
}

type FullView = Required<View>;

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
  /** `quality().layers` and error of the texture. */
  layers: number;
  error: number;
  job: { cancel(): void } | null;
  /** Progress stamp when `available` was computed. */
  stamp: number;
  available: { layers: number; ready: boolean; error: number };
  lastUsed: number;
}

/** What a view wants of one place: the tile of the view's level, and what there may be instead. */
interface Target {
  part: ViewPart;
  plane: string;
  shard: LoadedShard;
  level: number;
  tileY: number;
  tileX: number;
  distance: number;
  overview: boolean;
}

const LOOK_INTERVAL_MS = 60;
/** Decode jobs that a worker has at most: what waits in the page can still be put in another order. */
const JOBS_PER_WORKER = 3;
const OVERVIEW_SIDE = 256;
const TEXTURE_BYTES = 256 << 20;
const FAST_MAGNIFICATION = 1.5;
/** Samples of a whole level at a time that `readPixels` may return. */
const READ_LIMIT = 64 << 20;
const MOST_TILES = 4096;

export class ViewerCore extends Emitter<CoreEvents> {
  readonly layout: ImageLayout;
  renderer: Renderer;
  readonly levels: number;
  readonly channels: ChannelState[];
  precision: Precision = "visual";
  z: number;
  t: number;

  private readonly options: CoreOptions;
  private readonly loader: Loader;
  private readonly overviewLevel: number;
  private readonly tiles = new Map<string, DisplayTile>();
  /** Where the camera is, and where it is going: drawn is the one, loaded the other. */
  private camera: Camera;
  private goal: Camera;
  private view: FullView | null = null;
  /** The plane on the canvas: "t/z"; "" while there is only the thumbnail. */
  private shownPlane = "";
  private thumbnail: TexImageSource | null = null;
  private zeroSlot: Slot | null = null;
  private frame = 0;
  private lookTimer: ReturnType<typeof setTimeout> | undefined;
  private lastLook = 0;
  private tickQueued = false;
  /** Nothing is left to fetch or to decode for the view. */
  private complete = false;
  /** And a frame with all of it was drawn. */
  private settled = false;
  private shown: { error: number; level: number } = { error: Number.POSITIVE_INFINITY, level: -1 };
  private destroyed = false;
  private readonly reported = new Set<string>();

  constructor(options: CoreOptions) {
    super();
    this.options = options;
    const { layout } = options;
    this.layout = layout;
    this.levels = layout.levelCount;
    this.z = layout.axes.includes("z") ? Math.floor(layout.size("z") / 2) : 0;
    this.t = 0;
    this.channels = layout.rgb
      ? [
          {
            label: "Colour",
            color: "#ffffff",
            window: union(layout, "window"),
            limits: union(layout, "limits"),
            visible: true,
          },
        ]
      : layout.channels.map((c) => ({
          label: c.label,
          color: c.color,
          window: c.window,
          limits: c.limits,
          visible: c.active,
        }));
    let overview = 0;
    while (overview + 1 < this.levels && Math.max(...layout.levelSize(overview)) > OVERVIEW_SIDE) overview++;
    this.overviewLevel = overview;
    this.renderer = this.createRenderer();
    options.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    options.canvas.addEventListener("webglcontextrestored", () => this.restore());
    this.camera = { x: layout.width / 2, y: layout.height / 2, scale: 1, rotation: 0, flipped: false };
    this.goal = this.camera;
    this.loader = new Loader({
      layout,
      url: options.url,
      fetcher: options.fetcher,
      kernels: options.kernels,
      module: options.module,
      createWorker: options.createWorker,
      workers: options.workers,
      cacheBytes: options.cacheBytes ?? 384 << 20,
      segmentBytes: options.segmentBytes ?? 256 << 20,
      concurrency: 6,
      onChange: () => this.queueTick(),
      onRestart: (key) => this.forgetTiles(key),
      onError: (error) => this.report(error),
    });
  }

  // ---- what is looked at -------------------------------------------------------------------------------------------

  /**
   * Move the camera. Canvas pixels are device pixels.
   *
   * @param goal where a running animation will end: that is loaded.
   * @param resized the canvas has another size than before.
   */
  setCamera(camera: Camera, goal: Camera = camera, resized = false): void {
    this.camera = camera;
    const moved = resized || !sameCamera(goal, this.goal);
    this.goal = goal;
    if (moved || !this.view) this.lookSoon();
  }

  setPlane(z: number, t: number): void {
    if (z === this.z && t === this.t) return;
    this.z = clamp(Math.round(z), 0, this.axis("z") - 1);
    this.t = clamp(Math.round(t), 0, this.axis("t") - 1);
    this.lookSoon();
  }

  setPrecision(precision: Precision): void {
    this.precision = precision;
    this.lookSoon();
  }

  /** Change channels, each by its place; what is left out stays. */
  setChannels(changes: readonly (Partial<ChannelState> | undefined)[]): void {
    for (const [i, change] of changes.entries())
      if (this.channels[i] && change) Object.assign(this.channels[i], change);
    this.lookSoon();
    this.options.invalidate();
  }

  /** Samples along an axis. */
  axis(name: "t" | "z"): number {
    return this.layout.axes.includes(name) ? this.layout.size(name) : 1;
  }

  get visibleChannels(): number[] {
    return this.channels.flatMap((channel, i) => (channel.visible ? [i] : []));
  }

  retry(): void {
    this.reported.clear();
    this.loader.retry();
  }

  // ---- what is there -----------------------------------------------------------------------------------------------

  stats() {
    const { fetcher } = this.options;
    return {
      bytes: fetcher.bytes,
      requests: fetcher.requests,
      segments: this.loader.segments,
      pendingRequests: this.loader.pending,
      decoding: this.loader.decoding,
      exact: this.shown.error === 0,
      error: this.shown.error,
      level: this.view?.level ?? -1,
      settled: this.settled,
    };
  }

  /** What is known of the visible region's samples, at the level that is looked at. */
  async readPixels(): Promise<ReadPixels> {
    if (!this.view) throw new ViewerError("unsupported", "nothing is in view");
    return this.read(this.view);
  }

  /**
   * Contrast limits that suit what is in view: all but the darkest and the brightest thousandth of the samples.
   *
   * @returns null when nothing is known, or all samples are the same.
   */
  async autoWindow(channel: number): Promise<[number, number] | null> {
    if (!this.view) return null;
    const { data } = await this.read({ ...this.view, channels: [channel], maxError: [0] });
    const sorted = data[0]?.slice().sort();
    if (!sorted || sorted.length === 0) return null;
    const at = (fraction: number) => sorted[Math.round(fraction * (sorted.length - 1))]!;
    const [low, high] = [at(0.001), at(0.999)];
    return high > low ? [low, high] : null;
  }

  private async read(view: FullView): Promise<ReadPixels> {
    const [y, x, height, width] = view.region;
    const components = this.layout.rgb ? 3 : 1;
    if (height * width * components > READ_LIMIT)
      throw new ViewerError("unsupported", `${height} x ${width} samples are too many to read at a time`);
    const data = view.channels.map(() => new SAMPLES[this.layout.dtype](height * width * components));
    await Promise.all(
      viewParts(this.layout, view).map(async (part) => {
        const target = data[view.channels.indexOf(part.channel)]!;
        const shard = this.loader.shard(part.ref.key);
        const fitted = shard && fitRegion(shard.index, part.ref.level, part.ref.region);
        if (!shard || !fitted) return;
        const [level, region] = fitted;
        const request = { level, region, components, priority: -1 };
        const samples = await this.loader.decode(shard, request).picture;
        // A shard that is too small for the level has its coarsest instead: every step-th sample of that.
        const step = 2 ** (part.ref.level - level);
        for (let i = 0; i * step < region[2]; i++)
          for (let j = 0; j * step < region[3]; j++) {
            const from = (i * region[3] + j) * step * components;
            const to = ((part.ref.y + i) * width + part.ref.x + j) * components;
            for (let c = 0; c < components; c++) target[to + c] = samples[from + c]!;
          }
      }),
    );
    return { level: view.level, y, x, height, width, data };
  }

  /** The whole image as it is shown, as RGBA. */
  overview(width: number, height: number): Uint8ClampedArray<ArrayBuffer> {
    const all: Bounds = { y0: 0, x0: 0, y1: this.layout.height, x1: this.layout.width };
    const channels = this.drawn(all, this.overviewLevel);
    return this.renderer.overview(this.layout, this.shownPlane ? channels : [], width, height);
  }

  // ---- drawing -----------------------------------------------------------------------------------------------------

  draw(): void {
    if (this.destroyed) return;
    const { canvas } = this.options;
    const bounds = visibleBounds(this.camera, canvas.width, canvas.height);
    const level = this.levelAt(this.camera.scale);
    this.renderer.draw(this.camera, this.layout, this.shownPlane ? this.drawn(bounds, level) : [], !this.shownPlane);
    if (this.complete && !this.settled && sameCamera(this.camera, this.goal)) {
      this.settled = true;
      this.emit("settled", this.shown);
    }
  }

  setThumbnail(image: TexImageSource): void {
    this.thumbnail = image;
    this.renderer.setThumbnail(image);
    this.options.invalidate();
  }

  destroy(): void {
    this.destroyed = true;
    clearTimeout(this.lookTimer);
    this.loader.destroy();
    this.renderer.destroy();
  }

  // ---- looking -----------------------------------------------------------------------------------------------------

  /** A moving camera changes the view many times a second: plan now and then. */
  private lookSoon(): void {
    this.complete = false;
    this.settled = false;
    if (this.lookTimer !== undefined) return;
    const wait = Math.max(0, this.lastLook + LOOK_INTERVAL_MS - performance.now());
    this.lookTimer = setTimeout(() => {
      this.lookTimer = undefined;
      this.lastLook = performance.now();
      this.look();
    }, wait);
  }

  private look(): void {
    if (this.destroyed) return;
    const { canvas } = this.options;
    const level = this.levelAt(this.goal.scale);
    const bounds = visibleBounds(this.goal, canvas.width, canvas.height);
    const region = regionAt(bounds, level, this.layout.levelSize(level));
    const channels = this.visibleChannels;
    if (!region || channels.length === 0) {
      // Nothing of the image is in view: that is shown already.
      this.complete = true;
      this.options.invalidate();
      return;
    }
    this.view = this.makeView(region, level, channels, false);
    this.loader.look(this.view, [this.overviewView(channels)]);
    this.queueTick();
  }

  /** The level for a magnification; for a quick look samples may be a little larger than screen pixels. */
  private levelAt(scale: number): number {
    return levelForZoom(this.precision === "fast" ? scale / FAST_MAGNIFICATION : scale, this.levels);
  }

  private makeView(region: Region, level: number, channels: readonly number[], coarse: boolean): FullView {
    return {
      region,
      level,
      t: this.t,
      z: this.z,
      channels,
      maxError: channels.map((c) =>
        maxError(coarse ? "visual" : this.precision, this.channels[c]!.window, this.layout.rgb),
      ),
    };
  }

  private overviewView(channels: readonly number[]): FullView {
    const [height, width] = this.layout.levelSize(this.overviewLevel);
    return this.makeView([0, 0, height!, width!], this.overviewLevel, channels, true);
  }

  // ---- decoding ----------------------------------------------------------------------------------------------------

  private queueTick(): void {
    if (this.tickQueued || this.destroyed) return;
    this.tickQueued = true;
    queueMicrotask(() => {
      this.tickQueued = false;
      if (!this.destroyed) this.tick();
    });
  }

  /** Have decoded what has improved, most wanted first; notice when all is done. */
  private tick(): void {
    const { view } = this;
    if (!view) return;
    this.frame++;
    const targets = [...this.targets(view, false), ...this.targets(this.overviewView(view.channels), true)];
    const wanted = new Map<DisplayTile, number>();
    let worst = 0;
    for (const target of targets) {
      const goal = this.tile(target, target.level, target.tileY, target.tileX);
      const best = this.best(target);
      if (!target.overview) worst = Math.max(worst, goal ? this.visibleError(goal, target) : Number.POSITIVE_INFINITY);
      if (!best) continue;
      best.lastUsed = this.frame;
      if (target.overview) best.pinned = true;
      const improved = !best.slot || best.available.layers > best.layers;
      // What has no picture at all comes first, then what is nearest to the centre.
      const priority = target.distance + (best.slot ? 1e6 : 0) + (target.overview ? 1e3 : 0);
      if (improved) wanted.set(best, Math.min(priority, wanted.get(best) ?? Number.POSITIVE_INFINITY));
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
    const unknown = this.loader
      .parts()
      .some(({ ref }) => !this.loader.shard(ref.key) && !this.loader.isAbsent(ref.key));
    if (unknown) worst = Number.POSITIVE_INFINITY;
    if (worst !== this.shown.error || view.level !== this.shown.level) this.shown = { error: worst, level: view.level };
    // What could not be fetched is not waited for: the session has given it up.
    this.complete =
      this.loader.session.idle && this.loader.pending === 0 && wanted.size === 0 && this.lookTimer === undefined;
    this.showPlane(view, targets, unknown);
    this.emit("status", undefined);
    this.options.invalidate();
  }

  /** The display tiles that a view consists of, as far as the shards' heads are known. */
  private targets(view: FullView, overview: boolean): Target[] {
    const targets: Target[] = [];
    for (const part of viewParts(this.layout, view)) {
      const shard = this.loader.shard(part.ref.key);
      if (!shard) continue;
      const fitted = fitRegion(shard.index, part.ref.level, part.ref.region);
      if (!fitted) continue;
      const [level, region] = fitted;
      // From the region's corner: the view's centre.
      const centreY = view.region[2] / 2 - part.ref.y;
      const centreX = view.region[3] / 2 - part.ref.x;
      for (const [tileY, tileX] of tilesUnder(region)) {
        const dy = (tileY + 0.5) * TILE - region[0] - centreY;
        const dx = (tileX + 0.5) * TILE - region[1] - centreX;
        targets.push({
          part,
          plane: `${view.t}/${view.z}/${part.channel}`,
          shard,
          level,
          tileY,
          tileX,
          distance: Math.hypot(dy, dx),
          overview,
        });
      }
    }
    return targets;
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
      if (tile.available.ready || tile.slot || this.isCovered(target, level)) return tile;
      // The coarsest level is one tile: with it there is a picture.
      if (level === target.shard.index.levels.length - 1 && progress.layers(level, 0, 0) > 0) return tile;
    }
    return null;
  }

  /** Whether the part of a tile that lies over the target and in view has something of every level. */
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

  /** Bound on the error of what a texture shows of the target; infinite without one. */
  private visibleError(tile: DisplayTile, target: Target): number {
    if (!tile.slot) return Number.POSITIVE_INFINITY;
    // A tile at the view's edge has parts that nobody asked for: only what is in view counts.
    if (tile.layers >= tile.available.layers) {
      const region = this.inView(target, tile.level);
      tile.error = region ? tile.shard.progress.quality(tile.level, region).error : 0;
    }
    return tile.error;
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
      const { part, shard } = target;
      const size = shard.index.levels[level];
      if (!size) return null;
      const view = target.overview ? this.overviewView([part.channel]) : this.view!;
      const scale = 2 ** part.ref.level;
      const place = tilePlace(
        {
          baseLevel: 3 * part.ref.array,
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
        imageLevel: 3 * part.ref.array + level,
        plane: target.plane,
        pinned: false,
        slot: null,
        layers: -1,
        error: Number.POSITIVE_INFINITY,
        job: null,
        stamp: -1,
        available: { layers: 0, ready: false, error: Number.POSITIVE_INFINITY },
        lastUsed: this.frame,
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
        if (this.destroyed) return;
        if (tile.job === job) tile.job = null;
        if (shard.progress.losses !== losses) {
          const now = shard.progress.quality(level, place.region);
          quality.layers = Math.min(quality.layers, now.layers);
          quality.error = Math.max(quality.error, now.error);
          tile.error = Number.POSITIVE_INFINITY;
        }
        this.show(tile, samples, quality);
      })
      .catch((error) => {
        if (tile.job === job) tile.job = null;
        if (isAbort(error) || this.destroyed) return;
        // Not again until more has arrived.
        tile.layers = quality.layers;
        this.report(error instanceof ViewerError ? error : new ViewerError("corrupt", asError(error).message));
        this.queueTick();
      });
  }

  private show(tile: DisplayTile, samples: Samples, quality: { layers: number; error: number }): void {
    tile.slot ??= this.allocate();
    if (tile.slot) {
      const [, , height, width] = tile.place.region;
      this.renderer.textures.upload(tile.slot, samples, width, height);
      tile.layers = quality.layers;
      tile.error = Math.min(tile.error, quality.error);
      this.emit("refine", { error: quality.error, level: tile.imageLevel });
    } else tile.layers = quality.layers;
    this.queueTick();
  }

  private createRenderer(): Renderer {
    const { canvas, layout, textureBytes = TEXTURE_BYTES } = this.options;
    return new Renderer(canvas, layout.dtype, layout.rgb, textureBytes);
  }

  /** The graphics system was reset, and all textures are gone: make them anew from what the workers hold. */
  private restore(): void {
    if (this.destroyed) return;
    this.renderer = this.createRenderer();
    if (this.thumbnail) this.renderer.setThumbnail(this.thumbnail);
    this.zeroSlot = null;
    this.shownPlane = "";
    this.complete = false;
    this.settled = false;
    for (const tile of this.tiles.values()) {
      tile.slot = null;
      tile.layers = -1;
      tile.error = Number.POSITIVE_INFINITY;
    }
    this.queueTick();
  }

  // ---- textures ----------------------------------------------------------------------------------------------------

  /** A texture, if need be the one that was out of use longest. */
  private allocate(): Slot | null {
    const slot = this.renderer.textures.allocate();
    if (slot) return slot;
    let oldest: DisplayTile | null = null;
    for (const tile of this.tiles.values())
      if (tile.slot && !tile.pinned && tile.lastUsed < this.frame && (!oldest || tile.lastUsed < oldest.lastUsed))
        oldest = tile;
    if (!oldest) return null;
    const freed = oldest.slot;
    for (const [key, tile] of this.tiles) if (tile === oldest) this.tiles.delete(key);
    return freed;
  }

  /** Forget tiles without a picture that nobody has looked at for a while. */
  private prune(): void {
    for (const [key, tile] of this.tiles)
      if (!tile.slot && !tile.job && tile.lastUsed < this.frame - 100) this.tiles.delete(key);
  }

  private dropTile(key: string, tile: DisplayTile): void {
    tile.job?.cancel();
    if (tile.slot) this.renderer.textures.release(tile.slot);
    this.tiles.delete(key);
  }

  private forgetTiles(shardKey: string): void {
    for (const [key, tile] of this.tiles) if (tile.shard.key === shardKey) this.dropTile(key, tile);
    this.queueTick();
  }

  // ---- drawing -----------------------------------------------------------------------------------------------------

  /** Let the wanted plane replace the shown one when it has something everywhere. */
  private showPlane(view: FullView, targets: Target[], unknown: boolean): void {
    const plane = `${view.t}/${view.z}`;
    if (plane === this.shownPlane) return;
    const ready = !unknown && targets.every((target) => target.overview || this.hasPicture(target));
    if (!ready && !this.complete) return;
    this.shownPlane = plane;
    for (const tile of this.tiles.values()) tile.pinned = tile.pinned && tile.plane.startsWith(`${plane}/`);
  }

  private hasPicture(target: Target): boolean {
    for (let level = target.level; level < target.shard.index.levels.length; level++) {
      const up = 2 ** (level - target.level);
      const key = `${target.shard.key} ${level} ${Math.floor(target.tileY / up)} ${Math.floor(target.tileX / up)}`;
      if (this.tiles.get(key)?.slot) return true;
    }
    return false;
  }

  /** What to draw, channel by channel, front to back. */
  private drawn(bounds: Bounds, level: number): DrawnChannel[] {
    return this.visibleChannels.map((c) => {
      const state = this.channels[c]!;
      const plane = `${this.shownPlane}/${c}`;
      const tiles: DisplayTile[] = [];
      for (const tile of this.tiles.values()) {
        const { place } = tile;
        if (!tile.slot || tile.plane !== plane) continue;
        if (place.x1 <= bounds.x0 || place.x0 >= bounds.x1 || place.y1 <= bounds.y0 || place.y0 >= bounds.y1) continue;
        tiles.push(tile);
      }
      const allowed = maxError(this.precision, state.window, this.layout.rgb);
      tiles.sort((a, b) => order(a, level, allowed) - order(b, level, allowed) || a.error - b.error);
      const drawn = tiles.map((tile): DrawnTile => {
        const [, , height, width] = tile.place.region;
        return { slot: tile.slot!, ...tile.place, height, width };
      });
      return { tiles: [...drawn, ...this.fill(bounds, level, c)], colour: rgb(state.color), limits: state.window };
    });
  }

  /** Zeros, behind everything, where a shard does not exist or ends early. */
  private fill(bounds: Bounds, level: number, channel: number): DrawnTile[] {
    const { layout } = this;
    const isFill = this.loader
      .parts()
      .some(({ ref, channel: c }) => c === channel && this.loader.isAbsent(ref.key) && level >= 0);
    if (!isFill) return [];
    if (!this.zeroSlot) {
      this.zeroSlot = this.renderer.textures.allocate();
      if (!this.zeroSlot) return [];
      const zeros = new SAMPLES[layout.dtype](layout.rgb ? 4 : 1);
      this.renderer.textures.upload(this.zeroSlot, zeros, 1, 1);
    }
    return [
      {
        slot: this.zeroSlot,
        x0: Math.max(0, bounds.x0),
        y0: Math.max(0, bounds.y0),
        x1: Math.min(layout.width, bounds.x1),
        y1: Math.min(layout.height, bounds.y1),
        step: 2,
        originX: 0,
        originY: 0,
        width: 1,
        height: 1,
      },
    ];
  }

  /** The same message once is enough. */
  private report(error: ViewerError): void {
    if (this.destroyed || this.reported.has(error.message)) return;
    this.reported.add(error.message);
    this.emit("error", error);
  }
}

type SamplesConstructor = new (length: number) => Samples;
const SAMPLES: Record<Dtype, SamplesConstructor> = {
  uint8: Uint8Array,
  uint16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
};

/**
 * Place of a tile in the drawing order, front first: the level that fits the screen once it is good enough, finer
 * ones (seen before, when zoomed in), the fitting one while it is not yet good, then ever coarser ones.
 */
function order(tile: DisplayTile, level: number, allowed: number): number {
  const above = tile.imageLevel - level;
  if (above === 0) return tile.error <= allowed ? 0 : 1000;
  return above < 0 ? -above : 1000 + above;
}

/** Whether the object is the same as when it was fetched before. */
function sameShard(a: LoadedShard, b: LoadedShard): boolean {
  const [x, y] = [a.index, b.index];
  return x.size === y.size && x.raw.length === y.raw.length && x.raw.every((byte, i) => byte === y.raw[i]);
}

function sameCamera(a: Camera, b: Camera): boolean {
  return a.x === b.x && a.y === b.y && a.scale === b.scale && a.rotation === b.rotation && a.flipped === b.flipped;
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}

/** Light of "#rrggbb" in 0..1. */
function rgb(color: string): [number, number, number] {
  const value = Number.parseInt(color.slice(1), 16);
  return [(value >> 16) / 255, ((value >> 8) & 255) / 255, (value & 255) / 255];
}

function union(layout: ImageLayout, field: "window" | "limits"): [number, number] {
  const pairs = layout.channels.map((channel) => channel[field]);
  return [Math.min(...pairs.map(([low]) => low)), Math.max(...pairs.map(([, high]) => high))];
}
