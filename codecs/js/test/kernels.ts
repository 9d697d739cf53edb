/** The kernels for tests: the build that FIRSTLIGHT_KERNELS names, or the one that Python finds. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Kernels, loadKernels } from "@firstlight/codecs";

const ROOT = resolve(import.meta.dirname, "..", "..", "..");

/** The frozen shards of each format version. */
export const VECTORS = resolve(ROOT, "codecs", "vectors");

export function testKernels(): Promise<Kernels> {
  return loadKernels(readFileSync(process.env.FIRSTLIGHT_KERNELS ?? installedKernels()));
}

function installedKernels(): string {
  const venv = resolve(ROOT, ".venv", "bin", "python");
  const python = process.env.PYTHON ?? (existsSync(venv) ? venv : "python3");
  const find = "import importlib.resources as r; print(r.files('firstlight.codecs') / 'kernels.wasm')";
  return execFileSync(python, ["-c", find], { encoding: "utf8" }).trim();
}
