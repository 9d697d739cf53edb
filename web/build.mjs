/**
 * Bundles the viewer into web/server/dist (what our server, or any static host, serves), and the codec by itself, with its
 * benchmark page, into codecs/js/dist.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import esbuild from "esbuild";

const web = dirname(fileURLToPath(import.meta.url));
const codec = join(web, "..", "codecs", "js");
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

/** Scripts, styles and the kernels into `dist`, which is emptied first. */
async function bundle(dist, scripts, styles) {
  await rm(dist, { recursive: true, force: true });
  await mkdir(dist, { recursive: true });
  const options = {
    absWorkingDir: web,
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    sourcesContent: false,
    legalComments: "linked",
    outdir: dist,
    logLevel: "warning",
  };
  await esbuild.build({ ...options, entryPoints: scripts, sourcemap: "linked" });
  await esbuild.build({ ...options, entryPoints: styles });
  await copyFile(findKernels(), join(dist, "kernels.wasm"));
}

const worker = join(codec, "src", "worker.ts");

const page = join(codec, "bench");
const codecDist = join(codec, "dist");
const scripts = { codecs: join(codec, "src", "main.ts"), worker, bench: join(page, "bench.ts") };
await bundle(codecDist, scripts, { bench: join(page, "bench.css") });
await copyFile(join(page, "index.html"), join(codecDist, "bench.html"));
await copyFile(join(page, "sample.fls"), join(codecDist, "sample.fls"));
execFileSync(join(web, "node_modules", ".bin", "tsc"), ["--project", codec], { stdio: "inherit" });

const dist = join(web, "server", "dist");
await bundle(dist, { viewer: "viewer/src/main.ts", worker }, { viewer: "viewer/src/ui/viewer.css" });
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
