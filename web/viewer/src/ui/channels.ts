/** The channel panel: visibility, colour, contrast limits. */
import type { ChannelState } from "../core/core.ts";
import { h } from "./dom.ts";

export interface ChannelPanelOptions {
  channels: readonly ChannelState[];
  /** One channel that is red, green and blue: no colour to choose. */
  rgb: boolean;
  integer: boolean;
  onChange(channel: number, change: Partial<ChannelState>): void;
  auto(channel: number): Promise<[number, number] | null>;
}

export class ChannelPanel {
  readonly element: HTMLElement;
  private readonly rows: { update(): void }[] = [];

  constructor(private readonly options: ChannelPanelOptions) {
    const body = h("div", { className: "fl-channels" });
    this.element = h("section", { className: "fl-panel", "aria-label": "Channels" }, body);
    for (const [i, channel] of options.channels.entries()) body.append(this.row(i, channel));
  }

  /** Show what was changed elsewhere. */
  update(): void {
    for (const row of this.rows) row.update();
  }

  private row(i: number, channel: ChannelState): HTMLElement {
    const { rgb, onChange, auto } = this.options;
    const name = /^\d*$/.test(channel.label) ? `Channel ${i + 1}` : channel.label;
    const visible = h("input", {
      type: "checkbox",
      "aria-label": `Show ${name}`,
      onchange: () => onChange(i, { visible: visible.checked }),
    });
    const colour = h("input", {
      type: "color",
      "aria-label": `Colour of ${name}`,
      oninput: () => onChange(i, { color: colour.value }),
    });
    const [least, greatest] = channel.limits;
    const handle = (end: 0 | 1) =>
      h("input", {
        type: "range",
        min: String(least),
        max: String(greatest),
        step: this.options.integer ? "1" : "any",
        "aria-label": `${end ? "Highest" : "Lowest"} value shown of ${name}`,
        oninput: () => setEnd(end, Number(handles[end].value)),
      });
    const number = (end: 0 | 1) =>
      h("input", {
        type: "number",
        className: "fl-limit",
        "aria-label": `${end ? "Highest" : "Lowest"} value shown of ${name}, as a number`,
        onchange: () => setEnd(end, Number(numbers[end].value)),
      });
    const handles = [handle(0), handle(1)] as const;
    const numbers = [number(0), number(1)] as const;
    const setEnd = (end: 0 | 1, value: number) => {
      const window: [number, number] = [...channel.window];
      window[end] = Math.max(least, Math.min(greatest, value));
      // The ends push each other; they never meet.
      const gap = this.options.integer ? 1 : (greatest - least) / 1000;
      if (window[1] - window[0] < gap) {
        if (end === 0) window[0] = window[1] - gap;
        else window[1] = window[0] + gap;
      }
      onChange(i, { window });
      update();
    };
    const range = h("div", { className: "fl-range" }, h("div", { className: "fl-track" }), ...handles);
    const automatic = h(
      "button",
      {
        type: "button",
        className: "fl-text-button",
        title: "Fit the contrast to what is in view",
        onclick: async () => {
          const window = await auto(i);
          if (window) onChange(i, { window });
          update();
        },
      },
      "Auto",
    );
    const row = h(
      "div",
      { className: "fl-channel" },
      h(
        "div",
        { className: "fl-channel-head" },
        h("label", { className: "fl-check" }, visible, h("span", { title: name }, name)),
        automatic,
        !rgb && h("label", { className: "fl-colour", title: "Colour" }, colour),
      ),
      range,
      h("div", { className: "fl-limits" }, numbers[0], numbers[1]),
    );
    const update = () => {
      visible.checked = channel.visible;
      row.classList.toggle("fl-off", !channel.visible);
      colour.value = channel.color;
      row.style.setProperty("--channel", rgb ? "#e8eaed" : channel.color);
      for (const end of [0, 1] as const) {
        const text = String(Number(channel.window[end].toFixed(this.options.integer ? 0 : 3)));
        handles[end].value = text;
        if (document.activeElement !== numbers[end] || numbers[end].value === "") numbers[end].value = text;
        range.style.setProperty(end ? "--high" : "--low", String((channel.window[end] - least) / (greatest - least)));
      }
    };
    update();
    this.rows.push({ update });
    return row;
  }
}

/** A slider through the planes along z or t. */
export class PlaneSlider {
  readonly element: HTMLElement;
  private readonly input: HTMLInputElement;
  private readonly value: HTMLElement;
  private readonly count: number;

  constructor(name: string, count: number, onChange: (value: number) => void) {
    this.count = count;
    this.input = h("input", {
      type: "range",
      min: "0",
      max: String(count - 1),
      step: "1",
      "aria-label": `Plane along ${name}`,
      oninput: () => {
        this.update(Number(this.input.value));
        onChange(Number(this.input.value));
      },
    });
    this.value = h("output", {});
    this.element = h("label", { className: "fl-plane" }, h("span", {}, name.toUpperCase()), this.input, this.value);
  }

  update(value: number): void {
    this.input.value = String(value);
    this.value.textContent = `${value + 1} / ${this.count}`;
  }
}
