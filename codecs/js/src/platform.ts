/**
 * What pages and Node do differently: where a file's bytes come from, and how threads are started and talked to. Nothing else
 * of the codec knows which of them it runs in.
 */

/** The bytes of kernels.wasm, a compiled module, or the address of the file. */
export type WasmSource = BufferSource | WebAssembly.Module | URL | string;

/** The part of a page's Worker, and of one of node:worker_threads, that a pool needs. */
export interface WorkerLike {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  terminate(): unknown;
}

/** The other end, inside the worker. */
export interface Port {
  post(message: unknown, transfer: ArrayBuffer[]): void;
  listen(receive: (message: unknown) => void): void;
}

/** One of Node's own modules; undefined in a page. (An import would not load there.) */
function builtin<Name extends "node:fs/promises" | "node:os" | "node:worker_threads">(
  name: Name,
): NodeModules[Name] | undefined {
  return globalThis.process?.getBuiltinModule?.(name) as NodeModules[Name] | undefined;
}

interface NodeModules {
  "node:fs/promises": typeof import("node:fs/promises");
  "node:os": typeof import("node:os");
  "node:worker_threads": typeof import("node:worker_threads");
}

/** Compile the kernels; by default those beside this script. */
export async function compile(source: WasmSource = beside("kernels.wasm")): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (!(source instanceof URL) && typeof source !== "string") return WebAssembly.compile(source);
  const url = new URL(source, globalThis.location?.href ?? import.meta.url);
  const files = builtin("node:fs/promises");
  if (files && url.protocol === "file:") return WebAssembly.compile(await files.readFile(url));
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: the server answers ${response.status}`);
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Threads that the machine runs at a time. */
export function cores(): number {
  return builtin("node:os")?.availableParallelism() ?? (navigator.hardwareConcurrency || 2);
}

/** Start worker.js, which lies beside this script. */
export function startWorker(): WorkerLike {
  const script = beside("worker.js");
  const threads = builtin("node:worker_threads");
  if (threads) return new threads.Worker(script);
  if (script.origin === location.origin) return new Worker(script, { type: "module" });
  // A worker's script must be of the page's origin: one that imports the other.
  const blob = new Blob([`import ${JSON.stringify(script.href)};`], { type: "text/javascript" });
  return new Worker(URL.createObjectURL(blob), { type: "module" });
}

/** Hear what a worker says, and when it dies. */
export function hear(worker: WorkerLike, receive: (message: unknown) => void, fail: (reason: string) => void): void {
  if ("on" in worker) {
    const thread = worker as unknown as import("node:worker_threads").Worker;
    thread.on("message", receive);
    thread.on("error", (error) => fail(error.message));
  } else {
    const page = worker as unknown as Worker;
    page.onmessage = ({ data }) => receive(data);
    page.onerror = ({ message }) => fail(message || "its script can not be loaded");
  }
}

/** Inside a worker: the way to the one who started it. */
export function parentPort(): Port {
  const port = builtin("node:worker_threads")?.parentPort;
  if (port)
    return {
      post: (message, transfer) => port.postMessage(message, transfer),
      listen: (receive) => port.on("message", receive),
    };
  const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
  return {
    post: (message, transfer) => scope.postMessage(message, transfer),
    listen: (receive) => {
      scope.onmessage = ({ data }) => receive(data);
    },
  };
}

function beside(name: string): URL {
  return new URL(name, import.meta.url);
}
