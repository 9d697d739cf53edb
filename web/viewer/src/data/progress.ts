/**
 * Which segments of a shard a decoder holds, and what pictures they give. Pure.
 *
 * Invariant: mirrors what was sent to the shard's decode worker; so a picture that is asked for now has at least the
 * quality that is computed here.
 */
import type { Region, ShardIndex } from "@firstlight/codecs";

/** What decoding a region of a level would give. */
export interface Quality {
  /** Of all its tiles together, so it grows with every refinement. */
  layers: number;
  /** Something has come of every tile that it needs, or there is nothing to come. */
  ready: boolean;
  /** Bound on |error|, in data units. */
  error: number;
  /** Mean squared error to expect, in squared data units. */
  mse: number;
}

export class ShardProgress {
  /** Grows with every change: what was computed from the progress is valid while this stays. */
  stamp = 0;
  /** Grows when something is taken away: a picture that was asked for before may lack it. */
  losses = 0;
  private readonly held: Uint8Array;
  /** Complete layers of every tile, levels coarse to fine; and before anything has come: of empty segments. */
  private readonly complete: Uint8Array;
  private readonly initial: Uint8Array;

  constructor(readonly index: ShardIndex) {
    this.held = new Uint8Array(index.segments);
    for (let segment = 0; segment < index.segments; segment++) if (index.length(segment) === 0) this.held[segment] = 1;
    const last = index.levels[0]!;
    this.complete = new Uint8Array(last.firstTile + last.tilesX * last.tilesY);
    for (const [level, { tilesX, tilesY }] of index.levels.entries())
      for (let y = 0; y < tilesY; y++) for (let x = 0; x < tilesX; x++) this.count(level, y, x);
    this.initial = this.complete.slice();
  }

  has(segment: number): boolean {
    return this.held[segment] === 1;
  }

  add(segments: Iterable<number>): void {
    for (const segment of segments) {
      this.held[segment] = 1;
      const { level, tileY, tileX } = this.index.locate(segment);
      this.count(level, tileY, tileX);
    }
    this.stamp++;
  }

  remove(segments: Iterable<number>): void {
    for (const segment of segments) {
      this.held[segment] = 0;
      const { level, layer, tileY, tileX } = this.index.locate(segment);
      const tile = this.tile(level, tileY, tileX);
      this.complete[tile] = Math.min(this.complete[tile]!, layer);
    }
    this.stamp++;
    this.losses++;
  }

  /** Complete layers of a tile, from the first on. */
  layers(level: number, tileY: number, tileX: number): number {
    return this.complete[this.tile(level, tileY, tileX)]!;
  }

  /** What decoding a region of a level would give now. */
  quality(level: number, region: Region): Quality {
    const { index } = this;
    const quality = { layers: 0, ready: true, error: 0, mse: 0 };
    for (let j = index.levels.length - 1; j >= level; j--) {
      const { y0, x0, y1, x1 } = index.tiles(j, level, region);
      const { layers, errors, mse } = index.levels[j]!;
      let least = layers;
      for (let y = y0; y < y1; y++)
        for (let x = x0; x < x1; x++) {
          const tile = this.tile(j, y, x);
          const n = this.complete[tile]!;
          quality.layers += n;
          if (n < least) least = n;
          if (n < layers && n === this.initial[tile]) quality.ready = false;
        }
      quality.error += errors[least]!;
      quality.mse += mse[least]!;
    }
    return quality;
  }

  /** Place of a tile among those of all levels. */
  private tile(level: number, tileY: number, tileX: number): number {
    const { firstTile, tilesX } = this.index.levels[level]!;
    return firstTile + tileY * tilesX + tileX;
  }

  /** Bring a tile's complete layers up to date after something has come. */
  private count(level: number, tileY: number, tileX: number): void {
    const { layers } = this.index.levels[level]!;
    const tile = this.tile(level, tileY, tileX);
    let n = this.complete[tile]!;
    while (n < layers && this.held[this.index.segment(level, n, tileY, tileX)] === 1) n++;
    this.complete[tile] = n;
  }
}
