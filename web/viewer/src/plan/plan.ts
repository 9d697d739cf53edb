/**
 * Which byte ranges to fetch, and in which order, for what someone looks at. Twin of tiler/plan.py, held to it by
 * tests/data/plan_cases.json; everything here but the tolerances is integer arithmetic.
 *
 * Order, over all shards of the view at once: heads that are not known yet; the first group of layers: what is wanted of it
 * in the levels that are at least two coarser than the view's (step 0), in the level above, then in the view's own level;
 * then the other groups, one after the other: what is wanted of a group in all coarser levels, then in the view's own.
 * Inside a step coarser levels come first, then what is nearest to the centre of the view. Levels lie in this order in a
 * group, so that small ones are fetched together.
 *
 * A group's layers of one tile lie together, and so do the tiles of a row: where a group is wanted whole, a row of tiles
 * is one run of bytes. Where only its first layers are, each tile leaves a gap, which is fetched along if it is small.
 */
import { chooseForMse, chooseLayers, type Dtype, type ShardIndex, segmentsFor } from "@firstlight/codecs";
import { clipRegion, type Region, scaleRegion } from "./geometry.ts";
import type { ImageLayout, ShardRef } from "./layout.ts";

/** Unwanted bytes that are fetched rather than made the reason of one more request: about what a request costs. */
const GAP = 16384;
/** Requests of different steps become one while it is not longer than this. */
const SMALL = 65536;
/** No request that holds several segments is longer: what is on its way can't be put behind something more urgent. */
const LARGE = 2 ** 20;
const HEAD_STEP = -1;

export type Precision = "exact" | "visual" | "fast";

/** Grey values of a display between the contrast limits. */
const DISPLAY_STEPS = 255;
/**
 * Root-mean-square error of a policy in display steps: of pictures, and of measurements (grey samples of 16 bits).
 *
 * Pictures are made for the eye: 2.5 steps are 40 dB, a JPEG of quality 85 to 90. Of measurements the screen should show
 * all that it can: with 0.3 steps, normally distributed, 99.9 % of the pixels are within one step of the exact picture. 7
 * steps, 31 dB, are good enough to find one's way.
 */
const PRECISIONS: Record<Precision, readonly [picture: number, measurement: number]> = {
  exact: [0, 0],
  visual: [2.5, 0.3],
  fast: [7, 7],
};

/** How far off samples may be: one of two statements. */
export type Tolerance =
  /** No sample is off by more, in data units: a guarantee. 0: exact. */
  | { readonly maxError: number }
  /** Mean of the squared error of all samples, in squared data units: an expectation. */
  | { readonly mse: number };

export const EXACT: Tolerance = { maxError: 0 };

/** What is known of a picture's error, in data units: a bound for every sample, and the mean square to expect. */
export interface Errors {
  readonly error: number;
  readonly mse: number;
}

/** Whether a picture of these errors will do. */
export function allows(tolerance: Tolerance, { error, mse }: Errors): boolean {
  return "mse" in tolerance ? mse <= tolerance.mse : error <= tolerance.maxError;
}

/**
 * [step, minus the coarsest level, squared distance to the view's centre, place of the shard in the view, offset]:
 * requests are made in ascending order of it.
 */
export type Rank = readonly [step: number, level: number, distance: number, order: number, offset: number];

/** Ascending order of ranks. */
export function compareRanks(a: Rank, b: Rank): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}

/** One ranged read of one object. */
export interface Request {
  /** The shard, from the image's root. */
  readonly key: string;
  /** Reading a head may come back short: when the whole object is shorter. */
  readonly offset: number;
  readonly length: number;
  /** The segments inside, ascending, empty ones left out; none for a head. */
  readonly segments: readonly number[];
}

export interface RankedRequest {
  readonly rank: Rank;
  readonly request: Request;
}

/** What someone looks at. */
export interface View {
  /** In samples of `level`; may reach beyond the image. */
  readonly region: Region;
  /** Of the image. */
  readonly level: number;
  readonly t?: number;
  readonly z?: number;
  /** Indices in c; [0] for colour images and those without c. */
  readonly channels: readonly number[];
  /** For all channels, or one for each of `channels`. Default: exact. */
  readonly tolerance?: Tolerance | readonly Tolerance[];
}

/** One shard of a view. */
export interface ViewPart {
  readonly channel: number;
  readonly tolerance: Tolerance;
  readonly ref: ShardRef;
  /** Its place among the parts of the view. */
  readonly order: number;
  /** The view's centre from the shard's corner, in halves of a sample of the shard's level. */
  readonly centre: readonly [y: number, x: number];
}

/** What a view still needs of one shard. */
export interface ShardPlan {
  /** All segments that give the view's precision, ascending, whether they are there already or not. */
  readonly wanted: number[];
  /** For those that are not, in ascending order of rank. */
  readonly requests: RankedRequest[];
}

/** Segments that are there already, or on their way. */
export interface Segments {
  has(segment: number): boolean;
}

const NONE: Segments = new Set<number>();

/** The error allowed by a policy for data seen through the contrast limits `window`. */
export function toleranceOf(
  precision: Precision,
  window: readonly [number, number],
  dtype: Dtype,
  rgb = false,
): Tolerance {
  const steps = PRECISIONS[precision][dtype.endsWith("16") && !rgb ? 1 : 0];
  const rms = (steps * Math.max(window[1] - window[0], 0)) / DISPLAY_STEPS;
  return steps > 0 ? { mse: rms * rms } : EXACT;
}

/**
 * The shards under a view, channel by channel, row-major.
 *
 * @throws LayoutError when the view names a level, channel or plane that does not exist; RangeError when there is not one
 * tolerance for each channel.
 */
export function viewParts(layout: ImageLayout, view: View): ViewPart[] {
  const { channels } = view;
  const allowed = [view.tolerance ?? EXACT].flat();
  const tolerances = Array.isArray(view.tolerance) ? allowed : channels.map(() => allowed[0]!);
  if (tolerances.length !== channels.length)
    throw new RangeError(`view: expected ${channels.length} tolerances, found ${tolerances.length}`);
  const parts: ViewPart[] = [];
  for (const [i, channel] of channels.entries())
    for (const ref of layout.shards(view.level, view.region, { t: view.t, z: view.z, c: channel }))
      parts.push({
        channel,
        tolerance: tolerances[i]!,
        ref,
        order: parts.length,
        centre: [2 * (ref.region[0] - ref.y) + view.region[2], 2 * (ref.region[1] - ref.x) + view.region[3]],
      });
  return parts;
}

/**
 * [level, region] of a shard as far as it has them; undefined when it has nothing there.
 *
 * A shard may end before its chunk does (beyond, samples are 0), and be too small to have a level: then its coarsest is
 * all there is, and every 2nd, 4th ... sample of it is one of the level that was asked for.
 */
export function fitRegion(
  index: ShardIndex,
  level: number,
  region: Region,
): readonly [level: number, region: Region] | undefined {
  const base = Math.min(level, index.levels.length - 1);
  const { height, width } = index.levels[base]!;
  const fitted = clipRegion(base < level ? scaleRegion(region, level, base) : region, [height, width]);
  return fitted[2] > 0 && fitted[3] > 0 ? [base, fitted] : undefined;
}

/** The read of a shard's head. */
export function headRequest(layout: ImageLayout, part: ViewPart): RankedRequest {
  const { ref, centre } = part;
  const dy = 2 * ref.region[0] + ref.region[2] - centre[0];
  const dx = 2 * ref.region[1] + ref.region[3] - centre[1];
  return {
    rank: [HEAD_STEP, 0, dy * dy + dx * dx, part.order, 0],
    request: { key: ref.key, offset: 0, length: layout.arrays[ref.array]!.headBytes, segments: [] },
  };
}

/**
 * What a view still needs of a shard whose head is known.
 *
 * @param have segments that are there or on their way: no request covers a byte of them.
 */
export function planPart(part: ViewPart, index: ShardIndex, have: Segments): ShardPlan {
  const fitted = fitRegion(index, part.ref.level, part.ref.region);
  if (!fitted) return { wanted: [], requests: [] };
  const [level, region] = fitted;
  const layers = choose(index, level, region, part.tolerance);
  const scale = 2 ** (part.ref.level - level);
  const centre = [part.centre[0] * scale, part.centre[1] * scale] as const;
  const requests = joinSteps(index, findRuns(index, level, region, layers, have, centre), have).map(
    (run): RankedRequest => ({
      rank: [run.step, -run.level, run.distance, part.order, index.offsets[run.first]!],
      request: {
        key: part.ref.key,
        offset: index.offsets[run.first]!,
        length: bytes(index, run.first, run.end),
        segments: filled(index, run.first, run.end),
      },
    }),
  );
  const wanted = segmentsFor(index, level, region, layers);
  return { wanted, requests: requests.sort((a, b) => compareRanks(a.rank, b.rank)) };
}

/** How many layers of every level of a shard to have for a tolerance, by the fewest bytes. */
export function choose(index: ShardIndex, level: number, region: Region, tolerance: Tolerance): number[] {
  if ("mse" in tolerance) return chooseForMse(index, level, tolerance.mse);
  // A view shows all that is there.
  return chooseLayers(index, level, region, tolerance.maxError, false);
}

/**
 * For every level of a shard, how many layers all tiles have that `region` of `level` needs (0 below `level`). `bound` of
 * it is the precision of the picture that `have` gives.
 */
export function completeLayers(index: ShardIndex, level: number, region: Region, have: Segments): number[] {
  return index.levels.map((at, j) => {
    if (j < level) return 0;
    const { y0, x0, y1, x1 } = index.tiles(j, level, region);
    for (let layer = 0; layer < at.layers; layer++)
      for (let y = y0; y < y1; y++)
        for (let x = x0; x < x1; x++) {
          const segment = index.segment(j, layer, y, x);
          if (index.length(segment) > 0 && !have.has(segment)) return layer;
        }
    return at.layers;
  });
}

/** Requests, in order, for a region of one shard by itself; `level` and `region` are the shard's. */
export function planShard(
  key: string,
  index: ShardIndex,
  level: number,
  region: Region,
  tolerance: Tolerance = EXACT,
  have: Segments = NONE,
): Request[] {
  const part: ViewPart = {
    channel: 0,
    tolerance,
    ref: { key, array: 0, level, region, y: 0, x: 0 },
    order: 0,
    centre: [2 * region[0] + region[2], 2 * region[1] + region[3]],
  };
  return planPart(part, index, have).requests.map(({ request }) => request);
}

/**
 * Everything that a view still needs, in order, as far as the known heads tell.
 *
 * @param heads shard key -> its index; null for a shard that does not exist (its samples are 0).
 * @param have shard key -> segments that are there already or on their way.
 * @throws as viewParts.
 */
export function planView(
  layout: ImageLayout,
  view: View,
  heads: ReadonlyMap<string, ShardIndex | null>,
  have: ReadonlyMap<string, Segments>,
): Request[] {
  const ranked: RankedRequest[] = [];
  for (const part of viewParts(layout, view)) {
    const index = heads.get(part.ref.key);
    if (index === undefined) ranked.push(headRequest(layout, part));
    else if (index !== null) ranked.push(...planPart(part, index, have.get(part.ref.key) ?? NONE).requests);
  }
  return ranked.sort((a, b) => compareRanks(a.rank, b.rank)).map(({ request }) => request);
}

// -- runs of segments ------------------------------------------------------------------------------------------------

/** Segments first .. end - 1 of a shard, fetched together; the first and the last are wanted. */
interface Run {
  first: number;
  end: number;
  step: number;
  level: number;
  distance: number;
}

/** The runs of every step. */
function findRuns(
  index: ShardIndex,
  level: number,
  region: Region,
  layers: readonly number[],
  have: Segments,
  centre: readonly [number, number],
): Run[] {
  const base = index.levels.length - 1;
  const steps = new Map<number, Run[]>(); // the pieces of a step, ascending
  const spans = index.levels.map((_, j) => index.layerGroups(j));
  for (const group of index.groups.keys())
    for (let j = base; j >= level; j--) {
      const { tile } = index.levels[j]!;
      const { y0, x0, y1, x1 } = index.tiles(j, level, region);
      const scale = 2 ** (j - level);
      const [begin, end] = spans[j]![group]!;
      const count = Math.min(end, layers[j]!) - begin;
      if (count <= 0) continue;
      // Without the base there is no picture. Coarser levels come before finer ones in the first group, where they matter
      // most; in the others they are worth as much, and few bytes.
      const step = j === base ? 0 : 2 * group + Math.max(level + 2 - j, Math.min(group, 1));
      const pieces = steps.get(step) ?? [];
      steps.set(step, pieces);
      for (let tileY = y0; tileY < y1; tileY++)
        for (let tileX = x0; tileX < x1; tileX++) {
          // Tile centres in halves of a sample of the view's level.
          const dy = (2 * tileY + 1) * tile * scale - centre[0];
          const dx = (2 * tileX + 1) * tile * scale - centre[1];
          const first = index.segment(j, begin, tileY, tileX);
          for (const [start, stop] of missing(index, first, first + count, have))
            pieces.push({ first: start, end: stop, step, level: j, distance: dy * dy + dx * dx });
        }
    }
  return [...steps.values()].flatMap((pieces) => joinPieces(index, pieces, have));
}

/** The segments first .. end - 1 that are not there, as runs; empty ones may lie inside, not at the ends. */
function missing(index: ShardIndex, first: number, end: number, have: Segments): [first: number, end: number][] {
  const runs: [number, number][] = [];
  for (let segment = first; segment < end; segment++) {
    if (index.length(segment) === 0 || have.has(segment)) continue;
    const last = runs[runs.length - 1];
    if (last && bytes(index, last[1], segment) === 0) last[1] = segment + 1;
    else runs.push([segment, segment + 1]);
  }
  return runs;
}

/** Join the pieces of one step, each of one tile, over small gaps. */
function joinPieces(index: ShardIndex, pieces: readonly Run[], have: Segments): Run[] {
  const size = pieces.reduce((sum, { first, end }) => sum + bytes(index, first, end), 0);
  // Where pieces are large a request more matters little and the bytes of a gap would add up.
  const gap = Math.min(GAP, Math.floor((GAP * GAP * pieces.length) / Math.max(size, 1)));
  const runs: Run[] = [];
  for (const piece of pieces) {
    const run = runs[runs.length - 1];
    if (run && joinable(index, run.end, piece.first, gap, have) && bytes(index, run.first, piece.end) <= LARGE) {
      run.end = piece.end;
      run.level = Math.max(run.level, piece.level);
      run.distance = Math.min(run.distance, piece.distance);
    } else runs.push({ ...piece });
  }
  return runs;
}

/** Join neighbours in the file, of whatever step, into small requests; each is as urgent as its most urgent part. */
function joinSteps(index: ShardIndex, runs: readonly Run[], have: Segments): Run[] {
  const joined: Run[] = [];
  for (const run of [...runs].sort((a, b) => a.first - b.first)) {
    const last = joined[joined.length - 1];
    if (last && bytes(index, last.first, run.end) <= SMALL && joinable(index, last.end, run.first, GAP, have)) {
      const urgent = last.step - run.step || run.level - last.level || last.distance - run.distance || 0;
      const { step, level, distance } = urgent <= 0 ? last : run;
      joined[joined.length - 1] = { first: last.first, end: run.end, step, level, distance };
    } else joined.push(run);
  }
  return joined;
}

/** Whether segments end .. first - 1 may be fetched along: few bytes, and none that is there already. */
function joinable(index: ShardIndex, end: number, first: number, gap: number, have: Segments): boolean {
  if (bytes(index, end, first) > gap) return false;
  for (let s = end; s < first; s++) if (have.has(s) && index.length(s) > 0) return false;
  return true;
}

function bytes(index: ShardIndex, first: number, end: number): number {
  return index.offsets[end]! - index.offsets[first]!;
}

/** The segments first .. end - 1 that are not empty. */
function filled(index: ShardIndex, first: number, end: number): number[] {
  const segments: number[] = [];
  for (let s = first; s < end; s++) if (index.length(s) > 0) segments.push(s);
  return segments;
}
