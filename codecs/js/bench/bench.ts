/**
 * The benchmark page: decodes shards for a few seconds by one worker and by one for each core.
 *
 * Starts with sample.fls beside the page; `?shard=url` (any number of them) names others, `?seconds=` how long each number is
 * measured. What was measured is in `window.results` when all is done.
 */
import {
  type Codec,
  type DecodeOptions,
  DecoderPool,
  loadCodec,
  type Region,
  type ShardIndex,
} from "@firstlight/codecs";

/** What is decoded, and from which bytes. */
interface Task {
  name: string;
  about: string;
  data: Uint8Array<ArrayBuffer>;
  options: DecodeOptions;
  /** Of the picture: height x width x components. */
  samples: number;
}

interface Rate {
  workers: number;
  pictures: number;
  seconds: number;
  /** Millions of samples a second. */
  rate: number;
}

interface Result {
  shard: string;
  bytes: number;
  shape: number[];
  tasks: { name: string; samples: number; rates: Rate[] }[];
}

declare global {
  interface Window {
    results?: { cores: number; browser: string; shards: Result[] };
  }
}

const FIRST_BYTES = 64 << 10;
const SCREEN = { width: 1024, height: 768 };
const THUMBNAIL = 200;

const cores = navigator.hardwareConcurrency || 1;
const query = new URLSearchParams(location.search);
const seconds = Number(query.get("seconds") ?? 2);

function element(id: string): HTMLElement {
  return document.getElementById(id)!;
}

function tasksOf(index: ShardIndex, data: Uint8Array<ArrayBuffer>): Task[] {
  const { levels, components } = index;
  const task = (
    name: string,
    bytes: number,
    level: number,
    part: Region | undefined,
    maxError: number | null,
  ): Task => {
    const [, , height, width] = index.region(level, part);
    return {
      name,
      about: `${width} × ${height}, level ${level}`,
      data: data.subarray(0, bytes),
      options: { level, region: part, maxError },
      samples: height * width * components,
    };
  };
  const { width, height } = levels[0]!;
  const w = Math.min(width, SCREEN.width);
  const h = Math.min(height, SCREEN.height);
  const quarter = Math.min(2, levels.length - 1);
  const fitting = levels.findIndex((level) => level.width <= SCREEN.width && level.height <= SCREEN.width);
  return [
    task("Full picture", data.length, 0, undefined, 0),
    task(`Level ${quarter}`, data.length, quarter, undefined, 0),
    task("Viewport", data.length, 0, [(height - h) >> 1, (width - w) >> 1, h, w], 0),
    task(`First picture, from ${FIRST_BYTES >> 10} KiB`, FIRST_BYTES, Math.max(fitting, 0), undefined, null),
  ];
}

/** Decode again and again by all workers of a pool. */
async function measure(pool: DecoderPool, workers: number, task: Task): Promise<Rate> {
  // Once each before: code is compiled, memory is there.
  await Promise.all(Array.from({ length: workers }, () => pool.decode(task.data, task.options)));
  const start = performance.now();
  const end = start + seconds * 1000;
  let pictures = 0;
  const keepGoing = async () => {
    do {
      await pool.decode(task.data, task.options);
      pictures++;
    } while (performance.now() < end);
  };
  // Two at a time for each worker, so that none waits for the page.
  await Promise.all(Array.from({ length: 2 * workers }, keepGoing));
  const took = (performance.now() - start) / 1000;
  return { workers, pictures, seconds: took, rate: (pictures * task.samples) / took / 1e6 };
}

/** A small picture of the shard, samples stretched to what there is. */
function thumbnail(codec: Codec, index: ShardIndex, data: Uint8Array): HTMLCanvasElement {
  const level = index.levels.findIndex(({ width, height }) => width <= THUMBNAIL && height <= THUMBNAIL);
  const { data: samples, shape } = codec.decode(data, { level, maxError: null });
  const [height, width, components = 1] = shape as [number, number, number?];
  let low = samples[0]!;
  let high = low;
  for (const value of samples) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const scale = 255 / Math.max(high - low, 1);
  const image = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++)
      image.data[4 * i + c] = (samples[i * components + Math.min(c, components - 1)]! - low) * scale;
    image.data[4 * i + 3] = 255;
  }
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  canvas.getContext("2d")!.putImageData(image, 0, 0);
  return canvas;
}

function add<Name extends keyof HTMLElementTagNameMap>(
  parent: Element,
  name: Name,
  text = "",
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

const figure = (value: number) => value.toFixed(value < 100 ? 1 : 0);

async function run(codec: Codec, name: string, data: Uint8Array<ArrayBuffer>): Promise<Result> {
  const index = codec.parse(data);
  const { width, height, components, dtype } = index;
  const tasks = tasksOf(index, data);
  const counts = cores > 1 ? [1, cores] : [1];

  const section = document.createElement("div");
  section.className = "shard";
  section.append(thumbnail(codec, index, data));
  const part = add(section, "div");
  add(part, "h2", name);
  const bits = ((8 * data.length) / (width * height * components)).toFixed(2);
  const colours = components === 1 ? "" : ` × ${components}`;
  const size = `${width} × ${height}${colours} samples, ${dtype}; ${(data.length / 1e6).toFixed(2)} MB, ${bits} bits a sample`;
  add(part, "p", size).className = "about";
  const table = add(part, "table");
  const head = add(add(table, "thead"), "tr");
  const columns = [
    ["", ""],
    ["1 worker", "Msamples/s"],
    ["1 worker", "ms a picture"],
  ];
  if (counts.length > 1) columns.push([`${cores} workers`, "Msamples/s"], ["", "gain"]);
  for (const [title, unit] of columns) {
    const cell = add(head, "th", title);
    add(cell, "br");
    cell.append(unit!);
  }
  const body = add(table, "tbody");
  const rows = tasks.map((task) => {
    const row = add(body, "tr");
    add(add(row, "th", task.name), "small", task.about);
    return { row, rates: [] as Rate[] };
  });
  element("shards").append(section);

  for (const workers of counts) {
    const pool = new DecoderPool({ workers, wasm: codec.module });
    try {
      for (const [i, task] of tasks.entries()) {
        element("state").textContent =
          `${name}: ${task.name.toLowerCase()}, ${workers} worker${workers > 1 ? "s" : ""} …`;
        const { row, rates } = rows[i]!;
        const found = await measure(pool, workers, task);
        rates.push(found);
        add(row, "td", figure(found.rate));
        if (workers === 1) add(row, "td", figure((1000 * found.seconds) / found.pictures));
        else add(row, "td", `× ${(found.rate / rates[0]!.rate).toFixed(1)}`);
      }
    } finally {
      pool.close();
    }
  }
  return {
    shard: name,
    bytes: data.length,
    shape: components === 1 ? [height, width] : [height, width, components],
    tasks: tasks.map(({ name, samples }, i) => ({ name, samples, rates: rows[i]!.rates })),
  };
}

async function load(url: string): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: the server answers ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function main(): Promise<void> {
  const codec = await loadCodec();
  const shards: Result[] = [];
  let last: Promise<void> = Promise.resolve();
  /** One shard after the other, whenever they come. */
  const queue = (name: string, bytes: () => Promise<Uint8Array<ArrayBuffer>>) => {
    last = last.then(async () => {
      const state = element("state");
      state.className = "";
      try {
        shards.push(await run(codec, name, await bytes()));
        state.textContent = "";
      } catch (error) {
        state.className = "error";
        state.textContent = `${name}: ${error instanceof Error ? error.message : error}`;
      }
    });
    return last;
  };
  const take = (files: Iterable<File> | null | undefined) => {
    for (const file of files ?? []) queue(file.name, async () => new Uint8Array(await file.arrayBuffer()));
  };
  const drop = element("drop");
  const input = element("files") as HTMLInputElement;
  input.addEventListener("change", () => take(input.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer?.files);
  });
  element("machine").textContent = `${cores} ${cores > 1 ? "cores" : "core"}. ${navigator.userAgent}`;

  const urls = query.getAll("shard");
  for (const url of urls.length > 0 ? urls : ["sample.fls"]) await queue(url.split("/").pop() ?? url, () => load(url));
  window.results = { cores, browser: navigator.userAgent, shards };
}

main().catch((error) => {
  element("state").className = "error";
  element("state").textContent = String(error);
});
