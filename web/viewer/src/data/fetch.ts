/**
 * Objects and byte ranges over HTTP: checked, retried, counted.
 *
 * - `cache: "no-store"`: with the browser's cache in between, Chromium answers the ranges of one URL one after the other.
 * - A range's length is checked against Content-Range: servers answer short past the end, or ignore Range altogether.
 * - The ETag goes back to the caller, which pins it: all ranges of an object must be of one version.
 */
import { isAbort, ViewerError } from "./errors.ts";

export interface FetchedRange {
  data: Uint8Array<ArrayBuffer>;
  /** Version of the object, or "" when the server does not say (or CORS hides it). */
  etag: string;
}

export interface RangeOptions {
  signal?: AbortSignal;
  /** The range may pass the object's end. */
  short?: boolean;
  /** Called as bytes arrive, with all that have arrived (the memory is reused) and the object's version. */
  onPart?(arrived: Uint8Array, etag: string): void;
}

export interface FetcherOptions {
  /** Attempts after the first one, for network failures and 5xx answers. */
  retries?: number;
  /** Wait before the first retry; doubles each time, plus up to as much again at random. */
  backoffMs?: number;
  /** Bytes between two reports of a range on its way. */
  partBytes?: number;
  fetch?: typeof fetch;
}

/** Largest answer taken in place of a range, from a server that ignores Range. */
const WHOLE_OBJECT_LIMIT = 64 << 20;

export class Fetcher {
  /** Bytes of bodies received, aborted ones left out. */
  bytes = 0;
  /** Requests sent, retries included. */
  requests = 0;

  private readonly retries: number;
  private readonly backoffMs: number;
  private readonly partBytes: number;
  private readonly fetch: typeof fetch;

  constructor(options: FetcherOptions = {}) {
    this.retries = options.retries ?? 4;
    this.backoffMs = options.backoffMs ?? 250;
    this.partBytes = options.partBytes ?? 32 << 10;
    this.fetch = options.fetch ?? ((input, init) => fetch(input, init));
  }

  /** A whole small object; null when there is none. */
  async object(url: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.withRetries(url, signal, async () => {
      const response = await this.fetch(url, { cache: "no-cache", ...(signal && { signal }) });
      if (response.status === 404 || response.status === 410) return null;
      if (!response.ok) throw statusError(url, response.status);
      return this.body(response);
    });
  }

  /**
   * Bytes [offset, offset + length) of an object; null when there is no such object.
   *
   * @param length may pass the object's end when `options.short` is true: the answer then ends there.
   * @throws ViewerError "network", "server", "forbidden"; an AbortError when `signal` says so.
   */
  async range(
    url: string,
    offset: number,
    length: number,
    { signal, short = false, onPart }: RangeOptions = {},
  ): Promise<FetchedRange | null> {
    return this.withRetries(url, signal, async () => {
      const response = await this.fetch(url, {
        headers: { Range: `bytes=${offset}-${offset + length - 1}` },
        cache: "no-store",
        ...(signal && { signal }),
      });
      const { status } = response;
      if (status === 404 || status === 410) {
        await response.body?.cancel();
        return null;
      }
      if (status !== 206 && status !== 200) {
        await response.body?.cancel();
        throw statusError(url, status);
      }
      const announced = Number(response.headers.get("Content-Length") ?? 0);
      if (status === 200 && announced > WHOLE_OBJECT_LIMIT) {
        await response.body?.cancel();
        throw new ViewerError(
          "server",
          `${url}: the server ignores byte ranges and would send ${announced} bytes`,
          url,
        );
      }
      const etag = response.headers.get("ETag") ?? "";
      let data =
        status === 206 && onPart
          ? await this.parts(response, length, (arrived) => onPart(arrived, etag))
          : await this.body(response);
      if (status === 200) data = data.slice(offset, offset + length);
      const total = Number(/\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "")?.[1] ?? Number.NaN);
      const expected = short && total < offset + length ? total - offset : length;
      // Without Content-Range (CORS hides it) a short head can not be told from a broken one: its own size field tells.
      const acceptable = short && Number.isNaN(total) ? data.length <= length : data.length === expected;
      if (!acceptable || data.length === 0)
        throw new ViewerError(
          "server",
          `${url}: ${expected} bytes expected at offset ${offset}, ${data.length} received`,
          url,
        );
      return { data, etag };
    });
  }

  private async body(response: Response): Promise<Uint8Array<ArrayBuffer>> {
    const data = new Uint8Array(await response.arrayBuffer());
    this.bytes += data.length;
    return data;
  }

  /** The body of at most `length` bytes, reported on its way. */
  private async parts(
    response: Response,
    length: number,
    onPart: (arrived: Uint8Array) => void,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const data = new Uint8Array(length);
    let filled = 0;
    let reported = 0;
    const reader = response.body!.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return data.subarray(0, filled);
      this.bytes += value.length;
      if (filled + value.length > length) {
        await reader.cancel();
        throw new ViewerError(
          "server",
          `${response.url}: more than the ${length} bytes that were asked for`,
          response.url,
        );
      }
      data.set(value, filled);
      filled += value.length;
      if (filled - reported >= this.partBytes && filled < length) {
        reported = filled;
        onPart(data.subarray(0, filled));
      }
    }
  }

  private async withRetries<T>(url: string, signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
    for (let n = 0; ; n++) {
      let failure: ViewerError;
      this.requests++;
      try {
        return await attempt();
      } catch (error) {
        if (isAbort(error) || signal?.aborted) throw new DOMException(`${url}: not wanted any more`, "AbortError");
        failure =
          error instanceof ViewerError
            ? error
            : new ViewerError(
                "network",
                `${url}: no answer. The server is unreachable, or its answer lacks the header Access-Control-Allow-Origin`,
                url,
                { cause: error },
              );
      }
      if (n >= this.retries || (failure.kind !== "network" && failure.kind !== "server")) throw failure;
      await pause(this.backoffMs * 2 ** n * (1 + Math.random()), signal);
    }
  }
}

function statusError(url: string, status: number): ViewerError {
  if (status === 401 || status === 403) return new ViewerError("forbidden", `${url}: access denied (${status})`, url);
  if (status >= 500 || status === 429) return new ViewerError("server", `${url}: the server answers ${status}`, url);
  if (status === 416) return new ViewerError("corrupt", `${url}: the object is shorter than its index says (416)`, url);
  return new ViewerError("unsupported", `${url}: the server answers ${status}`, url);
}

/** Wait; ends early, without an error, when the signal fires. */
function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    signal?.addEventListener("abort", done);
  });
}
