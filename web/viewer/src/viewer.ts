/** The viewer as a page or a script uses it. */
import { type Codec, loadCodec } from "@firstlight/codecs";
import { type ChannelState, type ReadPixels, type Shown, ViewerCore } from "./core/core.ts";
import { Emitter } from "./core/events.ts";
import { asError, ViewerError } from "./data/errors.ts";
import { Fetcher } from "./data/fetch.ts";
import { OsdHost } from "./osd/host.ts";
import { ImageLayout, METADATA_KEY } from "./plan/layout.ts";
import type { Precision } from "./plan/plan.ts";
import { buildPage, showError } from "./ui/page.ts";

export interface ViewerOptions {
  /** Address of the image's folder; relative ones from the page. */
  src: string;
  /** How bytes are fetched: "ranges" of the stored objects, from any static host. */
  mode?: "ranges";
  /** The image's root zarr.json, when the page has it already. */
  metadata?: unknown;
  /** Buttons, channel panel, status line and navigator. */
  ui?: boolean;
  /** Address of the page that lists all images. */
  catalogue?: string;
}

/** What is looked at: the image pixel at the centre, and CSS pixels per image pixel. */
export interface ViewState {
  x: number;
  y: number;
  scale: number;
  z: number;
  t: number;
}

export interface ViewerEvents {
  /** A part of the picture is better than before. */
  refine: Shown;
  /** All that was asked for is there and drawn. */
  settled: Shown;
  error: ViewerError;
  /** View, channels or precision were set. */
  change: undefined;
}

let codec: Promise<Codec> | undefined;

/** The codec of all viewers of the page. It finds kernels.wasm and worker.js beside the bundle. */
function loadPageCodec(): Promise<Codec> {
  codec ??= loadCodec().catch((error) => {
    throw new ViewerError("server", asError(error).message, "", { cause: error });
  });
  return codec;
}

/** The page itself is mostly idle; more than four workers wait for the network. */
function workerCount(): number {
  return Math.max(1, Math.min(4, navigator.hardwareConcurrency || 2));
}

export class Viewer extends Emitter<ViewerEvents> {
  /** Resolves when the image is open and can be moved; rejects with a ViewerError when it can't be shown. */
  readonly ready: Promise<void>;
  core!: ViewerCore;
  host!: OsdHost;

  private readonly fetcher = new Fetcher({ retries: 2 });
  private readonly root: HTMLElement;
  private destroyed = false;

  constructor(
    element: HTMLElement,
    readonly options: ViewerOptions,
  ) {
    super();
    this.root = document.createElement("div");
    this.root.className = "fl-viewer";
    element.append(this.root);
    this.ready = this.open().catch((error) => {
      const failure =
        error instanceof ViewerError
          ? error
          : new ViewerError("unsupported", asError(error).message, "", { cause: error });
      if (!this.destroyed) {
        showError(this.root, failure, () => location.reload());
        this.emit("error", failure);
      }
      throw failure;
    });
    // Who does not wait for `ready` hears of it by the event.
    this.ready.catch(() => {});
  }

  /** Move: the image pixel at the centre, CSS pixels per image pixel, plane. What is left out stays. */
  setView({ x, y, scale, z, t }: Partial<ViewState>): void {
    if (z !== undefined || t !== undefined) this.core.setPlane(z ?? this.core.z, t ?? this.core.t);
    if (x !== undefined || y !== undefined || scale !== undefined)
      this.host.setCamera({ ...(x !== undefined && { x }), ...(y !== undefined && { y }), ...(scale && { scale }) });
    this.emit("change", undefined);
  }

  /** Change how channels are shown, each by its place; undefined, or what is left out of one, stays. */
  setChannels(changes: readonly (Partial<ChannelState> | undefined)[]): void {
    this.core.setChannels(changes);
    this.emit("change", undefined);
  }

  setPrecision(precision: Precision): void {
    this.core.setPrecision(precision);
    this.emit("change", undefined);
  }

  getState(): ViewState & { precision: Precision; channels: ChannelState[] } {
    const { core, host } = this;
    return {
      ...host.camera,
      z: core.z,
      t: core.t,
      precision: core.precision,
      channels: core.channels.map((channel) => ({ ...channel })),
    };
  }

  stats(): ReturnType<ViewerCore["stats"]> {
    return this.core.stats();
  }

  /** The visible region's samples as they are known now, at the level that is looked at. */
  readPixels(): Promise<ReadPixels> {
    return this.core.readPixels();
  }

  /** Try again what could not be fetched. */
  retry(): void {
    this.core.retry();
  }

  destroy(): void {
    this.destroyed = true;
    this.host?.destroy();
    this.core?.destroy();
    this.root.remove();
  }

  private async open(): Promise<void> {
    const base = new URL(this.options.src, location.href);
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    const url = (key: string) => {
      const address = new URL(key, base);
      address.search = base.search;
      return address.href;
    };
    const loading = loadPageCodec();
    loading.catch(() => {});
    const layout = await this.layout(url(METADATA_KEY));
    const thumbnail = await this.showThumbnail(layout.thumbnail);
    const codec = await loading;
    if (this.destroyed) return;
    document.title ||= layout.name;
    const canvas = document.createElement("canvas");
    const stage = document.createElement("div");
    stage.className = "fl-stage";
    this.root.append(stage);
    const core = new ViewerCore({
      layout,
      url,
      canvas,
      fetcher: this.fetcher,
      codec,
      workers: workerCount(),
      invalidate: () => this.host?.invalidate(),
    });
    this.core = core;
    core.on("refine", (event) => this.emit("refine", event));
    core.on("settled", (event) => this.emit("settled", event));
    core.on("error", (error) => this.emit("error", error));
    if (thumbnail) core.setThumbnail(thumbnail);
    // A frame before the canvas is on the page: it must not come up empty. It also starts loading.
    const density = devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(stage.clientWidth * density));
    canvas.height = Math.max(1, Math.round(stage.clientHeight * density));
    const scale = Math.min(canvas.width / layout.width, canvas.height / layout.height);
    core.setCamera({ x: layout.width / 2, y: layout.height / 2, scale, rotation: 0, flipped: false });
    core.draw();
    const ui = this.options.ui ?? true;
    this.host = new OsdHost(core, { element: stage, canvas, navigator: ui });
    await this.host.opened();
    this.host.invalidate();
    if (ui && !this.destroyed) buildPage(this.root, this, this.options.catalogue);
  }

  private async layout(address: string): Promise<ImageLayout> {
    let document = this.options.metadata;
    if (document === undefined) {
      const data = await this.fetcher.object(address);
      if (!data) throw new ViewerError("missing", `${address}: there is no such file`, address);
      try {
        document = JSON.parse(new TextDecoder().decode(data));
      } catch (error) {
        throw new ViewerError("unsupported", `${address}: JSON expected, found something else`, address, {
          cause: error,
        });
      }
    }
    try {
      return ImageLayout.fromJson(document, address);
    } catch (error) {
      throw new ViewerError("unsupported", asError(error).message, address, { cause: error });
    }
  }

  /** Put the tiny picture of the metadata on the page, where the whole image will be; null when there is none. */
  private async showThumbnail(address: string | null): Promise<HTMLImageElement | null> {
    if (!address) return null;
    const image = document.createElement("img");
    image.className = "fl-thumbnail";
    image.alt = "";
    image.src = address;
    try {
      await image.decode();
    } catch {
      return null; // It is only there to be quick.
    }
    this.root.prepend(image);
    void this.ready.then(
      () => image.remove(),
      () => image.remove(),
    );
    return image;
  }
}

/** Show an image inside an element. */
export function createViewer(element: HTMLElement, options: ViewerOptions): Viewer {
  return new Viewer(element, options);
}
