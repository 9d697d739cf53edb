import { regionAt, visibleBounds } from "./camera.ts";
import { TILE, tilePlace, tilesUnder } from "./tiles.ts";

const image = { height: 3000, width: 5000 };

describe("display tiles", () => {
  it("lie where their samples do", () => {
    // Second shard of 2048 samples along x, its level 1 (1024 samples): image level 1 = 2 pixels a sample.
    const place = tilePlace({ baseLevel: 0, y: 0, x: 2048 }, 1, 0, 1, [1024, 1024], image);
    expect(place.region).toEqual([0, TILE - 1, TILE + 1, TILE + 2]);
    expect([place.x0, place.x1]).toEqual([2048 + 2 * TILE, 2048 + 4 * TILE]);
    // Texel 0 is sample 1024 + 255 of level 1, which sits on pixel 2 * that: its middle is half a pixel further.
    const middle = place.originX + 0.5 * place.step;
    expect(middle).toBe(2 * (1024 + TILE - 1) + 0.5);
  });

  it("cover the image without gaps, whatever its size", () => {
    for (const n of [1, 255, 256, 257, 2967])
      for (let level = 0; level < 4; level++) {
        const size = Math.ceil(n / 2 ** level);
        let end = 0;
        for (const [, tileX] of tilesUnder([0, 0, 1, size])) {
          const place = tilePlace({ baseLevel: 0, y: 0, x: 0 }, level, 0, tileX, [1, size], { height: 1, width: n });
          expect(place.x0).toBe(end);
          end = place.x1;
          const [, x, , width] = place.region;
          expect(x).toBeGreaterThanOrEqual(0);
          expect(x + width).toBeLessThanOrEqual(size);
        }
        expect(end).toBe(n);
      }
  });

  it("are found under a region", () => {
    expect(tilesUnder([250, 0, 10, 256])).toEqual([
      [0, 0],
      [1, 0],
    ]);
  });
});

describe("camera", () => {
  const camera = { x: 100, y: 50, scale: 2, rotation: 0, flipped: false };

  it("sees the rectangle around its point", () => {
    expect(visibleBounds(camera, 80, 40)).toEqual({ y0: 40, x0: 80, y1: 60, x1: 120 });
    const turned = visibleBounds({ ...camera, rotation: 90 }, 80, 40);
    expect(turned.x0).toBeCloseTo(90);
    expect(turned.y0).toBeCloseTo(30);
  });

  it("asks for the samples under it, inside the level only", () => {
    expect(regionAt({ y0: -9, x0: 3.5, y1: 10.2, x1: 99 }, 0, [20, 50])).toEqual([0, 3, 11, 47]);
    expect(regionAt({ y0: 0, x0: 0, y1: 16, x1: 16 }, 2, [20, 50])).toEqual([0, 0, 5, 5]);
    expect(regionAt({ y0: 30, x0: 0, y1: 40, x1: 10 }, 0, [20, 50])).toBeNull();
  });
});
