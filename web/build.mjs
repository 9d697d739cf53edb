/** Bundles the viewer into web/server/dist: what our server, or any static host, serves. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import esbuild from "esbuild";

const web = dirname(fileURLToPath(import.meta.url));
const dist = join(web, "server", "dist");
/** The whole viewer, compressed. */
const LIMIT_BYTES = 250_000;

/** kernels.wasm, which the Python package's build makes: the one that is given, or that Python finds. */
function findKernels() {
  if (process.env.FIRSTLIGHT_KERNELS) return process.env.FIRSTLIGHT_KERNELS;
  const venv = join(web, "..", ".venv", "bin", "python");
  const python = process.env.PYTHON ?? (existsSync(venv) ? venv : "python3");
  const find = "import importlib.resources as r; print(r.files('firstlight.codecs') / 'kernels.wasm')";
  return execFileSync(python, ["-c", find], { encoding: "utf8" }).trim();
}

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
const options = {
  absWorkingDir: web,
  entryPoints: { viewer: "viewer/src/main.ts", worker: "viewer/src/data/worker.ts" },
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  sourcemap: "linked",
  sourcesContent: false,
  legalComments: "linked",
  outdir: dist,
  logLevel: "warning",
};
await esbuild.build(options);
await esbuild.build({ ...options, entryPoints: { viewer: "viewer/src/ui/viewer.css" }, sourcemap: false });
await copyFile(findKernels(), join(dist, "kernels.wasm"));
await copyFile(join(web, "viewer", "index.html"), join(dist, "index.html"));

const sizes = {};
let total = 0;
for (const name of ["viewer.js", "worker.js", "kernels.wasm", "viewer.css", "index.html"]) {
  const data = await readFile(join(dist, name));
  const gzip = gzipSync(data, { level: 9 }).length;
  sizes[name] = { bytes: data.length, gzip };
  total += gzip;
}
await writeFile(join(dist, "sizes.json"), `${JSON.stringify({ files: sizes, gzip: total }, null, 2)}\n`);
console.table(sizes);
console.log(`${total} bytes compressed, ${LIMIT_BYTES} allowed`);
if (total > LIMIT_BYTES) process.exit(1);
