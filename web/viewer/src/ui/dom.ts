/** Elements, briefly. */
type Child = Node | string | null | undefined | false;

/** An element with properties ("class" and "aria-..." as attributes, "on..." as listeners) and children. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Record<string, unknown> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener);
    else if (name in element && !name.includes("-") && name !== "list") Object.assign(element, { [name]: value });
    else element.setAttribute(name === "className" ? "class" : name, String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

const ICONS = {
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  home: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  full: "M14 4h6v6M10 20H4v-6M20 4l-7 7M4 20l7-7",
  sliders: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
  back: "M15 5l-7 7 7 7",
  warning: "M12 3.5 2.5 20h19L12 3.5ZM12 10v4.5M12 17.3v.1",
  close: "M6 6l12 12M18 6L6 18",
} as const;

export function icon(name: keyof typeof ICONS): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export function button(name: keyof typeof ICONS, label: string, onclick: () => void): HTMLButtonElement {
  return h(
    "button",
    { type: "button", className: "fl-button", title: label, "aria-label": label, onclick },
    icon(name),
  );
}

/** Bytes for people: 812 B, 24 kB, 1.3 MB. */
export function formatBytes(count: number): string {
  let value = count;
  let unit = "B";
  for (const larger of ["kB", "MB", "GB"]) {
    if (value < 1000) break;
    value /= 1000;
    unit = larger;
  }
  return `${unit === "B" || value >= 100 ? Math.round(value) : value.toFixed(1)} ${unit}`;
}
