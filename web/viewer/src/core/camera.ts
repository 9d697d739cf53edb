/** From a camera to what it sees. Pure. */
import type { Region } from "@firstlight/codecs";
import type { Camera } from "../gl/renderer.ts";

export interface Bounds {
  y0: number;
  x0: number;
  y1: number;
  x1: number;
}

/** Image pixels that a canvas of width x height device pixels shows; the least upright rectangle when it is turned. */
export function visibleBounds(camera: Camera, width: number, height: number): Bounds {
  const angle = (camera.rotation * Math.PI) / 180;
  const [cos, sin] = [Math.abs(Math.cos(angle)), Math.abs(Math.sin(angle))];
  const halfWidth = (width * cos + height * sin) / 2 / camera.scale;
  const halfHeight = (width * sin + height * cos) / 2 / camera.scale;
  return {
    y0: camera.y - halfHeight,
    x0: camera.x - halfWidth,
    y1: camera.y + halfHeight,
    x1: camera.x + halfWidth,
  };
}

/** The samples of a level that lie under bounds, clipped to the level's height x width; null when there are none. */
export function regionAt(
  bounds: Bounds,
  level: number,
  [levelHeight, levelWidth]: readonly [number, number],
): Region | null {
  const step = 2 ** level;
  // Sample i sits at (i + 0.5) - (step - 1) / 2 / step steps: one more on either side for interpolation.
  const y0 = Math.max(0, Math.floor(bounds.y0 / step));
  const x0 = Math.max(0, Math.floor(bounds.x0 / step));
  const y1 = Math.min(levelHeight, Math.ceil(bounds.y1 / step + (level > 0 ? 1 : 0)));
  const x1 = Math.min(levelWidth, Math.ceil(bounds.x1 / step + (level > 0 ? 1 : 0)));
  return y1 > y0 && x1 > x0 ? [y0, x0, y1 - y0, x1 - x0] : null;
}
