/**
 * Which segments of a shard a decoder holds, and what pictures they give. Pure.
 *
 * Invariant: mirrors what was sent to the shard's decode worker; so a picture that is asked for now has at least the
 * quality that is computed here.
 */
import type { Region, ShardIndex } from "@firstlight/codecs";

export class ShardProgress {
  /** Grows with every change: what was computed from the progress is valid while this stays. */
  stamp = 0;
  /** Grows when something is taken away: a picture that was asked for before may lack it. */
  losses = 0;
  private readonly held: Uint8Array;

  constructor(readonly index: ShardIndex) {
    this.held = new Uint8Array(index.segments);
    for (let segment = 0; segment < index.segments; segment++) if (index.length(segment) === 0) this.held[segment] = 1;
  }

  has(segment: number): boolean {
    return this.held[segment] === 1;
  }

  add(segments: Iterable<number>): void {
    for (const segment of segments) this.held[segment] = 1;
    this.stamp++;
  }

  remove(segments: Iterable<number>): void {
    for (const segment of segments) this.held[segment] = 0;
    this.stamp++;
    this.losses++;
  }

  /** Complete layers of a tile, all components, from the first on. */
  layers(level: number, tileY: number, tileX: number): number {
    const { index, held } = this;
    const { layers } = index.levels[level]!;
    for (let layer = 0; layer < layers; layer++) {
      const first = index.segment(level, layer, tileY, tileX, 0);
      for (let c = 0; c < index.components; c++) if (held[first + c] === 0) return layer;
    }
    return layers;
  }

  /**
   * What decoding a region of a level would give now.
   *
   * @returns `layers`: of all its tiles together, so it grows with every refinement; `ready`: every tile that it needs
   * has a first layer; `error`: the bound on |error|, in data units.
   */
  quality(level: number, region: Region): { layers: number; ready: boolean; error: number } {
    const { index } = this;
    let sum = 0;
    let error = 0;
    let ready = true;
    for (let j = level; j < index.levels.length; j++) {
      const { y0, x0, y1, x1 } = index.tiles(j, level, region);
      const { layers, errors } = index.levels[j]!;
      let least = layers;
      for (let y = y0; y < y1; y++)
        for (let x = x0; x < x1; x++) {
          const n = this.layers(j, y, x);
          sum += n;
          if (n < least) least = n;
        }
      error += errors[least]!;
      if (least === 0) ready = false;
    }
    return { layers: sum, ready, error };
  }
}
