/**
 * The viewer without a user interface: from what is looked at to pixels on a canvas.
 *
 * It tells the loader what to fetch, has the workers decode what has improved, keeps the pictures as textures, and
 * draws the best there is. It does not know who moves the camera (osd/host.ts does in the page).
 *
 * Invariants:
 *  - a pixel never gets worse while one looks at it: a texture is replaced by a better one in place, and what is
 *    drawn on top has the smaller error;
 *  - a plane (z, t) is shown from when its overview is there in all visible channels: until then the one before
 *    stays, at the start the thumbnail. So nothing goes blank, and the first picture has all its channels.
 */
import type { Codec, Dtype, Region, Samples } from "@firstlight/codecs";
import { ViewerError } from "../data/errors.ts";
import type { Fetcher } from "../data/fetch.ts";
import { Loader } from "../data/loader.ts";
import { type Camera, type DrawnChannel, type DrawnTile, Renderer } from "../gl/renderer.ts";
import type { Slot } from "../gl/textures.ts";
import { levelForZoom } from "../plan/geometry.ts";
import { DTYPE_LIMITS, type ImageLayout } from "../plan/layout.ts";
import { EXACT, fitRegion, type Precision, type Tolerance, toleranceOf, viewParts } from "../plan/plan.ts";
import { type Bounds, regionAt, visibleBounds } from "./camera.ts";
import { Emitter } from "./events.ts";
import { type FullView, Pictures, type Target } from "./pictures.ts";

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

/** How good something on the canvas is. */
export interface Shown {
  /** No sample is off by more, in data units. */
  error: number;
  /** Root-mean-square error to expect, in data units. */
  rms: number;
  level: number;
}

export interface CoreEvents {
  /** Something on the canvas is better than before. */
  refine: Shown;
  /** All that was asked for is there and drawn. */
  settled: Shown;
  /** The whole image looks different, or better. */
  overview: undefined;
  error: ViewerError;
  /** What the status line shows has changed. */
  status: undefined;
}

export interface CoreOptions {
  layout: ImageLayout;
  url(key: string): string;
  canvas: HTMLCanvasElement;
  fetcher: Fetcher;
  codec: Codec;
  workers: number;
  /** Call `draw` soon. */
  invalidate(): void;
  textureBytes?: number;
  segmentBytes?: number;
  cacheBytes?: number;
}

const NOTHING: Shown = { error: Number.POSITIVE_INFINITY, rms: Number.POSITIVE_INFINITY, level: -1 };
const LOOK_INTERVAL_MS = 60;
const OVERVIEW_SIDE = 256;
const TEXTURE_BYTES = 256 << 20;
/** How much larger than the screen's pixels a level's samples may be: the next finer level has four times the bytes. */
const MAGNIFICATION: Record<Precision, number> = { exact: 1, visual: 1.1, fast: 1.5 };
/** Samples of a whole level at a time that `readPixels` may return. */
const READ_LIMIT = 64 << 20;

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
  private readonly pictures: Pictures;
  /** Where the camera is, and where it is going: drawn is the one, loaded the other. */
  private camera: Camera;
  private goal: Camera;
  private view: FullView | null = null;
  /** The plane on the canvas: "t/z"; "" while there is only the thumbnail. */
  private shownPlane = "";
  private thumbnail: TexImageSource | null = null;
  private zeroSlot: Slot | null = null;
  private lookTimer: ReturnType<typeof setTimeout> | undefined;
  private lastLook = 0;
  private tickQueued = false;
  /** Nothing is left to fetch or to decode for the view. */
  private complete = false;
  /** And a frame with all of it was drawn. */
  private settled = false;
  private shown: Shown = NOTHING;
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
      codec: options.codec,
      workers: options.workers,
      cacheBytes: options.cacheBytes ?? 384 << 20,
      segmentBytes: options.segmentBytes ?? 256 << 20,
      concurrency: 6,
      onChange: () => this.queueTick(),
      onRestart: (key) => {
        this.pictures.forget(key);
        this.queueTick();
      },
      onError: (error) => this.report(error),
    });
    this.pictures = new Pictures(
      {
        layout,
        loader: this.loader,
        workers: options.workers,
        onShown: ({ error, mse, level }) => {
          this.options.invalidate();
          this.emit("refine", this.shownAt(error, mse, level));
          if (level >= this.overviewLevel) this.emit("overview", undefined);
        },
        onChange: () => this.queueTick(),
        onError: (error) => this.report(error),
      },
      this.renderer,
    );
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
    this.emit("overview", undefined);
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
      rms: this.shown.rms,
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
    const { data } = await this.read({ ...this.view, channels: [channel], tolerance: EXACT });
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
  overview(width: number, height: number): Promise<Uint8ClampedArray<ArrayBuffer>> {
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
    this.pictures.destroy();
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
    const overview = this.overviewView(channels);
    // A plane that is not on the canvas yet: first something of everything, from one object or few.
    if (this.shownPlane === planeOf(this.view)) this.loader.look(this.view, [overview]);
    else this.loader.look(overview, [this.view]);
    this.queueTick();
  }

  private levelAt(scale: number): number {
    return levelForZoom(scale / MAGNIFICATION[this.precision], this.levels);
  }

  private makeView(region: Region, level: number, channels: readonly number[], coarse: boolean): FullView {
    const precision = coarse ? "visual" : this.precision;
    return {
      region,
      level,
      t: this.t,
      z: this.z,
      channels,
      tolerance: channels.map((c) => this.tolerance(c, precision)),
    };
  }

  private tolerance(channel: number, precision: Precision): Tolerance {
    return toleranceOf(precision, this.channels[channel]!.window, this.layout.dtype, this.layout.rgb);
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
    const targets = [
      ...this.pictures.targets(view, false),
      ...this.pictures.targets(this.overviewView(view.channels), true),
    ];
    const { error, mse, busy } = this.pictures.update(targets);
    const unknown = viewParts(this.layout, view).some(
      ({ ref }) => !this.loader.shard(ref.key) && !this.loader.isAbsent(ref.key),
    );
    this.shown = unknown ? { ...NOTHING, level: view.level } : this.shownAt(error, mse, view.level);
    // What could not be fetched is not waited for: the session has given it up.
    this.complete = this.loader.session.idle && this.loader.pending === 0 && !busy && this.lookTimer === undefined;
    if (this.showPlane(view, targets)) this.look();
    if (this.complete && !this.settled) this.options.invalidate();
    this.emit("status", undefined);
  }

  /** Pictures are clipped to the data type: early bounds may be wider than that. */
  private shownAt(error: number, mse: number, level: number): Shown {
    const [least, greatest] = DTYPE_LIMITS[this.layout.dtype];
    const most = Number.isFinite(error) ? Math.min(error, greatest - least) : error;
    return { error: most, rms: Math.min(Math.sqrt(mse), most), level };
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
    this.pictures.reset(this.renderer);
    this.queueTick();
  }

  // ---- drawing -----------------------------------------------------------------------------------------------------

  /** Let the wanted plane replace the shown one when there is something of it everywhere; whether it did. */
  private showPlane(view: FullView, targets: Target[]): boolean {
    const plane = planeOf(view);
    if (plane === this.shownPlane) return false;
    const overview = targets.filter((target) => target.overview);
    const channels = new Set(overview.filter((t) => this.pictures.hasPicture(t)).map((t) => t.part.channel));
    const ready = channels.size === view.channels.length && overview.every((t) => this.pictures.hasPicture(t));
    if (!ready && !this.complete) return false;
    this.shownPlane = plane;
    this.pictures.pinPlane(plane);
    this.options.invalidate();
    this.emit("overview", undefined);
    return true;
  }

  /** What to draw, channel by channel, front to back. */
  private drawn(bounds: Bounds, level: number): DrawnChannel[] {
    return this.visibleChannels.map((c) => {
      const state = this.channels[c]!;
      const plane = `${this.shownPlane}/${c}`;
      const drawn = this.pictures.drawn(plane, bounds, level, this.tolerance(c, this.precision));
      return { tiles: [...drawn, ...this.fill(bounds, c)], colour: rgb(state.color), limits: state.window };
    });
  }

  /** Zeros, behind everything, where a shard does not exist or ends early. */
  private fill(bounds: Bounds, channel: number): DrawnTile[] {
    const { layout } = this;
    const parts = this.view ? viewParts(layout, { ...this.view, channels: [channel], tolerance: EXACT }) : [];
    const isFill = parts.some(({ ref }) => this.loader.isAbsent(ref.key));
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

function planeOf(view: FullView): string {
  return `${view.t}/${view.z}`;
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
