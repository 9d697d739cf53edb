/** What the codec promises beyond the vectors' samples: precision, budgets, order of arrival, damage, memory. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Codec,
  CorruptData,
  type Decoder,
  type DecoderOptions,
  FIXED_BYTES,
  InsufficientData,
  InvalidArgument,
  loadCodec,
  type Picture,
  type ShardIndex,
  segmentsFor,
  UnsupportedFormat,
  withinBudget,
} from "@firstlight/codecs";
import { expectSame, testCodec, VECTORS } from "./support.ts";

const data = new Uint8Array(readFileSync(join(VECTORS, "v4", "rgb.fls")));

let codec: Codec;
let index: ShardIndex;
beforeAll(async () => {
  codec = await testCodec();
  index = codec.parse(data);
});

/** A decoder with all segments that lie whole in the first `bytes` bytes. */
function decoder(bytes = data.length, options: DecoderOptions = {}): Decoder {
  const made = codec.decoder(index, options);
  made.feed(0, data.subarray(0, bytes));
  return made;
}

function bytesOf(segment: number): Uint8Array {
  return data.subarray(index.offsets[segment]!, index.offsets[segment + 1]!);
}

/** The largest difference of any two samples. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i]! - b[i]!));
  return most;
}

describe("decode", () => {
  it("gives any region of any level, as the whole level has it", () => {
    for (const level of [0, 1, 3]) {
      const whole = codec.decode(data, { level });
      const [height, width] = whole.shape as [number, number];
      const region = [height >> 2, width >> 3, height >> 1, width >> 1] as const;
      const part = codec.decode(data, { level, region });
      expect(part.shape).toEqual([region[2], region[3], 3]);
      for (let y = 0; y < region[2]; y++) {
        const from = ((region[0] + y) * width + region[1]) * 3;
        const row = part.data.subarray(y * region[3] * 3, (y + 1) * region[3] * 3);
        expect(row).toEqual(whole.data.subarray(from, from + region[3] * 3));
      }
    }
  });

  it("keeps to a precision, and says what it guarantees", () => {
    const exact = codec.decode(data);
    expect(exact.bound).toBe(0);
    for (const maxError of [1, 5, 20, 100]) {
      const picture = codec.decode(data, { maxError });
      expect(picture.bound).toBeLessThanOrEqual(maxError);
      expect(distance(picture.data, exact.data)).toBeLessThanOrEqual(picture.bound);
    }
    const prefix = data.subarray(0, data.length >> 1);
    expect(() => codec.decode(prefix)).toThrow(InsufficientData);
    const best = codec.decode(prefix, { maxError: null });
    const enough = codec.decode(prefix, { maxError: best.bound });
    expect(enough.bound).toBeLessThanOrEqual(best.bound);
    expect(distance(enough.data, exact.data)).toBeLessThanOrEqual(enough.bound);
    expect(() => codec.decode(prefix, { maxError: 0 })).toThrow(InsufficientData);
  });

  it("gets better with the bytes that it may use", () => {
    const exact = codec.decode(data);
    let last = Number.POSITIVE_INFINITY;
    for (let maxBytes = index.offsets[1]!; maxBytes < 2 * data.length; maxBytes *= 2) {
      const { data: samples, bound } = codec.decode(data, { maxBytes });
      expect(bound).toBeLessThanOrEqual(last);
      expect(distance(samples, exact.data)).toBeLessThanOrEqual(bound);
      last = bound;
    }
    expectSame(codec.decode(data, { maxBytes: data.length }), exact);
    for (let maxBytes = 0; maxBytes <= data.length; maxBytes += 97) {
      const chosen = withinBudget(index, 0, index.region(0), maxBytes);
      const last = Math.max(-1, ...chosen.map(([segment]) => index.locate(segment).layer));
      const head = index.parts[index.groups.findLastIndex((start) => start <= last)] ?? 0;
      expect(chosen.reduce((sum, [, bytes]) => sum + bytes, head)).toBeLessThanOrEqual(maxBytes);
    }
    const least = index.parts[0]! + index.length(0);
    expect(codec.decode(data, { maxBytes: least, level: index.levels.length - 1 }).bound).toBe(0);
    expect(() => codec.decode(data, { maxBytes: least - 1 })).toThrow(InsufficientData);
  });

  it("leaves room for a fourth component", () => {
    const region = [5, 7, 20, 30] as const;
    const three = codec.decode(data, { region });
    const four = codec.decode(data, { region, components: 4 });
    expect(four.shape).toEqual([20, 30, 4]);
    for (let i = 0; i < 600; i++)
      expect([...four.data.subarray(i * 4, i * 4 + 4)]).toEqual([...three.data.subarray(i * 3, i * 3 + 3), 255]);
  });

  it("refuses what is not there", () => {
    for (const options of [
      { level: 40 },
      { region: [0, 0, 0, 5] as const },
      { region: [0, 0, index.height + 1, 5] as const },
      { region: [0, 0.5, 5, 5] as const },
      { components: 2 },
      { maxError: -1 },
      { maxBytes: Number.NaN },
    ])
      expect(() => codec.decode(data, options)).toThrow(InvalidArgument);
  });

  it("tells prefixes, damage and other versions of a head apart", () => {
    for (let n = 0; n < index.headSize; n++) {
      expect(() => codec.parse(data.subarray(0, n))).toThrow(InsufficientData);
      const size = codec.headSize(data.subarray(0, n));
      expect(size).toBe(n < FIXED_BYTES && size === 0 ? 0 : index.headSize);
    }
    expect(codec.headSize(data)).toBe(index.headSize);
    const bad = Uint8Array.from(data);
    bad[20]! ^= 1;
    expect(() => codec.parse(bad)).toThrow(CorruptData);
    expect(() => codec.parse(new TextEncoder().encode("<!doctype html> nothing here"))).toThrow(CorruptData);
    const later = Uint8Array.from(data);
    later[4] = 9;
    expect(() => codec.parse(later)).toThrow(UnsupportedFormat);
    expect(() => codec.headSize(later)).toThrow(UnsupportedFormat);
  });
});

describe("the index of the first groups of layers", () => {
  const levels = (parsed: ShardIndex) => parsed.levels.map(({ layers, errors, mse, measured }) => ({ layers, errors, mse, measured }));

  it("is the first part of the whole one, from the first parts of the head", () => {
    expect(index.groups.length).toBeGreaterThan(2);
    for (const [g, size] of index.parts.entries()) {
      const groups = g + 1;
      expect(codec.headSize(data, groups)).toBe(size);
      expect(() => codec.parse(data.subarray(0, size - 1), groups)).toThrow(InsufficientData);
      const part = codec.parse(data.subarray(0, size), groups);
      expect(part.groups).toEqual(index.groups.slice(0, groups));
      expect(part.parts).toEqual(index.parts.slice(0, groups));
      expect(part.headSize).toBe(index.headSize);
      expect(part.offsets).toEqual(index.offsets.subarray(0, part.segments + 1));
      const most = index.groups[groups] ?? Number.POSITIVE_INFINITY;
      expect(levels(part)).toEqual(
        levels(index).map(({ layers, errors, mse, measured }) => ({
          layers: Math.min(layers, most),
          errors: errors.slice(0, Math.min(layers, most) + 1),
          mse: mse.slice(0, Math.min(layers, most) + 1),
          measured: new Map([...measured].filter(([n]) => n <= Math.min(layers, most))),
        })),
      );
      for (let s = 0; s < part.segments; s++) expect(part.locate(s)).toEqual(index.locate(s));
    }
    expect(codec.parse(data, 99)).toEqual(index);
    expect(() => codec.parse(data, 0)).toThrow(InvalidArgument);
  });

  it("gives the samples that these layers of the whole one give", () => {
    for (let groups = 1; groups <= index.groups.length; groups++) {
      const part = codec.parse(data, groups);
      const few = codec.decoder(part);
      few.feed(0, data);
      const chosen = codec.decoder(index);
      const layers = part.levels.map((level) => level.layers);
      for (const s of segmentsFor(index, 0, index.region(0), layers)) chosen.add(s, bytesOf(s));
      for (const level of [0, 2]) {
        const picture = few.decode({ level });
        expect(picture.data).toEqual(chosen.decode({ level }).data);
        // Empty segments of later groups are there in the whole index.
        expect(picture.bound).toBeGreaterThanOrEqual(chosen.bound(level));
      }
      few.close();
      chosen.close();
    }
  });
});

describe("decoder", () => {
  it("refines to the same picture in any order of arrival", () => {
    const made = decoder(index.offsets[1]);
    const order = Array.from({ length: index.segments }, (_, s) => (s * 7919) % index.segments);
    let last = made.bound(0);
    let estimate = made.mse(0);
    for (const [n, s] of order.entries()) {
      made.add(s, bytesOf(s));
      if (n % 50 === 0) made.decode();
      expect(made.bound(0)).toBeLessThanOrEqual(last);
      expect(made.mse(0)).toBeLessThanOrEqual(estimate);
      last = made.bound(0);
      estimate = made.mse(0);
    }
    for (let s = 0; s < index.segments; s++) made.add(s, bytesOf(s));
    expectSame(made.decode(), codec.decode(data));
    made.close();
  });

  it("takes chunks of the shard from anywhere", () => {
    const made = codec.decoder(index);
    const step = 700;
    for (let offset = 0; offset < data.length; offset += step) made.feed(offset, data.subarray(offset, offset + step));
    // What the cuts went through is still missing.
    for (let s = 0; s < index.segments; s++)
      if (!made.has(s)) made.feed(index.offsets[s]! - 5, data.subarray(index.offsets[s]! - 5, index.offsets[s + 1]));
    expectSame(made.decode(), codec.decode(data));
    made.close();
  });

  it("makes the picture better with the beginning of a segment", () => {
    const exact = codec.decode(data);
    const squares = ({ data: samples }: Picture) => {
      let sum = 0;
      for (const [i, value] of samples.entries()) sum += (value - exact.data[i]!) ** 2;
      return sum;
    };
    // All of the coarser levels, and the middle tile of the finest up to its largest segment.
    const { layers, tilesX, tilesY } = index.levels[0]!;
    const made = codec.decoder(index);
    for (let s = 0; s < index.segments; s++) if (index.locate(s).level > 0) made.add(s, bytesOf(s));
    const ofTile = Array.from({ length: layers }, (_, n) => index.segment(0, n, tilesY >> 1, tilesX >> 1));
    const largest = ofTile.reduce((a, b) => (index.length(b) > index.length(a) ? b : a));
    for (const s of ofTile) if (s < largest) made.add(s, bytesOf(s));
    const before = made.decode();
    let last = squares(before);
    for (const part of [0.3, 0.6, 0.9]) {
      made.addPrefix(largest, bytesOf(largest).subarray(0, index.length(largest) * part));
      const picture = made.decode();
      expect(picture.bound).toBe(before.bound);
      expect(squares(picture)).toBeLessThanOrEqual(last);
      last = squares(picture);
    }
    expect(last).toBeLessThan(squares(before));
    made.addPrefix(largest, bytesOf(largest));
    expect(made.has(largest)).toBe(true);
    expect(squares(made.decode())).toBeLessThan(last);
    expect(() => made.addPrefix(0, new Uint8Array(index.length(0) + 1))).toThrow(InvalidArgument);
    made.close();
  });

  it("decodes the same with a cache that holds next to nothing", async () => {
    const small = await loadCodec(codec.module, { cacheBytes: 1 });
    const made = small.decoder(index);
    made.feed(0, data);
    const whole = codec.decode(data);
    expectSame(made.decode(), whole);
    expectSame(made.decode(), whole);
  });

  it("gives memory back", () => {
    const { arena } = (codec as unknown as { kernels: { arena: { used: number } } }).kernels;
    const before = arena.used;
    for (let round = 0; round < 3; round++) {
      const made = decoder();
      made.decode();
      made.decode({ level: 1, region: [3, 5, 20, 30] });
      made.close();
      expect(arena.used).toBe(before);
    }
    expect(() => codec.decode(data.subarray(0, index.headSize))).toThrow(InsufficientData);
    expect(arena.used).toBe(before);
  });

  it("names the segment whose bytes are wrong, and goes on without it when asked to", () => {
    const segment = Array.from({ length: index.segments }, (_, s) => s).findLast((s) => index.length(s) > 20)!;
    const { level, layer, tileY, tileX } = index.locate(segment);
    const bad = Uint8Array.from(data);
    bad[index.offsets[segment]! + 9]! ^= 16;
    const strict = codec.decoder(index, { name: "0/c/0/3/1" });
    strict.feed(0, bad);
    const caught = thrown(() => strict.decode());
    expect(caught).toBeInstanceOf(CorruptData);
    expect(caught).toMatchObject({ segment });
    expect(caught.message).toContain(
      `0/c/0/3/1, segment ${segment} (level ${level}, layer ${layer}, tile ${tileY},${tileX})`,
    );

    const damage: CorruptData[] = [];
    const tolerant = codec.decoder(index, { onDamage: (error) => damage.push(error) });
    tolerant.feed(0, bad);
    const { bound } = tolerant.decode();
    expect(damage.map((error) => error.segment)).toEqual([segment]);
    expect(tolerant.layers(level, tileY, tileX)).toBe(layer);
    expect(bound).toBeGreaterThan(0);
    tolerant.add(segment, bytesOf(segment));
    expectSame(tolerant.decode(), codec.decode(data));

    const base = Uint8Array.from(data);
    base[index.offsets[0]! + 1]! ^= 16;
    tolerant.drop(0);
    tolerant.feed(0, base, [0]);
    const without = codec.decoder(index, { onDamage: (error) => damage.push(error) });
    without.feed(0, base);
    expect(thrown(() => without.decode())).toMatchObject({ name: "CorruptData", segment: 0 });
    expect(without.has(0)).toBe(false);
    expect(() => without.decode()).toThrow(InsufficientData);
  });

  it("refuses a segment of another length", () => {
    const made = codec.decoder(index);
    expect(() => made.add(0, new Uint8Array(3))).toThrow(/segment 0 .*: \d+ bytes announced, 3 given/);
    expect(() => made.add(index.segments, new Uint8Array(3))).toThrow(InvalidArgument);
  });
});

function thrown(f: () => unknown): Error {
  try {
    f();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
}
