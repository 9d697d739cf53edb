/** Entry of the bundle: exports the viewer, and starts it on pages that are made for it. */
import { createViewer, type Viewer } from "./viewer.ts";

export { createViewer, Viewer, type ViewerOptions, type ViewState } from "./viewer.ts";

declare global {
  interface Window {
    firstlight?: Viewer;
  }
}

/**
 * Pages name the image in <body data-image="address">, and may bring its metadata along in
 * <script type="application/json" id="firstlight-metadata">; with <body data-image> alone it is in ?src=.
 */
function start(): void {
  const { image, catalogue } = document.body.dataset;
  if (image === undefined) return;
  const src = image || new URLSearchParams(location.search).get("src");
  if (!src) {
    document.body.append("Name an image: ?src=path/to/image.zarr");
    return;
  }
  const metadata = document.getElementById("firstlight-metadata")?.textContent;
  window.firstlight = createViewer(document.body, {
    src,
    ...(metadata && { metadata: JSON.parse(metadata) }),
    ...(catalogue !== undefined && { catalogue }),
  });
}

start();
