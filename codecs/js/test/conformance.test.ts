/** The frozen vectors decode to the same samples as everywhere, bit for bit; damage is told, never a wrong picture. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  CorruptData,
  InsufficientData,
  type Kernels,
  type Region,
  ShardDecoder,
  type ShardIndex,
  TileCache,
  UnsupportedFormat,
} from "@firstlight/codecs";
import { testKernels, VECTORS } from "./kernels.ts";

interface Case {
  shard: string;
  bytes: number;
  level: number;
  region: Region | null;
  shape: number[];
  dtype: string;
  bound: number;
  sha256?: string;
}

let kernels: Kernels;
beforeAll(async () => {
  kernels = await testKernels();
});

/** A decoder with all segments that lie whole in the first `bytes` bytes. */
function decoder(index: ShardIndex, data: Uint8Array, bytes = data.length, name = "shard"): ShardDecoder {
  const made = new ShardDecoder(kernels, index, new TileCache(kernels), name);
  for (let s = 0; s < index.segments; s++)
    if (index.offsets[s + 1]! <= bytes) made.add(s, data.subarray(index.offsets[s]!, index.offsets[s + 1]!));
  return made;
}

const versions = readdirSync(VECTORS, { withFileTypes: true }).filter((entry) => entry.isDirectory());

describe.each(versions.map((entry) => entry.name))("vectors %s", (version) => {
  const folder = join(VECTORS, version);
  const cases: Case[] = JSON.parse(readFileSync(join(folder, "cases.json"), "utf8"));

  it.each(cases)(
    "$shard: $bytes bytes, level $level, region $region",
    ({ shard, bytes, level, region, ...expected }) => {
      const data = readFileSync(join(folder, shard)).subarray(0, bytes);
      const decode = () => {
        const index = kernels.parseHead(data);
        const made = decoder(index, data);
        const { height, width } = index.levels[level]!;
        return {
          samples: made.decode(level, region ?? undefined),
          bound: made.bound(level, region ?? [0, 0, height, width]),
          dtype: index.dtype,
        };
      };
      if (expected.sha256 === undefined) {
        expect(decode).toThrow(InsufficientData);
        return;
      }
      const { samples, bound, dtype } = decode();
      expect(dtype).toBe(expected.dtype);
      expect(samples.length).toBe(expected.shape.reduce((a, b) => a * b, 1));
      const raw = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
      expect(createHash("sha256").update(raw).digest("hex")).toBe(expected.sha256);
      expect(bound).toBe(expected.bound);
    },
  );
});

describe("one shard", () => {
  const data = readFileSync(join(VECTORS, "v1", "rgb.fls"));

  it("refines to the same picture in any order of arrival", () => {
    const index = kernels.parseHead(data);
    const whole = decoder(index, data).decode();
    const made = decoder(index, data, index.offsets[index.components]!);
    const order = Array.from({ length: index.segments }, (_, s) => (s * 7919) % index.segments);
    let last = made.bound(0, [0, 0, index.height, index.width]);
    for (const [n, s] of order.entries()) {
      made.add(s, data.subarray(index.offsets[s]!, index.offsets[s + 1]!));
      if (n % 9 === 0) made.decode();
      const bound = made.bound(0, [0, 0, index.height, index.width]);
      expect(bound).toBeLessThanOrEqual(last);
      last = bound;
    }
    for (let s = 0; s < index.segments; s++) made.add(s, data.subarray(index.offsets[s]!, index.offsets[s + 1]!));
    expect(last).toBe(0);
    expect(made.decode()).toEqual(whole);
  });

  it("leaves room for a fourth component", () => {
    const index = kernels.parseHead(data);
    const made = decoder(index, data);
    const three = made.decode(0, [5, 7, 20, 30]);
    const four = made.decode(0, [5, 7, 20, 30], 4);
    expect(four.length).toBe(20 * 30 * 4);
    for (let i = 0; i < 600; i++) expect(four.slice(i * 4, i * 4 + 3)).toEqual(three.slice(i * 3, i * 3 + 3));
  });

  it("decodes the same with a cache that holds next to nothing", () => {
    const index = kernels.parseHead(data);
    const made = new ShardDecoder(kernels, index, new TileCache(kernels, 1));
    for (let s = 0; s < index.segments; s++) made.add(s, data.subarray(index.offsets[s]!, index.offsets[s + 1]!));
    const whole = decoder(index, data).decode();
    expect(made.decode()).toEqual(whole);
    expect(made.decode()).toEqual(whole);
  });

  it("gives memory back", () => {
    const index = kernels.parseHead(data);
    const cache = new TileCache(kernels);
    const before = kernels.arena.used;
    for (let round = 0; round < 3; round++) {
      const made = new ShardDecoder(kernels, index, cache);
      for (let s = 0; s < index.segments; s++) made.add(s, data.subarray(index.offsets[s]!, index.offsets[s + 1]!));
      made.decode();
      made.close();
      expect(kernels.arena.used).toBe(before);
    }
  });

  it("names the segment whose bytes are wrong, and goes on without it", () => {
    const index = kernels.parseHead(data);
    const segment = Array.from({ length: index.segments }, (_, s) => s).findLast((s) => index.length(s) > 20)!;
    const bad = Uint8Array.from(data);
    bad[index.offsets[segment]! + 9]! ^= 16;
    const made = decoder(index, bad, bad.length, "0/c/0/3/1");
    let caught: unknown;
    try {
      made.decode();
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(CorruptData);
    expect(caught).toMatchObject({ segment });
    expect((caught as Error).message).toContain(`0/c/0/3/1, segment ${segment} (level 0, layer 2`);
    made.drop(segment);
    expect(made.decode().length).toBe(index.width * index.height * 3);
    expect(made.bound(0, [0, 0, index.height, index.width])).toBeGreaterThan(0);
  });

  it("tells prefixes, damage and other versions of a head apart", () => {
    const { headSize } = kernels.parseHead(data);
    for (const n of [0, 3, 11, 12, headSize - 1])
      expect(() => kernels.parseHead(data.subarray(0, n))).toThrow(InsufficientData);
    const bad = Uint8Array.from(data);
    bad[20]! ^= 1;
    expect(() => kernels.parseHead(bad)).toThrow(CorruptData);
    expect(() => kernels.parseHead(new TextEncoder().encode("<!doctype html> nothing here"))).toThrow(CorruptData);
    const later = Uint8Array.from(data);
    later[4] = 9;
    expect(() => kernels.parseHead(later)).toThrow(UnsupportedFormat);
  });

  it("refuses a segment of another length", () => {
    const index = kernels.parseHead(data);
    const made = decoder(index, data, 0);
    expect(() => made.add(0, new Uint8Array(3))).toThrow(/segment 0: \d+ bytes announced, 3 left/);
  });
});
