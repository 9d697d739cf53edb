/** The planner against tests/data/plan_cases.json, which the Python planner is tested with too. */
import { readFileSync } from "node:fs";
import {
  bound,
  CorruptData,
  chooseForMse,
  chooseLayers,
  exactBound,
  type Dtype,
  type Level,
  mergeRanges,
  mse,
  type Region,
  ShardIndex,
  segmentsFor,
  withinBudget,
} from "@firstlight/codecs";
import {
  arrayOfLevel,
  chunkShape,
  clipRegion,
  levelCount,
  levelForZoom,
  levelSize,
  pyramid,
  type Size,
  scaleRegion,
  shardLevels,
  shardsUnder,
} from "./geometry.ts";
import { ImageLayout, LayoutError, type ShardRef } from "./layout.ts";
import {
  completeLayers,
  fitRegion,
  type Precision,
  planShard,
  planView,
  type Request,
  type Tolerance,
  toleranceOf,
  type View,
} from "./plan.ts";
import { type Event, Session } from "./session.ts";

interface IndexCase {
  id: number;
  height: number;
  width: number;
  components: number;
  margin: number;
  groups: number[];
  parts: number[];
  levels: { tile: number; layers: number; errors: number[]; mse: number[]; measured: Record<string, number> }[];
  lengths: { seed: number; spread: number[] };
}
interface ViewCase {
  region: Region;
  level: number;
  t: number;
  z: number;
  channels: number[];
  tolerance: ToleranceCase | ToleranceCase[];
}
type ToleranceCase = { max_error: number } | { mse: number };
// biome-ignore lint/suspicious/noExplicitAny: the cases' arguments are of every kind.
type Json = any;
interface Cases {
  indexes: IndexCase[];
  layouts: Record<string, { document: Json; gives: Json }>;
  layout_errors: { document: Json; names: string }[];
  calls: { call: string; args: Json[]; gives: Json }[];
  sessions: { layout: string; objects: Record<string, number>; cache_bytes: number; steps: Json[] }[];
}

const path = new URL("../../../../tests/data/plan_cases.json", import.meta.url);
const cases = JSON.parse(readFileSync(path, "utf8")) as Cases;
const indexes = cases.indexes.map(makeIndex);
const layouts = Object.fromEntries(
  Object.entries(cases.layouts).map(([name, { document }]) => [name, ImageLayout.fromJson(document)]),
);

/** Any numbers that both languages can compute will do for lengths, some of them 0. */
function segmentLength(seed: number, spread: number, segment: number, isBase: boolean): number {
  if ((seed + segment) % 11 === 0 && !isBase) return 0;
  return 1 + ((((seed + segment) * 7919 + (segment % 101) * 104729) % 65521) % spread);
}

function makeIndex(description: IndexCase): ShardIndex {
  const { groups, parts, lengths } = description;
  const base = description.levels.length - 1;
  const levels: (Level & { firstSegments: number[] })[] = [];
  let firstTile = 0;
  for (let j = base; j >= 0; j--) {
    const { tile, measured, ...rest } = description.levels[j]!;
    const known = new Map(Object.entries(measured).map(([n, error]) => [Number(n), error]));
    const [height, width] = levelSize([description.height, description.width], j);
    const tilesX = Math.ceil(width / tile);
    const tilesY = Math.ceil(height / tile);
    levels[j] = { ...rest, measured: known, width, height, tile, tilesX, tilesY, firstTile, firstSegments: [] };
    firstTile += tilesX * tilesY;
  }
  const offsets = [parts.at(-1)!];
  for (const [group, start] of groups.entries())
    for (let j = base; j >= 0; j--) {
      const { layers, tilesX, tilesY, firstSegments } = levels[j]!;
      firstSegments.push(offsets.length - 1);
      const count = Math.min(groups[group + 1] ?? layers, layers) - Math.min(start, layers);
      for (let n = tilesX * tilesY * count; n > 0; n--)
        offsets.push(offsets.at(-1)! + segmentLength(lengths.seed, lengths.spread[j]!, offsets.length - 1, j === base));
    }
  return new ShardIndex({
    version: 0,
    codec: "wavelet",
    width: description.width,
    height: description.height,
    components: description.components,
    dtype: "uint16",
    colour: "none",
    transform: "5/3",
    levels,
    margin: description.margin,
    groups,
    parts,
    headSize: parts.at(-1)!,
    offsets: Uint32Array.from(offsets),
    raw: new Uint8Array(0),
    values: new Uint8Array(0),
  });
}

function brief(segments: readonly number[]): number[] {
  if (segments.length === 0) return [0];
  return [segments.length, segments[0]!, segments.at(-1)!, segments.reduce((sum, s) => sum + s, 0)];
}

const requestJson = ({ key, offset, length, segments }: Request): Json => [key, offset, length, brief(segments)];
const refJson = ({ key, array, level, region, y, x }: ShardRef): Json => [key, array, level, region, y, x];
const parseTolerance = (value: ToleranceCase): Tolerance => ("mse" in value ? value : { maxError: value.max_error });
const toleranceJson = (value: Tolerance): Json => ("mse" in value ? value : { max_error: value.maxError });
const parseView = ({ tolerance, ...rest }: ViewCase): View => ({
  ...rest,
  tolerance: Array.isArray(tolerance) ? tolerance.map(parseTolerance) : parseTolerance(tolerance),
});

const CALLS: Record<string, (...args: Json[]) => Json> = {
  shards_under: (region: Region, level: number, size: Size, chunk: Size) =>
    shardsUnder(region, level, size, chunk).map((p) => [p.row, p.column, p.region, p.y, p.x]),
  clip_region: clipRegion,
  scale_region: scaleRegion,
  level_size: levelSize,
  chunk_shape: chunkShape,
  pyramid,
  shard_levels: shardLevels,
  level_count: levelCount,
  array_of_level: arrayOfLevel,
  level_for_zoom: levelForZoom,
  shards: (name: string, level: number, region: Region, t: number, z: number, c: number) =>
    layouts[name]!.shards(level, region, { t, z, c }).map(refJson),
  tolerance: (precision: Precision, window: [number, number], dtype: Dtype, rgb?: boolean) =>
    toleranceJson(toleranceOf(precision, window, dtype, rgb)),
  merge_ranges: mergeRanges,
  tiles: (index: number, of: number, level: number, region: Region) => {
    const { y0, x0, y1, x1 } = indexes[index]!.tiles(of, level, region);
    return [y0, x0, y1, x1];
  },
  choose_layers: (index: number, level: number, region: Region, error: number, exactly: boolean) =>
    chooseLayers(indexes[index]!, level, region, error, exactly),
  exact_bound: (index: number, level: number, layers: number[]) => exactBound(indexes[index]!, level, layers),
  choose_for_mse: (index: number, level: number, mse: number) => chooseForMse(indexes[index]!, level, mse),
  segments_for: (index: number, level: number, region: Region, layers: number[]) =>
    brief(segmentsFor(indexes[index]!, level, region, layers)),
  bound: (index: number, level: number, layers: number[]) => bound(indexes[index]!, level, layers),
  mse: (index: number, level: number, layers: number[]) => mse(indexes[index]!, level, layers),
  within_budget: (index: number, level: number, region: Region, budget: number, error: number, mse: number) => {
    const parts = withinBudget(indexes[index]!, level, region, budget, error, mse);
    return [brief(parts.map(([segment]) => segment)), brief(parts.map(([, bytes]) => bytes))];
  },
  complete_layers: (index: number, level: number, region: Region, have: number[]) =>
    completeLayers(indexes[index]!, level, region, new Set(have)),
  fit_region: (index: number, level: number, region: Region) => fitRegion(indexes[index]!, level, region) ?? null,
  plan_shard: (index: number, level: number, region: Region, tolerance: ToleranceCase, have: number[]) =>
    planShard("s", indexes[index]!, level, region, parseTolerance(tolerance), new Set(have)).map(requestJson),
  plan_view: (name: string, view: ViewCase, heads: Record<string, number | null>, have: Record<string, number[]>) =>
    planView(
      layouts[name]!,
      parseView(view),
      new Map(Object.entries(heads).map(([key, number]) => [key, number === null ? null : indexes[number]!])),
      new Map(Object.entries(have).map(([key, segments]) => [key, new Set(segments)])),
    ).map(requestJson),
};

describe("rules shared with Python", () => {
  const calls = new Set(cases.calls.map(({ call }) => call));
  it.each([...calls])("%s", (call) => {
    for (const { args, gives } of cases.calls.filter((each) => each.call === call))
      expect([args, CALLS[call]!(...args)]).toEqual([args, gives]);
  });
});

describe("layout", () => {
  it.each(Object.keys(cases.layouts))("reads %s", (name) => {
    const layout = layouts[name]!;
    expect({
      name: layout.name,
      axes: layout.axes,
      dtype: layout.dtype,
      rgb: layout.rgb,
      components: layout.components,
      arrays: layout.arrays.map((a) => [a.path, a.shape, a.chunks, a.headBytes]),
      channels: layout.channels.map((c) => [c.label, c.color, c.window, c.limits, c.active]),
      pixel_size: layout.pixelSize,
      thumbnail: layout.thumbnail,
      source: layout.source,
      stored_bytes: layout.storedBytes,
      levels: layout.levelCount,
    }).toEqual(cases.layouts[name]!.gives);
  });

  it("names the object and the field that is wrong", () => {
    for (const { document, names } of cases.layout_errors) {
      const read = () => ImageLayout.fromJson(document, "https://host/a.zarr/zarr.json");
      expect(read).toThrow(LayoutError);
      expect(read).toThrow(/^https:\/\/host\/a.zarr\/zarr.json: /);
      expect(read).toThrow(names);
    }
  });

  it("refuses what is no object", () => {
    for (const document of [null, [], "x", 3]) expect(() => ImageLayout.fromJson(document)).toThrow(LayoutError);
  });
});

describe("session", () => {
  function fakeHead(data: Uint8Array): ShardIndex | number {
    if (data.length < 8) return 8;
    const view = new DataView(data.buffer, data.byteOffset);
    const number = view.getUint32(0, true);
    const size = view.getUint32(4, true);
    const index = indexes[number];
    if (!index) throw new CorruptData(`no shard has number ${number}`);
    return size <= data.length ? index : size;
  }

  function answer(request: Request, number: number): Uint8Array {
    const index = indexes[number]!;
    const data = new Uint8Array(Math.min(request.length, index.size - request.offset));
    if (request.offset === 0) {
      const view = new DataView(data.buffer);
      view.setUint32(0, number, true);
      view.setUint32(4, index.headSize, true);
    }
    return data;
  }

  it.each(cases.sessions.map((script, n) => [n, script.layout, script] as const))("%d: %s", (_, name, script) => {
    const session = new Session(layouts[name]!, { cacheBytes: script.cache_bytes, parse: fakeHead });
    const requests: Request[] = [];
    const numbers = (found: readonly Request[]) => found.map((r) => requests.indexOf(r)).sort((a, b) => a - b);

    function eventJson(event: Event): Json {
      switch (event.type) {
        case "received": {
          for (const [segment, data] of event.segments) expect(data.length).toBe(event.index.length(segment));
          const segments = brief(event.segments.map(([segment]) => segment));
          const improved = event.improved.map(({ part, region }) => [part.order, region]);
          return ["received", event.key, event.isNew, segments, improved];
        }
        case "forgotten":
          return ["forgotten", event.key, event.segments ? brief([...event.segments].sort((a, b) => a - b)) : null];
        case "restarted":
          return ["restarted", event.key, numbers(event.aborted)];
        case "broken":
          return ["broken", event.key, event.error];
      }
    }

    function run(step: Json): Json {
      const request = requests[step.request]!;
      switch (step.do) {
        case "look":
          return numbers(session.look(parseView(step.view), step.ahead.map(parseView)));
        case "next": {
          const found = session.next(step.count);
          requests.push(...found);
          return found.map(requestJson);
        }
        case "receive": {
          const data = answer(request, script.objects[request.key]!);
          const part = step.cut ? data.subarray(0, Math.floor(data.length / 2)) : data;
          return session.receive(request, part, step.etag).map(eventJson);
        }
        case "failed":
          return session.failed(request).map(eventJson);
        case "replaced":
          return session.replaced(request).map(eventJson);
        case "absent":
          return session.absent(request).map(eventJson);
        case "reject":
          session.reject(step.key, step.segments);
          return null;
        case "retry":
          session.retry();
          return null;
        case "state":
          return {
            errors: [session.errors().error, session.errors().mse],
            exact: session.exact,
            complete: session.complete,
            idle: session.idle,
            held: session.bytesHeld,
            received: session.bytesReceived,
            made: session.requestsMade,
            in_flight: session.inFlight.length,
            parts: session.parts.map((part) => [part.channel, toleranceJson(part.tolerance), ...refJson(part.ref)]),
          };
      }
    }

    for (const [n, { gives, ...step }] of script.steps.entries())
      expect({ n, step, gives: run(step) }).toEqual({ n, step, gives });
  });
});
