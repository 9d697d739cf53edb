/** Decoding in other threads: real ones, by the script that pages and Node start. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Codec,
  CorruptData,
  DecoderPool,
  InsufficientData,
  type PoolOptions,
  UnsupportedFormat,
  type WorkerLike,
} from "@firstlight/codecs";
import { expectSame, testCodec, testWorker, VECTORS } from "./support.ts";

const data = new Uint8Array(readFileSync(join(VECTORS, "v4", "rgb.fls")));
const WORKERS = 2;

let codec: Codec;
const pools: DecoderPool[] = [];
beforeAll(async () => {
  codec = await testCodec();
});
afterEach(() => {
  for (const pool of pools.splice(0)) pool.close();
});

function makePool(options: PoolOptions = {}): DecoderPool {
  const pool = new DecoderPool({ workers: WORKERS, wasm: codec.module, createWorker: testWorker, ...options });
  pools.push(pool);
  return pool;
}

describe("a pool", () => {
  it("makes the same pictures, and leaves the bytes alone", async () => {
    const pool = makePool();
    const copy = Uint8Array.from(data);
    const wanted = [
      {},
      { level: 1 },
      { level: 2, maxError: 9 },
      { region: [3, 4, 50, 60] as const },
      { maxBytes: 5000 },
    ];
    const pictures = await Promise.all(wanted.map((options) => pool.decode(data, options)));
    expect(pool.busy).toBe(0);
    for (const [i, options] of wanted.entries()) expectSame(pictures[i]!, codec.decode(data, options));
    expect(data).toEqual(copy);
  });

  it("takes a buffer over when told to, and reads shared memory where it is", async () => {
    const pool = makePool();
    const given = Uint8Array.from(data);
    const whole = codec.decode(data);
    expectSame(await pool.decode(given, { transfer: true }), whole);
    expect(given.length).toBe(0);
    const shared = new Uint8Array(new SharedArrayBuffer(data.length));
    shared.set(data);
    expectSame(await pool.decode(shared), whole);
  });

  it("spreads pictures over its workers", async () => {
    const given = new Map<WorkerLike, number>();
    const createWorker = () => {
      const worker = testWorker();
      const { postMessage } = worker;
      worker.postMessage = (message, transfer) => {
        if ((message as { type: string }).type === "whole") given.set(worker, (given.get(worker) ?? 0) + 1);
        postMessage.call(worker, message, transfer);
      };
      return worker;
    };
    const pool = makePool({ createWorker });
    await Promise.all(Array.from({ length: 6 }, () => pool.decode(data, { level: 2 })));
    expect([...given.values()]).toEqual([3, 3]);
  });

  it("says what is wrong, by class", async () => {
    const pool = makePool();
    await expect(pool.decode(data.subarray(0, 20))).rejects.toThrow(InsufficientData);
    const later = Uint8Array.from(data);
    later[4] = 9;
    await expect(pool.decode(later)).rejects.toThrow(UnsupportedFormat);
    const bad = Uint8Array.from(data);
    bad[bad.length - 1]! ^= 1;
    const error = await pool.decode(bad).catch((reason) => reason);
    expect(error).toBeInstanceOf(CorruptData);
    expect(error.segment).toBeGreaterThan(0);
  });

  it("does not make what is not wanted any more", async () => {
    const pool = makePool({ workers: 1 });
    const control = new AbortController();
    const first = pool.decode(data);
    const unwanted = pool.decode(data, { signal: control.signal });
    control.abort();
    await expect(unwanted).rejects.toMatchObject({ name: "AbortError" });
    await expect(pool.decode(data, { signal: control.signal })).rejects.toMatchObject({ name: "AbortError" });
    await first;
    expect(pool.busy).toBe(0);
  });

  it("makes the urgent one first", async () => {
    const pool = makePool({ workers: 1 });
    await pool.decode(data, { level: 3 });
    const order: string[] = [];
    const jobs = [3, 2, 1].map((priority) => pool.decode(data, { priority }).then(() => order.push(`${priority}`)));
    await Promise.all(jobs);
    expect(order).toEqual(["1", "2", "3"]);
  });

  it("rejects what waits when it is closed", async () => {
    const pool = makePool();
    const waiting = pool.decode(data);
    pool.close();
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
    await expect(pool.decode(data)).rejects.toMatchObject({ name: "AbortError" });
  });

  it("says that its kernels or its workers do not run", async () => {
    const errors: Error[] = [];
    const onError = (error: Error) => errors.push(error);
    await expect(makePool({ wasm: new Uint8Array(8), onError }).decode(data)).rejects.toThrow(WebAssembly.CompileError);
    const { Worker } = await import("node:worker_threads");
    const createWorker = () => new Worker("throw new Error('no such luck')", { eval: true });
    await expect(makePool({ createWorker, onError }).decode(data)).rejects.toThrow("decode worker: no such luck");
    expect(errors.length).toBeGreaterThanOrEqual(2);
  });
});

describe("an open shard", () => {
  it("gets better with what it is fed", async () => {
    const pool = makePool();
    const index = codec.parse(data);
    const decoder = pool.open(index);
    await expect(decoder.decode()).rejects.toThrow(InsufficientData);
    let last = Number.POSITIVE_INFINITY;
    const step = Math.ceil(data.length / 5);
    let whole = index.headSize;
    for (let end = step; whole < data.length; end += step) {
      const upTo = index.offsets.findLast((offset) => offset <= end)!;
      decoder.feed(whole, data.slice(whole, upTo));
      whole = upTo;
      const { bound } = await decoder.decode();
      expect(bound).toBeLessThanOrEqual(last);
      last = bound;
    }
    expectSame(await decoder.decode(), codec.decode(data));
    decoder.drop(Array.from({ length: index.segments - 1 }, (_, i) => i + 1));
    expect((await decoder.decode()).bound).toBeGreaterThan(0);
    decoder.close();
  });

  it("reports damage and goes on", async () => {
    const pool = makePool();
    const index = codec.parse(data);
    const segment = Array.from({ length: index.segments }, (_, s) => s).findLast((s) => index.length(s) > 0)!;
    const damage: CorruptData[] = [];
    const decoder = pool.open(index, { name: "0/c/0", onDamage: (error) => damage.push(error) });
    const bad = Uint8Array.from(data);
    bad[index.offsets[segment]!]! ^= 64;
    decoder.feed(0, bad);
    expect((await decoder.decode()).bound).toBeGreaterThan(0);
    expect(damage).toHaveLength(1);
    expect(damage[0]).toBeInstanceOf(CorruptData);
    expect(damage[0]).toMatchObject({ segment });
    expect(damage[0]!.message).toContain("0/c/0");
    decoder.feed(0, Uint8Array.from(data), [segment]);
    expect((await decoder.decode()).bound).toBe(0);
  });

  it("rejects what is waited for when it is closed", async () => {
    const pool = makePool();
    const decoder = pool.open(codec.parse(data));
    decoder.feed(0, Uint8Array.from(data));
    const waiting = decoder.decode();
    decoder.close();
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
    expect(pool.busy).toBe(0);
  });
});
