/** The loader against a scripted network and a worker that only takes notes; heads are parsed by the real kernels. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Codec, ShardIndex } from "@firstlight/codecs";
import { testCodec, VECTORS } from "../../../../codecs/js/test/support.ts";
import { ImageLayout } from "../plan/layout.ts";
import type { View } from "../plan/plan.ts";
import type { ViewerError } from "./errors.ts";
import { Fetcher } from "./fetch.ts";
import { Loader } from "./loader.ts";

const SHARD = readFileSync(join(VECTORS, "v4", "rgb.fls"));

/** What the loader's pool says to a worker. */
type Said =
  | { type: "open" | "close"; shard: number }
  | { type: "feed"; offset: number; data: Uint8Array; segments: readonly number[] };

let codec: Codec;
beforeAll(async () => {
  codec = await testCodec();
});

/** The image that consists of the one shard rgb.fls. */
const layout = new ImageLayout({
  name: "rgb",
  axes: ["c", "y", "x"],
  dtype: "uint8",
  rgb: true,
  arrays: [{ path: "0", shape: [3, 157, 211], chunks: [3, 157, 211], headBytes: 300 }],
  channels: ["red", "green", "blue"].map((label) => ({
    label,
    color: "#ffffff",
    window: [0, 255] as const,
    limits: [0, 255] as const,
    active: true,
  })),
  pixelSize: {},
  thumbnail: null,
  source: null,
  storedBytes: null,
});
const whole: View = { region: [0, 0, 157, 211], level: 0, channels: [0] };

/** A host with one object, whose version and answers may change. */
class Host {
  etag = '"1"';
  data: Uint8Array | null = SHARD;
  asked: string[] = [];
  aborted = 0;
  /** While set, answers wait. */
  hold: Promise<void> | null = null;
  /** Answers come a hundred bytes at a time. */
  dribble = false;

  fetch = async (_: unknown, init: RequestInit = {}): Promise<Response> => {
    const range = (init.headers as Record<string, string>).Range!;
    this.asked.push(range);
    init.signal?.addEventListener("abort", () => this.aborted++);
    if (this.hold) await this.hold;
    if (init.signal?.aborted) throw new DOMException("aborted", "AbortError");
    if (!this.data) return new Response("", { status: 404 });
    const [from, to] = range.slice(6).split("-").map(Number) as [number, number];
    const part = this.data.slice(from, to + 1);
    const headers = { ETag: this.etag, "Content-Range": `bytes ${from}-${from + part.length - 1}/${this.data.length}` };
    if (!this.dribble) return new Response(part, { status: 206, headers });
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        controller.enqueue(part.slice(sent, sent + 100));
        sent += 100;
        if (sent >= part.length) controller.close();
      },
    });
    return new Response(body, { status: 206, headers });
  };
}

function setUp() {
  const host = new Host();
  const said: Said[] = [];
  const errors: ViewerError[] = [];
  const restarted: string[] = [];
  let worker: Worker | undefined;
  const loader = new Loader({
    layout,
    url: (key) => `http://host/${key}`,
    fetcher: new Fetcher({ retries: 0, partBytes: 100, fetch: host.fetch as typeof fetch }),
    codec,
    segmentBytes: 1 << 20,
    concurrency: 6,
    workers: 1,
    cacheBytes: 0,
    createWorker: () => {
      worker = { postMessage: (message: Said) => said.push(message), terminate: () => {} } as unknown as Worker;
      return worker;
    },
    onChange: () => {},
    onRestart: (key) => restarted.push(key),
    onError: (error) => errors.push(error),
  });
  const hear = (data: unknown) => worker!.onmessage!({ data } as MessageEvent);
  const idle = () => vi.waitFor(() => expect([loader.session.idle, loader.pending]).toEqual([true, 0]));
  return { host, said, errors, restarted, loader, hear, idle };
}

const KEY = "0/c/0/0/0";

/** What a segment's tile is decoded for at once: a group of its layers. */
function groupOf(index: ShardIndex, segment: number): string {
  const { level, layer, tileY, tileX } = index.locate(segment);
  return `${level} ${tileY} ${tileX} ${index.groups.findLastIndex((start) => start <= layer)}`;
}

describe("loader", () => {
  it("fetches what the view needs and hands every segment over once, with the right bytes", async () => {
    const { host, said, errors, loader, idle } = setUp();
    loader.look(whole, []);
    await idle();
    expect(errors).toEqual([]);
    expect(host.asked[0]).toBe("bytes=0-299");
    expect(said.map((message) => message.type).filter((type) => type === "open").length).toBe(1);
    const { index, progress } = loader.shard(KEY)!;
    const seen = new Set<number>();
    for (const message of said) {
      if (message.type !== "feed") continue;
      const { data } = message;
      for (const segment of message.segments) {
        expect(seen.has(segment)).toBe(false);
        seen.add(segment);
        const [from, to] = [index.offsets[segment]!, index.offsets[segment + 1]!];
        expect(data.slice(from - message.offset, to - message.offset)).toEqual(
          Uint8Array.from(SHARD.subarray(from, to)),
        );
      }
    }
    expect(progress.quality(0, [0, 0, 157, 211])).toMatchObject({ ready: true, error: 0 });
    expect(loader.segments).toBe(seen.size);
    expect(loader.session.exact).toBe(true);
  });

  it("uses an answer on its way tile by tile", async () => {
    const { host, said, loader, idle } = setUp();
    loader.look({ ...whole, level: 2, region: [0, 0, 40, 53] }, []);
    await idle();
    const before = host.asked.length;
    host.dribble = true;
    loader.look(whole, []);
    await idle();
    const { index } = loader.shard(KEY)!;
    for (const range of host.asked.slice(before)) {
      const [from, to] = range.slice(6).split("-").map(Number) as [number, number];
      const messages = said.flatMap((m) => (m.type === "feed" && m.offset >= from && m.offset <= to ? [m] : []));
      // What there is of a tile and a group is in one message only.
      const groups = messages.map(({ segments }) => new Set(segments.map((s) => groupOf(index, s))));
      expect(new Set(groups.flatMap((set) => [...set])).size).toBe(groups.reduce((sum, set) => sum + set.size, 0));
      if (to - from > 20_000) expect(messages.length).toBeGreaterThan(1);
    }
    expect(loader.session.exact).toBe(true);
  });

  it("aborts what another view does not need", async () => {
    const { host, loader, idle } = setUp();
    loader.look({ ...whole, level: 2, region: [0, 0, 40, 53] }, []);
    await idle();
    let go = () => {};
    host.hold = new Promise((resolve) => {
      go = resolve;
    });
    loader.look(whole, []);
    expect(loader.pending).toBeGreaterThan(0);
    loader.look({ ...whole, level: 3, region: [0, 0, 20, 27] }, []);
    expect(host.aborted).toBeGreaterThan(0);
    expect(loader.pending).toBe(0);
    go();
    await idle();
  });

  it("takes a missing object for the fill value", async () => {
    const { host, errors, loader, idle } = setUp();
    host.data = null;
    loader.look(whole, []);
    await idle();
    expect(loader.isAbsent(KEY)).toBe(true);
    expect(errors).toEqual([]);
  });

  it("starts an object afresh that was replaced", async () => {
    const { host, said, restarted, loader, idle } = setUp();
    loader.look({ ...whole, level: 2, region: [0, 0, 40, 53] }, []);
    await idle();
    host.etag = '"2"';
    loader.look(whole, []);
    await idle();
    expect(restarted).toEqual([KEY]);
    const types = said.map((message) => message.type);
    expect(types.filter((type) => type === "open").length).toBe(2);
    expect(types).toContain("close");
    expect(loader.session.exact).toBe(true);
  });

  it("fetches a damaged segment again, a few times", async () => {
    const { host, said, errors, loader, hear, idle } = setUp();
    loader.look(whole, []);
    await idle();
    const { index, progress } = loader.shard(KEY)!;
    const { shard } = said.find(({ type }) => type === "open") as { shard: number };
    const segment = Array.from({ length: index.segments }, (_, s) => s).findLast((s) => index.length(s) > 0)!;
    const before = host.asked.length;
    for (let time = 1; time <= 4; time++) {
      const error = { name: "CorruptData", message: `segment ${segment} is damaged`, segment };
      hear({ type: "damaged", shard, error });
      await idle();
    }
    expect(errors[0]).toMatchObject({ kind: "corrupt" });
    expect(host.asked.length - before).toBe(2);
    expect(progress.has(segment)).toBe(false);
    expect(loader.session.exact).toBe(false);
    loader.retry();
    await idle();
    expect(progress.has(segment)).toBe(true);
  });

  it("says that an object is no shard, and tries again when asked to", async () => {
    const { host, errors, loader, idle } = setUp();
    host.data = new TextEncoder().encode("<!doctype html><p>This is no shard, but a page of a proxy</p>");
    loader.look(whole, []);
    await idle();
    expect(errors.at(-1)).toMatchObject({ kind: "corrupt", url: `http://host/${KEY}` });
    host.data = SHARD;
    loader.retry();
    await idle();
    expect(loader.session.exact).toBe(true);
  });
});
