/** The frozen vectors decode to the same samples as everywhere, bit for bit, in this thread and in workers. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Codec, DecoderPool, InsufficientData, type Picture, type Region } from "@firstlight/codecs";
import { testCodec, testWorker, VECTORS } from "./support.ts";

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

let codec: Codec;
let pool: DecoderPool;
beforeAll(async () => {
  codec = await testCodec();
  pool = new DecoderPool({ workers: 2, wasm: codec.module, createWorker: testWorker });
});
afterAll(() => pool.close());

const versions = readdirSync(VECTORS, { withFileTypes: true }).filter((entry) => entry.isDirectory());

describe.each(versions.map((entry) => entry.name))("vectors %s", (version) => {
  const folder = join(VECTORS, version);
  const cases: Case[] = JSON.parse(readFileSync(join(folder, "cases.json"), "utf8"));

  it.each(cases)("$shard: $bytes bytes, level $level, region $region", async ({ shard, bytes, ...expected }) => {
    const data = new Uint8Array(readFileSync(join(folder, shard))).subarray(0, bytes);
    const options = { level: expected.level, region: expected.region ?? undefined, maxError: null };
    if (expected.sha256 === undefined) {
      expect(() => codec.decode(data, options)).toThrow(InsufficientData);
      await expect(pool.decode(data, options)).rejects.toThrow(InsufficientData);
      return;
    }
    const check = ({ data, shape, bound }: Picture) => {
      expect(data.constructor.name.toLowerCase()).toBe(`${expected.dtype}array`);
      expect(shape).toEqual(expected.shape);
      expect(createHash("sha256").update(data).digest("hex")).toBe(expected.sha256);
      expect(bound).toBe(expected.bound);
    };
    check(codec.decode(data, options));
    check(await pool.decode(data, options));
  });
});
