/** The status line: scale bar, what was fetched, how good the picture is, how good it should be. */
import type { Precision } from "../plan/plan.ts";
import { formatBytes, h } from "./dom.ts";

export interface Status {
  bytes: number;
  storedBytes: number | null;
  requests: number;
  level: number;
  /** Bound on the error of every sample, and what to expect of it, in data units. */
  error: number;
  rms: number;
  settled: boolean;
  precision: Precision;
}

const PRECISIONS: [Precision, string, string][] = [
  ["fast", "Fast", "A quick look: fewest bytes"],
  ["visual", "Visual", "An error that the screen can not show through the present contrast limits"],
  ["exact", "Exact", "Every sample as it was stored, to the last bit"],
];

export class StatusLine {
  readonly element: HTMLElement;
  private readonly fetched = h("span", { className: "fl-fetched" });
  private readonly quality = h("span", { className: "fl-quality", role: "status", "aria-live": "polite" });
  private readonly bar = h("div", { className: "fl-scale" });
  private readonly barLabel = h("span", {});
  private readonly radios = new Map<Precision, HTMLInputElement>();

  constructor(onPrecision: (precision: Precision) => void) {
    const group = h("fieldset", { className: "fl-precision", "aria-label": "Precision" });
    for (const [value, label, title] of PRECISIONS) {
      const radio = h("input", { type: "radio", name: "fl-precision", value, onchange: () => onPrecision(value) });
      this.radios.set(value, radio);
      group.append(h("label", { title }, radio, h("span", {}, label)));
    }
    this.element = h(
      "footer",
      { className: "fl-status" },
      h("div", { className: "fl-scale-box" }, this.bar, this.barLabel),
      this.quality,
      this.fetched,
      group,
    );
  }

  update(status: Status): void {
    const { error, rms, level } = status;
    const stored = status.storedBytes ? ` of ${formatBytes(status.storedBytes)}` : "";
    const requests = `${status.requests} request${status.requests === 1 ? "" : "s"}`;
    this.fetched.textContent = `${formatBytes(status.bytes)}${stored} · ${requests}`;
    const where = level === 0 ? "full resolution" : `1:${2 ** Math.max(0, level)}`;
    const known = error > 0 && Number.isFinite(error);
    const expected = `error about ±${formatError(rms)}`;
    const lossless = status.settled && status.precision === "visual";
    const quality = !known ? (error === 0 ? "exact" : "loading") : lossless ? `visual, ${expected}` : expected;
    this.quality.textContent = level < 0 ? "loading" : `${where} · ${quality}`;
    this.quality.title = known
      ? `Samples are off by ${formatError(rms)} grey values (root mean square, estimated). None is off by more than ${error}: that is guaranteed.`
      : "";
    this.element.dataset.state = error === 0 ? "exact" : status.settled ? "settled" : "loading";
    for (const [value, radio] of this.radios) radio.checked = value === status.precision;
  }

  /**
   * @param scale CSS pixels per image pixel.
   * @param pixel size and unit of an image pixel, where known.
   */
  updateScale(scale: number, pixel: readonly [number, string] | undefined): void {
    const [size, unit] = pixel?.[1] ? pixel : ([1, "pixel"] as const);
    const target = (110 / scale) * size;
    const power = 10 ** Math.floor(Math.log10(target));
    const length = ([5, 2, 1].find((n) => n * power <= target) ?? 1) * power;
    this.bar.style.width = `${(length / size) * scale}px`;
    this.barLabel.textContent = formatLength(length, unit);
  }
}

const LENGTHS: [string, string, number][] = [
  ["nanometer", "nm", 1e-9],
  ["micrometer", "µm", 1e-6],
  ["millimeter", "mm", 1e-3],
  ["centimeter", "cm", 1e-2],
  ["meter", "m", 1],
  ["kilometer", "km", 1e3],
];

/** Two digits; estimates below a quarter of a grey value say no more than that. */
function formatError(rms: number): string {
  return rms >= 10 ? rms.toFixed(0) : Math.max(rms, 0.2).toFixed(1);
}

/** 2000 micrometer is 2 mm. */
function formatLength(value: number, unit: string): string {
  const known = LENGTHS.find(([name]) => name === unit);
  if (!known) return `${Number(value.toPrecision(3))} ${unit === "pixel" ? "px" : unit}`;
  const metres = value * known[2];
  let best = LENGTHS[0]!;
  for (const candidate of LENGTHS) if (candidate[1] !== "cm" && metres >= candidate[2] * 0.999) best = candidate;
  return `${Number((metres / best[2]).toPrecision(3))} ${best[1]}`;
}
