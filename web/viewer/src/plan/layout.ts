/**
 * The metadata of an image, read from its root zarr.json. Twin of tiler/layout.py, which also writes it.
 *
 * An image is one OME-Zarr 0.5 multiscale group whose arrays have the codec `firstlight_shard`; the root holds the
 * metadata of all of them. Colour images are recognised by chunks of three components in c.
 */
import type { Dtype } from "@firstlight/codecs";
import {
  ARRAY_STEP,
  arrayOfLevel,
  LEVELS_PER_ARRAY,
  levelCount,
  levelSize,
  MAX_SHARD_SIDE,
  type Region,
  type Size,
  shardsUnder,
} from "./geometry.ts";

export type Axis = "t" | "c" | "z" | "y" | "x";

const AXIS_TYPES: Record<Axis, string> = { t: "time", c: "channel", z: "space", y: "space", x: "space" };
const AXES = Object.keys(AXIS_TYPES) as Axis[];
export const DTYPE_LIMITS: Record<Dtype, readonly [number, number]> = {
  uint8: [0, 255],
  int8: [-128, 127],
  uint16: [0, 65535],
  int16: [-32768, 32767],
};
const DTYPES = Object.keys(DTYPE_LIMITS) as Dtype[];
const CODEC = "firstlight_shard";
const VERSION = 4;
const OME_VERSION = "0.5";
const DEFAULT_HEAD_BYTES = 65536;
export const METADATA_KEY = "zarr.json";

/** Metadata that is not an image of ours; the message names the object, the field, what was expected and found. */
export class LayoutError extends Error {
  override name = "LayoutError";
}

/** How one channel is shown. */
export interface Channel {
  label: string;
  /** "#rrggbb", lower case. */
  color: string;
  /** Contrast limits [lo, hi] to start with, in data units. */
  window: readonly [number, number];
  /** Smallest and largest value that the limits may take. */
  limits: readonly [number, number];
  active: boolean;
}

/** One array of the pyramid. */
export interface ArrayLayout {
  path: string;
  shape: readonly number[];
  /** A chunk is a shard. */
  chunks: readonly number[];
  /** How many bytes of a shard to ask for first. */
  headBytes: number;
}

/** A shard under a region, and what of it the region shows. */
export interface ShardRef {
  /** Its object, from the image's root: "0/c/0/3/1". */
  key: string;
  array: number;
  /** Level inside the shard. */
  level: number;
  /** Samples of that level, from the shard's corner. */
  region: Region;
  /** Where they land, from the asked region's corner. */
  y: number;
  x: number;
}

export interface Plane {
  t?: number;
  z?: number;
  /** Makes no difference in colour images. */
  c?: number;
}

export interface ImageLayoutFields {
  name: string;
  axes: readonly Axis[];
  dtype: Dtype;
  rgb: boolean;
  arrays: readonly ArrayLayout[];
  channels: readonly Channel[];
  /** Size and unit of a level-0 sample along an axis, where known; unit "": only the number is known. */
  pixelSize: Readonly<Partial<Record<Axis, readonly [size: number, unit: string]>>>;
  thumbnail: string | null;
  source: string | null;
  storedBytes: number | null;
}

/** Everything that is known of an image before any of its samples are read. */
export class ImageLayout {
  readonly name: string;
  readonly axes: readonly Axis[];
  readonly dtype: Dtype;
  readonly rgb: boolean;
  readonly arrays: readonly ArrayLayout[];
  readonly channels: readonly Channel[];
  readonly pixelSize: ImageLayoutFields["pixelSize"];
  readonly thumbnail: string | null;
  readonly source: string | null;
  readonly storedBytes: number | null;

  /** @throws LayoutError when the parts contradict each other. */
  constructor(fields: ImageLayoutFields) {
    this.name = fields.name;
    this.axes = fields.axes;
    this.dtype = fields.dtype;
    this.rgb = fields.rgb;
    this.arrays = fields.arrays;
    this.channels = fields.channels;
    this.pixelSize = fields.pixelSize;
    this.thumbnail = fields.thumbnail;
    this.source = fields.source;
    this.storedBytes = fields.storedBytes;
    check(this);
  }

  /** Samples along `axis` at full resolution; 1 where the image has no such axis. */
  size(axis: Axis): number {
    const at = this.axes.indexOf(axis);
    return at < 0 ? 1 : this.shape[at]!;
  }

  /** Of full resolution, along `axes`. */
  get shape(): readonly number[] {
    return this.arrays[0]!.shape;
  }

  get height(): number {
    return this.shape.at(-2)!;
  }

  get width(): number {
    return this.shape.at(-1)!;
  }

  /** Components of a shard: 3 for colour, else 1. */
  get components(): number {
    return this.rgb ? 3 : 1;
  }

  /** How many levels there are; the coarsest has at most 4 samples a side. */
  get levelCount(): number {
    return levelCount([this.height, this.width], this.arrays.length);
  }

  levelSize(level: number): Size {
    return levelSize([this.height, this.width], level);
  }

  /** Object of the shard at chunk `index` (along `axes`) of an array. */
  shardKey(array: number, index: readonly number[]): string {
    return [this.arrays[array]!.path, "c", ...index].join("/");
  }

  /**
   * The shards under a region of an image level, row-major. What lies outside the image is left out.
   *
   * @throws LayoutError when the level or the plane does not exist.
   */
  shards(level: number, region: Region, { t = 0, z = 0, c = 0 }: Plane = {}): ShardRef[] {
    const checked: [string, number, number][] = [
      ["level", level, this.levelCount],
      ["t", t, this.size("t")],
      ["z", z, this.size("z")],
      ["c", c, this.size("c")],
    ];
    for (const [what, value, end] of checked)
      if (!Number.isInteger(value) || value < 0 || value >= end)
        throw new LayoutError(`${this.name}: ${what}: expected 0 to ${end - 1}, found ${value}`);
    const plane: Partial<Record<Axis, number>> = { t, z, c: this.rgb ? 0 : c };
    const [n, shardLevel] = arrayOfLevel(level, this.arrays.length);
    const { shape, chunks } = this.arrays[n]!;
    const parts = shardsUnder(region, shardLevel, [shape.at(-2)!, shape.at(-1)!], [chunks.at(-2)!, chunks.at(-1)!]);
    const leading = this.axes.slice(0, -2).map((axis) => plane[axis]!);
    return parts.map((part) => ({
      key: this.shardKey(n, [...leading, part.row, part.column]),
      array: n,
      level: shardLevel,
      region: part.region,
      y: part.y,
      x: part.x,
    }));
  }

  /**
   * The layout that a root zarr.json describes.
   *
   * @param path where it came from, for error messages.
   * @throws LayoutError names `path`, the field, what was expected and what was found.
   */
  static fromJson(document: unknown, path = METADATA_KEY): ImageLayout {
    return parse(new Field(document, path, ""));
  }
}

/** The rules that hold for every layout. */
function check(layout: ImageLayout): void {
  const refuse = (field: string, expected: string, found: unknown): never => {
    throw new LayoutError(`${layout.name}: ${field}: expected ${expected}, found ${shown(found)}`);
  };
  const { axes, arrays, channels } = layout;
  const ordered = AXES.filter((axis) => axes.includes(axis));
  if (axes.slice(-2).join() !== "y,x" || axes.join() !== ordered.join())
    refuse("axes", "a subset of t, c, z, y, x in this order with y and x", axes);
  if (!DTYPES.includes(layout.dtype)) refuse("data type", `one of ${DTYPES.join(", ")}`, layout.dtype);
  if (arrays.length === 0) refuse("arrays", "at least one", "none");
  if (layout.rgb && layout.size("c") !== 3) refuse("shape", "3 components in c for a colour image", layout.shape);
  if (layout.shape.some((n) => n < 1)) refuse("shape", "at least 1 sample along every axis", layout.shape);
  if (channels.length !== layout.size("c")) refuse("channels", `${layout.size("c")}, one for each c`, channels.length);
  for (const [n, { color, window, limits }] of channels.entries()) {
    if (!/^#[0-9a-f]{6}$/.test(color)) refuse(`channels[${n}].color`, "#rrggbb", color);
    if (![...window, ...limits].every(Number.isFinite))
      refuse(`channels[${n}].window`, "finite numbers", [window, limits]);
    if (window[0] >= window[1] || limits[0] > limits[1]) refuse(`channels[${n}].window`, "lo < hi", [window, limits]);
  }
  for (const [axis, [size]] of Object.entries(layout.pixelSize))
    if (!(Number.isFinite(size) && size > 0)) refuse(`pixel_size[${axis}]`, "a finite number > 0", size);
  if (layout.thumbnail !== null && !layout.thumbnail.startsWith("data:image/"))
    refuse("thumbnail", "a data URI of an image", layout.thumbnail.slice(0, 20));
  checkPyramid(layout, refuse);
}

function checkPyramid(layout: ImageLayout, refuse: (field: string, expected: string, found: unknown) => never): void {
  let previous: Size | undefined;
  for (const [n, array] of layout.arrays.entries()) {
    const field = `array ${array.path}`;
    if (array.path !== String(n)) refuse(field, `name ${n}`, array.path);
    if (array.shape.length !== layout.axes.length || array.chunks.length !== layout.axes.length)
      refuse(field, `${layout.axes.length} axes`, [array.shape, array.chunks]);
    const size: Size = [array.shape.at(-2)!, array.shape.at(-1)!];
    const wanted = [...layout.shape.slice(0, -2), ...(previous ? levelSize(previous, LEVELS_PER_ARRAY) : size)];
    if (array.shape.join() !== wanted.join()) refuse(`${field} shape`, shown(wanted), array.shape);
    for (const [i, axis] of layout.axes.entries()) {
      const chunk = array.chunks[i]!;
      if (axis === "y" || axis === "x") {
        const joins = chunk >= array.shape[i]! || chunk % ARRAY_STEP === 0;
        if (chunk < 1 || chunk > MAX_SHARD_SIDE || !joins)
          refuse(`${field} chunks`, `a multiple of ${ARRAY_STEP} or all of ${axis}`, array.chunks);
      } else if (chunk !== (axis === "c" && layout.rgb ? 3 : 1))
        refuse(`${field} chunks`, `${axis === "c" && layout.rgb ? 3 : 1} in ${axis}`, array.chunks);
    }
    if (array.headBytes < 1) refuse(`${field} head_bytes`, "at least 1", array.headBytes);
    previous = size;
  }
  const last = layout.arrays.at(-1)!;
  if (last.shape.slice(-2).some((n, i) => n > last.chunks.slice(-2)[i]!))
    refuse("arrays", "a last array of one shard in y and x", [last.shape, last.chunks]);
}

/** JSON.stringify, except that it tells NaN and undefined apart from null. */
function shown(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "number" || value === undefined ? String(value) : JSON.stringify(value);
}

/** A value in a JSON document that knows where it is. */
class Field {
  constructor(
    readonly value: unknown,
    readonly path: string,
    readonly at: string,
  ) {}

  refuse(expected: string): never {
    const found = typeof this.value === "number" ? String(this.value) : (JSON.stringify(this.value) ?? "nothing");
    const where = this.at ? `${this.path}: ${this.at}` : this.path;
    throw new LayoutError(
      `${where}: expected ${expected}, found ${found.slice(0, 60)}${found.length > 60 ? "..." : ""}`,
    );
  }

  /** A member; a missing one has the value undefined. */
  get(key: string): Field {
    if (typeof this.value !== "object" || this.value === null || Array.isArray(this.value)) this.refuse("an object");
    const members = this.value as Record<string, unknown>;
    const value = Object.hasOwn(members, key) ? members[key] : undefined;
    return new Field(value, this.path, this.at ? `${this.at}.${key}` : key);
  }

  /** Neither missing nor null. */
  get isThere(): boolean {
    return this.value !== undefined && this.value !== null;
  }

  items(): Field[] {
    if (!Array.isArray(this.value)) this.refuse("a list");
    return (this.value as unknown[]).map((value, n) => new Field(value, this.path, `${this.at}[${n}]`));
  }

  text(): string {
    if (typeof this.value !== "string") this.refuse("a string");
    return this.value as string;
  }

  number(): number {
    if (typeof this.value !== "number" || !Number.isFinite(this.value)) this.refuse("a finite number");
    return this.value as number;
  }

  integer(): number {
    if (!Number.isSafeInteger(this.value)) this.refuse("an integer");
    return this.value as number;
  }

  integers(): number[] {
    return this.items().map((field) => field.integer());
  }

  optionalText(): string | null {
    return this.isThere ? this.text() : null;
  }

  oneOf<T extends string>(values: readonly T[]): T {
    if (!values.includes(this.value as T)) this.refuse(`one of ${values.join(", ")}`);
    return this.value as T;
  }

  expect(value: unknown): void {
    if (JSON.stringify(this.value) !== JSON.stringify(value)) this.refuse(JSON.stringify(value));
  }
}

function parse(root: Field): ImageLayout {
  root.get("zarr_format").expect(3);
  root.get("node_type").expect("group");
  const attributes = root.get("attributes");
  const own = attributes.get("firstlight");
  if (!own.isThere) own.refuse("the metadata of a firstlight image");
  own.get("version").expect(VERSION);
  const ome = attributes.get("ome");
  ome.get("version").expect(OME_VERSION);
  const multiscales = ome.get("multiscales").items();
  if (multiscales.length !== 1) ome.get("multiscales").refuse("one multiscale");
  const multiscale = multiscales[0]!;
  const units: string[] = [];
  const axes: Axis[] = [];
  for (const axis of multiscale.get("axes").items()) {
    const name = axis.get("name").oneOf(AXES);
    axis.get("type").expect(AXIS_TYPES[name]);
    axes.push(name);
    units.push(axis.get("unit").optionalText() ?? "");
  }
  const metadata = root.get("consolidated_metadata").get("metadata");
  const datasets = multiscale.get("datasets").items();
  if (datasets.length === 0) multiscale.get("datasets").refuse("at least one dataset");
  const arrays: ArrayLayout[] = [];
  let dtype: Dtype | undefined;
  let scale: number[] | undefined;
  for (const dataset of datasets) {
    const name = dataset.get("path").text();
    const field = metadata.get(name);
    arrays.push(parseArray(field, name, axes));
    const type = field.get("data_type").oneOf(DTYPES);
    dtype ??= type;
    if (type !== dtype) field.get("data_type").refuse(dtype);
    const found = parseScale(dataset, axes.length);
    scale ??= found;
  }
  const pixelSize: Partial<Record<Axis, [number, string]>> = {};
  for (const [i, axis] of axes.entries())
    if (axis !== "c" && (scale![i] !== 1 || units[i] !== "")) pixelSize[axis] = [scale![i]!, units[i]!];
  const stored = own.get("stored_bytes");
  const fields: ImageLayoutFields = {
    name: multiscale.get("name").optionalText() || "image",
    axes,
    dtype: dtype!,
    rgb: axes.includes("c") && arrays[0]!.chunks[axes.indexOf("c")] === 3,
    arrays,
    channels: ome.get("omero").get("channels").items().map(parseChannel),
    pixelSize,
    thumbnail: own.get("thumbnail").optionalText(),
    source: own.get("source").optionalText(),
    storedBytes: stored.isThere ? stored.integer() : null,
  };
  try {
    return new ImageLayout(fields);
  } catch (error) {
    // The rules between fields know the image's name only.
    throw error instanceof LayoutError ? new LayoutError(`${root.path}: ${error.message}`) : error;
  }
}

function parseScale(dataset: Field, axes: number): number[] {
  const transforms = dataset.get("coordinateTransformations");
  const [first] = transforms.items();
  if (!first) return transforms.refuse("a scale");
  first.get("type").expect("scale");
  const scale = first.get("scale");
  const numbers = scale.items().map((field) => field.number());
  if (numbers.length !== axes) scale.refuse(`${axes} numbers`);
  return numbers;
}

function parseArray(field: Field, name: string, axes: readonly Axis[]): ArrayLayout {
  field.get("zarr_format").expect(3);
  field.get("node_type").expect("array");
  field.get("data_type").oneOf(DTYPES);
  const grid = field.get("chunk_grid");
  const keys = field.get("chunk_key_encoding");
  grid.get("name").expect("regular");
  keys.get("name").expect("default");
  if (keys.get("configuration").isThere) {
    const separator = keys.get("configuration").get("separator");
    if (separator.isThere && separator.value !== "/") separator.refuse('"/"');
  }
  field.get("fill_value").expect(0);
  field.get("dimension_names").expect(axes);
  const codecs = field.get("codecs");
  const [codec, ...others] = codecs.items();
  if (!codec || others.length > 0) return codecs.refuse(`only ${CODEC}`);
  codec.get("name").expect(CODEC);
  const configuration = codec.get("configuration");
  configuration.get("version").expect(VERSION);
  const shape = field.get("shape").integers();
  const chunkShape = grid.get("configuration").get("chunk_shape");
  const chunks = chunkShape.integers();
  if (shape.length !== axes.length) field.get("shape").refuse(`${axes.length} numbers`);
  if (chunks.length !== axes.length) chunkShape.refuse(`${axes.length} numbers`);
  const headBytes = configuration.get("head_bytes");
  return { path: name, shape, chunks, headBytes: headBytes.isThere ? headBytes.integer() : DEFAULT_HEAD_BYTES };
}

function parseChannel(field: Field): Channel {
  const window = field.get("window");
  const active = field.get("active");
  const color = field.get("color");
  if (active.isThere && typeof active.value !== "boolean") active.refuse("true or false");
  if (!/^[0-9A-Fa-f]{6}$/.test(color.text())) color.refuse("six hexadecimal digits");
  return {
    label: field.get("label").optionalText() ?? "",
    color: `#${color.text().toLowerCase()}`,
    window: [window.get("start").number(), window.get("end").number()],
    limits: [window.get("min").number(), window.get("max").number()],
    active: active.value !== false,
  };
}
