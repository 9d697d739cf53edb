/** Everything around the picture, and its wiring to the viewer. */
import type { ViewerError } from "../data/errors.ts";
import type { Viewer } from "../viewer.ts";
import { ChannelPanel, PlaneSlider } from "./channels.ts";
import { button, h, icon } from "./dom.ts";
import { StatusLine } from "./status.ts";

const TITLES: Record<ViewerError["kind"], string> = {
  missing: "There is no such image",
  forbidden: "Access denied",
  network: "No connection to the image",
  server: "The server does not deliver the image",
  changed: "The image has changed",
  corrupt: "Part of the image is damaged",
  unsupported: "This image can not be shown",
  webgl: "This browser can not draw the image",
};

/** A message over the picture; `retry` offers to try again. */
export function showError(parent: HTMLElement, error: ViewerError, retry?: () => void): void {
  let list = parent.querySelector(".fl-errors");
  if (!list) {
    list = h("div", { className: "fl-errors" });
    parent.append(list);
  }
  // The newest few: a broken line would fill the page.
  while (list.childElementCount > 2) list.firstElementChild?.remove();
  const close = () => card.remove();
  const card = h(
    "div",
    { className: "fl-error", role: "alert" },
    icon("warning"),
    h(
      "div",
      {},
      h("strong", {}, TITLES[error.kind]),
      h("p", {}, error.message),
      retry &&
        h(
          "button",
          {
            type: "button",
            className: "fl-text-button",
            onclick: () => {
              close();
              retry();
            },
          },
          "Try again",
        ),
    ),
    button("close", "Dismiss", close),
  );
  list.append(card);
}

/** @param catalogue address of the page that lists all images, if there is one. */
export function buildPage(parent: HTMLElement, viewer: Viewer, catalogue: string | undefined): void {
  const { core, host } = viewer;
  const { layout } = core;
  const title = h(
    "header",
    { className: "fl-title" },
    catalogue !== undefined &&
      h(
        "a",
        { className: "fl-button", href: catalogue, title: "All images", "aria-label": "All images" },
        icon("back"),
      ),
    h("h1", { title: layout.source ?? layout.name }, layout.name),
    h("span", {}, `${layout.width.toLocaleString("en")} × ${layout.height.toLocaleString("en")}`),
  );
  const zoomBy = (factor: number) => {
    host.viewer.viewport.zoomBy(factor);
    host.viewer.viewport.applyConstraints();
  };
  const panel = new ChannelPanel({
    channels: core.channels,
    rgb: layout.rgb,
    integer: true,
    onChange: (channel, change) => {
      const changes: (typeof change | undefined)[] = [];
      changes[channel] = change;
      viewer.setChannels(changes);
    },
    auto: (channel) => core.autoWindow(channel),
  });
  const toggle = button("sliders", "Channels and contrast", () => setOpen(parent.dataset.panel !== "open"));
  const setOpen = (open: boolean) => {
    parent.dataset.panel = open ? "open" : "closed";
    toggle.setAttribute("aria-expanded", String(open));
  };
  setOpen(!layout.rgb && parent.clientWidth > 700);
  const tools = h(
    "nav",
    { className: "fl-tools", "aria-label": "View" },
    toggle,
    button("plus", "Zoom in", () => zoomBy(1.6)),
    button("minus", "Zoom out", () => zoomBy(1 / 1.6)),
    button("home", "Whole image", () => host.viewer.viewport.goHome()),
    button("full", "Full screen", () =>
      document.fullscreenElement ? document.exitFullscreen() : parent.requestFullscreen(),
    ),
  );
  const status = new StatusLine((precision) => viewer.setPrecision(precision));
  const planes = h("div", { className: "fl-planes" });
  const sliders = new Map<"z" | "t", PlaneSlider>();
  for (const axis of ["z", "t"] as const) {
    const count = core.axis(axis);
    if (count < 2) continue;
    const slider = new PlaneSlider(axis, count, (value) => viewer.setView({ [axis]: value }));
    sliders.set(axis, slider);
    planes.append(slider.element);
  }
  parent.append(title, tools, panel.element, planes, status.element);

  let queued = false;
  const update = () => {
    queued = false;
    const stats = core.stats();
    status.update({
      bytes: stats.bytes,
      storedBytes: layout.storedBytes,
      requests: stats.requests,
      level: stats.level,
      error: stats.error,
      rms: stats.rms,
      settled: stats.settled,
      precision: core.precision,
    });
    status.updateScale(host.camera.scale, layout.pixelSize.x);
    sliders.get("z")?.update(core.z);
    sliders.get("t")?.update(core.t);
    panel.update();
  };
  const soon = () => {
    if (queued) return;
    queued = true;
    requestAnimationFrame(update);
  };
  core.on("status", soon);
  core.on("settled", soon);
  viewer.on("change", soon);
  host.viewer.addHandler("animation", soon);
  viewer.on("error", (error) => showError(parent, error, () => viewer.retry()));
  soon();
}
