/**
 * OpenSeadragon moves the camera; the core loads and draws.
 *
 * OpenSeadragon gets a source with one empty tile, which it "downloads" at once, and a drawer that ignores tiles and
 * asks the core for a frame. Its gestures, keyboard, constraints, navigator, overlays and plugins work as with any source.
 */
import OpenSeadragon from "openseadragon";
import type { ViewerCore } from "../core/core.ts";
import type { Camera } from "../gl/renderer.ts";

/** A drawer as OpenSeadragon calls it; its types leave out what subclasses must provide. */
abstract class OwnDrawer extends OpenSeadragon.DrawerBase {
  abstract _createDrawingElement(): HTMLCanvasElement;
  abstract draw(): void;

  static override isSupported(): boolean {
    return true;
  }

  override getSupportedDataFormats(): string[] {
    return ["firstlight"];
  }

  override canRotate(): boolean {
    return true;
  }

  override setImageSmoothingEnabled(): void {}

  override drawDebuggingRect(): void {}

  // OpenSeadragon insists that every drawer has its own.
  override destroy(): void {
    super.destroy();
  }

  minimumOverlapRequired(): boolean {
    return false;
  }
}

function tileSource(width: number, height: number): OpenSeadragon.TileSource {
  const source = new OpenSeadragon.TileSource({
    width,
    height,
    tileSize: Math.max(width, height),
    minLevel: 0,
    maxLevel: 0,
  });
  Object.assign(source, {
    getTileUrl: () => "firstlight:",
    downloadTileStart: (job: { finish(data: unknown, request: null, type: string): void }) =>
      job.finish({}, null, "firstlight"),
    downloadTileAbort: () => {},
    hasTransparency: () => false,
    getLevelScale: () => 1,
  });
  return source;
}

export interface HostOptions {
  element: HTMLElement;
  canvas: HTMLCanvasElement;
  navigator: boolean;
}

const OVERVIEW_SIDE = 180;
const OVERVIEW_INTERVAL_MS = 400;

export class OsdHost {
  readonly viewer: OpenSeadragon.Viewer;
  private readonly core: ViewerCore;
  private readonly stopOverview: () => void;
  private overviewCanvas: HTMLCanvasElement | null = null;
  private overviewTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(core: ViewerCore, { element, canvas, navigator }: HostOptions) {
    this.core = core;
    const { width, height } = core.layout;
    const host = this;
    class CoreDrawer extends OwnDrawer {
      override getType(): string {
        return "firstlight";
      }
      override _createDrawingElement(): HTMLCanvasElement {
        return canvas;
      }
      override draw(): void {
        host.draw();
      }
    }
    class NavigatorDrawer extends OwnDrawer {
      override getType(): string {
        return "firstlight-navigator";
      }
      override _createDrawingElement(): HTMLCanvasElement {
        const longest = Math.max(width, height);
        host.overviewCanvas = document.createElement("canvas");
        host.overviewCanvas.width = Math.max(1, Math.round((OVERVIEW_SIDE * width) / longest));
        host.overviewCanvas.height = Math.max(1, Math.round((OVERVIEW_SIDE * height) / longest));
        return host.overviewCanvas;
      }
      override draw(): void {}
    }
    this.viewer = OpenSeadragon({
      element,
      drawer: CoreDrawer as unknown as OpenSeadragon.DrawerConstructor,
      ...(navigator && {
        showNavigator: true,
        navigatorPosition: "BOTTOM_RIGHT",
        navigatorDrawer: NavigatorDrawer as unknown as OpenSeadragon.DrawerConstructor,
        navigatorBackground: "#000",
        navigatorBorderColor: "transparent",
        navigatorDisplayRegionColor: "#f4f6f8",
        navigatorSizeRatio: 0.16,
        navigatorOpacity: 1,
        navigatorAutoFade: false,
        navigatorRotate: false,
      }),
      showNavigationControl: false,
      tileSources: [tileSource(width, height)] as unknown as string[],
      minZoomImageRatio: 0.6,
      maxZoomPixelRatio: 40,
      visibilityRatio: 0.3,
      animationTime: 0.35,
      springStiffness: 9,
      zoomPerScroll: 1.35,
      pixelsPerArrowPress: 60,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    } as OpenSeadragon.Options);
    this.stopOverview = core.on("overview", () => this.invalidateOverview());
    this.invalidateOverview();
    this.viewer.addHandler("rotate", () => this.invalidate());
    this.viewer.addHandler("flip", () => this.invalidate());
  }

  /** Resolves when OpenSeadragon shows its (empty) image, so the camera can be moved. */
  opened(): Promise<void> {
    return new Promise((resolve) => {
      if (this.viewer.isOpen()) resolve();
      else this.viewer.addOnceHandler("open", () => resolve());
    });
  }

  invalidate(): void {
    if (this.viewer.isOpen()) this.viewer.forceRedraw();
  }

  /** CSS pixels per image pixel, and the image pixel at the centre. */
  get camera(): { x: number; y: number; scale: number } {
    const { x, y, scale } = this.cameraAt(false, 1);
    return { x, y, scale };
  }

  /** Move at once, without animation. */
  setCamera({ x, y, scale }: { x?: number; y?: number; scale?: number }): void {
    const { viewport } = this.viewer;
    const now = this.camera;
    const { width } = this.core.layout;
    viewport.zoomTo(((scale ?? now.scale) * width) / viewport.getContainerSize().x, undefined, true);
    viewport.panTo(new OpenSeadragon.Point((x ?? now.x) / width, (y ?? now.y) / width), true);
    this.track();
  }

  destroy(): void {
    this.stopOverview();
    clearTimeout(this.overviewTimer);
    this.overviewCanvas = null;
    this.viewer.destroy();
  }

  /** The navigator's picture is out of date. */
  private invalidateOverview(): void {
    const canvas = this.overviewCanvas;
    if (this.overviewTimer !== undefined || !canvas) return;
    this.overviewTimer = setTimeout(async () => {
      this.overviewTimer = undefined;
      const pixels = await this.core.overview(canvas.width, canvas.height);
      canvas.getContext("2d")?.putImageData(new ImageData(pixels, canvas.width, canvas.height), 0, 0);
    }, OVERVIEW_INTERVAL_MS);
  }

  private cameraAt(current: boolean, density: number): Camera {
    const { viewport } = this.viewer;
    const { width } = this.core.layout;
    const centre = viewport.getCenter(current);
    return {
      x: centre.x * width,
      y: centre.y * width,
      scale: (viewport.getZoom(current) * viewport.getContainerSize().x * density) / width,
      rotation: viewport.getRotation(current),
      flipped: viewport.getFlip(),
    };
  }

  /** Tell the core where the camera is and will be. */
  private track(): void {
    const density = OpenSeadragon.pixelDensityRatio;
    const size = this.viewer.viewport.getContainerSize();
    const { canvas } = this.core.renderer;
    const width = Math.max(1, Math.round(size.x * density));
    const height = Math.max(1, Math.round(size.y * density));
    const resized = canvas.width !== width || canvas.height !== height;
    if (resized) {
      canvas.width = width;
      canvas.height = height;
    }
    this.core.setCamera(this.cameraAt(true, density), this.cameraAt(false, density), resized);
  }

  private draw(): void {
    if (!this.viewer.isOpen()) return;
    this.track();
    this.core.draw();
  }
}
