/** The codec for tests: the kernels that FIRSTLIGHT_KERNELS names, or those that Python finds; workers from the sources. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Worker } from "node:worker_threads";
import { type Codec, type CodecOptions, loadCodec, type Picture, type WorkerLike } from "@firstlight/codecs";

const ROOT = resolve(import.meta.dirname, "..", "..", "..");

/** The frozen shards of each format version. */
export const VECTORS = resolve(ROOT, "codecs", "vectors");

export function testCodec(options?: CodecOptions): Promise<Codec> {
  return loadCodec(readFileSync(process.env.FIRSTLIGHT_KERNELS ?? installedKernels()), options);
}

function installedKernels(): string {
  const venv = resolve(ROOT, ".venv", "bin", "python");
  const python = process.env.PYTHON ?? (existsSync(venv) ? venv : "python3");
  const find = "import importlib.resources as r; print(r.files('firstlight.codecs') / 'kernels.wasm')";
  return execFileSync(python, ["-c", find], { encoding: "utf8" }).trim();
}

/** Fails unless two pictures are the same in all. (`toEqual` looks at samples one by one, slowly.) */
export function expectSame(found: Picture, expected: Picture): void {
  expect([found.shape, found.bound, found.data.constructor]).toEqual([
    expected.shape,
    expected.bound,
    expected.data.constructor,
  ]);
  expect(Buffer.compare(Buffer.from(found.data.buffer), Buffer.from(expected.data.buffer))).toBe(0);
}

let script: string | undefined;

/** A thread with the worker's script: bundled, because Node reads no TypeScript. */
export function testWorker(): WorkerLike {
  const esbuild = resolve(ROOT, "web", "node_modules", ".bin", "esbuild");
  const entry = resolve(ROOT, "codecs", "js", "src", "worker.ts");
  script ??= execFileSync(esbuild, [entry, "--bundle", "--format=esm"], { encoding: "utf8" });
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`));
}
