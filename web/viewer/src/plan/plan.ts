/**
 * Which byte ranges to fetch, and in which order, for what someone looks at. Twin of tiler/plan.py, held to it by
 * tests/data/plan_cases.json; everything here is integer arithmetic.
 *
 * Order, over all shards of the view at once: heads that are not known yet; step 0: every wanted layer of the levels that
 * are at least two coarser than the view's; then layer by layer the next layer of the level above and of the view's own
 * level. Inside a step coarser levels come first, then what is nearest to the centre of the view.
 */
import { chooseLayers, type ShardIndex, segmentsFor } from "@firstlight/codecs";
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

/** Error bound allowed, in contrast windows. A bound is a worst case: actual errors are several times smaller. */
export const PRECISIONS: Record<Precision, number> = { exact: 0, visual: 0.3, fast: 0.75 };
/** How much more is allowed in colour: the bounds of three components add up, while their errors hardly ever do. */
const COLOUR_SLACK = 2.2;

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
  /** Absolute error allowed, in data units: for all channels, or one number for each of `channels`. Default 0. */
  readonly maxError?: number | readonly number[];
}

/** One shard of a view. */
export interface ViewPart {
  readonly channel: number;
  /** In data units. */
  readonly maxError: number;
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

/** The error allowed by a policy, in data units, for data seen through the contrast limits `window`. */
export function maxError(precision: Precision, window: readonly [number, number], rgb = false): number {
  return Math.floor(PRECISIONS[precision] * (rgb ? COLOUR_SLACK : 1) * Math.max(window[1] - window[0], 0));
}

/**
 * The shards under a view, channel by channel, row-major.
 *
 * @throws LayoutError when the view names a level, channel or plane that does not exist; RangeError when `maxError` has
 * not one number for each channel.
 */
export function viewParts(layout: ImageLayout, view: View): ViewPart[] {
  const { channels } = view;
  const allowed = view.maxError ?? 0;
  const errors = typeof allowed === "number" ? channels.map(() => allowed) : allowed;
  if (errors.length !== channels.length)
    throw new RangeError(`view: maxError: expected ${channels.length} numbers, found ${errors.length}`);
  const parts: ViewPart[] = [];
  for (const [i, channel] of channels.entries())
    for (const ref of layout.shards(view.level, view.region, { t: view.t, z: view.z, c: channel }))
      parts.push({
        channel,
        maxError: errors[i]!,
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
  const layers = chooseLayers(index, level, region, part.maxError);
  const scale = 2 ** (part.ref.level - level);
  const centre = [part.centre[0] * scale, part.centre[1] * scale] as const;
  const wanted = segmentsFor(index, level, region, layers);
  const requests = joinSteps(index, findRuns(index, level, layers, wanted, have, centre), have).map(
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
  return { wanted, requests: requests.sort((a, b) => compareRanks(a.rank, b.rank)) };
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
        for (let s = index.segment(j, layer, y, x0, 0); s < index.segment(j, layer, y, x1, 0); s++)
          if (index.length(s) > 0 && !have.has(s)) return layer;
    return at.layers;
  });
}

/** Requests, in order, for a region of one shard by itself; `level` and `region` are the shard's. */
export function planShard(
  key: string,
  index: ShardIndex,
  level: number,
  region: Region,
  maxError = 0,
  have: Segments = NONE,
): Request[] {
  const part: ViewPart = {
    channel: 0,
    maxError,
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
  layers: readonly number[],
  wanted: readonly number[],
  have: Segments,
  centre: readonly [number, number],
): Run[] {
  const base = index.levels.length - 1;
  const steps = new Map<number, Run[]>(); // one run for each segment, ascending
  let next = 0; // in `wanted`, which ascends as the loops below do
  for (let j = base; j >= level; j--) {
    const at = index.levels[j]!;
    const scale = 2 ** (j - level);
    for (let layer = 0; layer < layers[j]!; layer++) {
      const step = j === base || j >= level + 2 ? 0 : 1 + 2 * layer + (level + 1 - j);
      const first = index.segment(j, layer, 0, 0, 0);
      const end = first + at.tilesX * at.tilesY * index.components;
      const found = steps.get(step) ?? [];
      steps.set(step, found);
      for (; next < wanted.length && wanted[next]! < end; next++) {
        const segment = wanted[next]!;
        if (have.has(segment)) continue;
        const tile = Math.floor((segment - first) / index.components);
        // Tile centres in halves of a sample of the view's level.
        const dy = (2 * Math.floor(tile / at.tilesX) + 1) * at.tile * scale - centre[0];
        const dx = (2 * (tile % at.tilesX) + 1) * at.tile * scale - centre[1];
        found.push({ first: segment, end: segment + 1, step, level: j, distance: dy * dy + dx * dx });
      }
    }
  }
  return [...steps.values()].flatMap((segments) => join(index, segments, have));
}

/** Join segments of one step over small gaps. */
function join(index: ShardIndex, segments: readonly Run[], have: Segments): Run[] {
  const size = segments.reduce((sum, { first }) => sum + index.length(first), 0);
  // Where segments are large a request more matters little and the bytes of a gap would add up.
  const gap = Math.min(GAP, Math.floor((GAP * GAP * segments.length) / size));
  const runs: Run[] = [];
  for (const segment of segments) {
    const run = runs[runs.length - 1];
    if (run && joinable(index, run.end, segment.first, gap, have) && bytes(index, run.first, segment.end) <= LARGE) {
      run.end = segment.end;
      run.level = Math.max(run.level, segment.level);
      run.distance = Math.min(run.distance, segment.distance);
    } else runs.push({ ...segment });
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
