import { type Level, ShardIndex } from "@firstlight/codecs";
import { ShardProgress } from "./progress.ts";

/** A shard of 64 x 64 samples: level 1 is one tile and one layer, level 0 has 2 x 2 tiles and 2 layers. */
function shard(lengths: (segment: number) => number): ShardIndex {
  const level = (size: number, tiles: number, layers: number, firstSegments: number[], errors: number[]): Level => ({
    width: size,
    height: size,
    tile: 32,
    tilesX: tiles,
    tilesY: tiles,
    layers,
    firstTile: firstSegments[0]!,
    firstSegments,
    errors,
    mse: errors.map((error) => error / 10),
  });
  const offsets = new Uint32Array(10);
  for (let s = 0; s < 9; s++) offsets[s + 1] = offsets[s]! + lengths(s);
  return new ShardIndex({
    version: 0,
    codec: "wavelet",
    width: 64,
    height: 64,
    components: 1,
    dtype: "uint8",
    colour: "none",
    transform: "5/3",
    levels: [level(64, 2, 2, [1, 5], [50, 20, 0]), level(32, 1, 1, [0, 5], [100, 0])],
    margin: 2,
    groups: [0, 1],
    parts: [0, 0],
    headSize: 0,
    offsets,
    raw: new Uint8Array(0),
    values: new Uint8Array(0),
  });
}

describe("progress", () => {
  it("knows what a picture would be", () => {
    const progress = new ShardProgress(shard(() => 10));
    expect(progress.quality(0, [0, 0, 64, 64])).toEqual({ layers: 0, ready: false, error: 150, mse: 15 });
    progress.add([0]);
    expect(progress.quality(1, [0, 0, 32, 32])).toEqual({ layers: 1, ready: true, error: 0, mse: 0 });
    // The first tile alone is enough for its own corner, if the margin does not reach further.
    progress.add([1]);
    expect(progress.quality(0, [0, 0, 20, 20])).toEqual({ layers: 2, ready: true, error: 20, mse: 2 });
    expect(progress.quality(0, [0, 0, 31, 31]).ready).toBe(false);
    progress.add([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(progress.quality(0, [0, 0, 64, 64])).toEqual({ layers: 9, ready: true, error: 0, mse: 0 });
  });

  it("counts empty segments as there, and layers only in order", () => {
    const progress = new ShardProgress(shard((s) => (s === 1 ? 0 : 10)));
    expect(progress.layers(0, 0, 0)).toBe(1);
    progress.add([6]);
    expect(progress.layers(0, 0, 1)).toBe(0);
    progress.add([2]);
    expect(progress.layers(0, 0, 1)).toBe(2);
  });

  it("does not take a tile of which nothing has come for one with a picture", () => {
    // Nothing in the first layer of the first tile, nothing at all in the second.
    const progress = new ShardProgress(shard((s) => ([1, 2, 6].includes(s) ? 0 : 10)));
    progress.add([0]);
    expect(progress.quality(0, [0, 0, 20, 20])).toMatchObject({ layers: 2, ready: false });
    expect(progress.quality(0, [0, 40, 20, 20])).toMatchObject({ layers: 3, ready: true });
    progress.add([5]);
    expect(progress.quality(0, [0, 0, 20, 20])).toMatchObject({ layers: 3, ready: true });
  });

  it("notices losses", () => {
    const progress = new ShardProgress(shard(() => 10));
    progress.add([0, 1, 5]);
    const { stamp } = progress;
    progress.remove([1]);
    expect(progress.layers(0, 0, 0)).toBe(0);
    expect(progress.stamp).toBeGreaterThan(stamp);
    expect(progress.losses).toBe(1);
  });
});
