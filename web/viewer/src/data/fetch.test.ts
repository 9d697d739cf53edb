import { ViewerError } from "./errors.ts";
import { Fetcher } from "./fetch.ts";

type Answer = Response | Error | ((init: RequestInit) => Promise<Response>);

/** A fetcher that gets scripted answers, and what it asked for. */
function scripted(...answers: Answer[]) {
  const asked: { url: string; range: string | undefined; init: RequestInit }[] = [];
  const fetcher = new Fetcher({
    retries: 2,
    backoffMs: 1,
    fetch: async (input, init = {}) => {
      asked.push({ url: String(input), range: (init.headers as Record<string, string> | undefined)?.Range, init });
      const answer = answers.shift();
      if (!answer) throw new Error("asked too often");
      if (answer instanceof Error) throw answer;
      return typeof answer === "function" ? answer(init) : answer;
    },
  });
  return { fetcher, asked };
}

function part(bytes: number[], from: number, total: number, etag = '"a"'): Response {
  return new Response(Uint8Array.from(bytes), {
    status: 206,
    headers: { "Content-Range": `bytes ${from}-${from + bytes.length - 1}/${total}`, ETag: etag },
  });
}

const url = "http://host/0/c/0/0";

describe("range", () => {
  it("asks for the bytes, past the browser's cache, and counts them", async () => {
    const { fetcher, asked } = scripted(part([1, 2, 3], 10, 99));
    expect(await fetcher.range(url, 10, 3)).toEqual({ data: Uint8Array.of(1, 2, 3), etag: '"a"' });
    expect(asked[0]).toMatchObject({ url, range: "bytes=10-12", init: { cache: "no-store" } });
    expect(fetcher).toMatchObject({ bytes: 3, requests: 1 });
  });

  it("takes a missing object for null, without trying again", async () => {
    const { fetcher, asked } = scripted(new Response("no", { status: 404 }));
    expect(await fetcher.range(url, 0, 3)).toBeNull();
    expect(asked.length).toBe(1);
  });

  it("tries again after 5xx answers, broken lines and short answers", async () => {
    const { fetcher } = scripted(new Response("", { status: 503 }), new TypeError("reset"), part([7, 8], 0, 2));
    expect((await fetcher.range(url, 0, 2))?.data).toEqual(Uint8Array.of(7, 8));
    const short = scripted(part([1], 0, 9), part([1, 2], 0, 9));
    expect((await short.fetcher.range(url, 0, 2))?.data).toEqual(Uint8Array.of(1, 2));
  });

  it("gives up with an error that names object, expected and found", async () => {
    const answer = () => part([1], 4, 9);
    const { fetcher } = scripted(answer(), answer(), answer());
    await expect(fetcher.range(url, 4, 2)).rejects.toThrow(`${url}: 2 bytes expected at offset 4, 1 received`);
  });

  it("explains a line that never answers", async () => {
    const { fetcher } = scripted(new TypeError("x"), new TypeError("x"), new TypeError("x"));
    await expect(fetcher.range(url, 0, 2)).rejects.toMatchObject({ kind: "network" });
  });

  it.each([
    [403, "forbidden"],
    [416, "corrupt"],
    [500, "server"],
  ])("status %i is %s", async (status, kind) => {
    const answers = [1, 2, 3].map(() => new Response("", { status }));
    const { fetcher } = scripted(...answers);
    const failure = await fetcher.range(url, 0, 2).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ViewerError);
    expect(failure).toMatchObject({ kind, url });
  });

  it("takes a short answer at the object's end only where that is allowed", async () => {
    const { fetcher } = scripted(part([1, 2], 0, 2));
    expect((await fetcher.range(url, 0, 50, { short: true }))?.data.length).toBe(2);
    const strict = scripted(part([1, 2], 0, 2), part([1, 2], 0, 2), part([1, 2], 0, 2));
    await expect(strict.fetcher.range(url, 0, 50)).rejects.toThrow("50 bytes expected");
  });

  it("cuts the range out when a server ignores Range, unless that is a lot", async () => {
    const { fetcher } = scripted(new Response(Uint8Array.of(0, 1, 2, 3, 4)));
    expect((await fetcher.range(url, 1, 2))?.data).toEqual(Uint8Array.of(1, 2));
    const big = () => new Response("", { headers: { "Content-Length": String(1 << 30) } });
    const refused = scripted(big(), big(), big());
    await expect(refused.fetcher.range(url, 1, 2)).rejects.toThrow("ignores byte ranges");
  });

  it("reports bytes as they arrive", async () => {
    const chunk = new Uint8Array(40_000).fill(5);
    const body = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 3; i++) controller.enqueue(chunk);
        controller.close();
      },
    });
    const answer = new Response(body, {
      status: 206,
      headers: { "Content-Range": "bytes 0-119999/120000", ETag: '"v"' },
    });
    const { fetcher } = scripted(answer);
    const parts: [number, string][] = [];
    const onPart = (arrived: Uint8Array, etag: string) => parts.push([arrived.length, etag]);
    expect((await fetcher.range(url, 0, 120_000, { onPart }))?.data.length).toBe(120_000);
    expect(parts).toEqual([
      [40_000, '"v"'],
      [80_000, '"v"'],
    ]);
  });

  it("stops when it is not wanted any more, also between two attempts", async () => {
    const controller = new AbortController();
    const { fetcher, asked } = scripted(async () => {
      controller.abort();
      return new Response("", { status: 503 });
    });
    await expect(fetcher.range(url, 0, 2, { signal: controller.signal })).rejects.toMatchObject({ name: "AbortError" });
    expect(asked.length).toBe(1);
  });
});

describe("object", () => {
  it("reads a whole small object, or null", async () => {
    const { fetcher } = scripted(new Response("{}"), new Response("", { status: 404 }));
    expect(await fetcher.object(url)).toEqual(new TextEncoder().encode("{}"));
    expect(await fetcher.object(url)).toBeNull();
  });
});
