"""The pages for people: `/`, the catalogue, and `/view/{id}`, the viewer on one image.

Every address inside a page is relative, so that all of it works below any path of a proxy.
"""

import asyncio
import os
from base64 import b64encode
from hashlib import sha256
from html import escape
from urllib.parse import quote

from aiohttp import web

from firstlight.layout import METADATA_KEY, ImageLayout

from .catalogue import Entry
from .images import CATALOGUE, address, find, listed
from .replies import Failure, body
from .stored import image_directory
from .style import CATALOGUE_CSS

MARK = (
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" fill="#0a5fd0"/>'
    '<rect x="6" y="6" width="9" height="9" rx="1.5" fill="#fff" opacity=".45"/>'
    '<rect x="17" y="6" width="9" height="9" rx="1.5" fill="#fff" opacity=".7"/>'
    '<rect x="6" y="17" width="9" height="9" rx="1.5" fill="#fff" opacity=".7"/>'
    '<rect x="17" y="17" width="9" height="9" rx="1.5" fill="#fff"/></svg>'
)
WARNING = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" '
    'stroke-linejoin="round" aria-hidden="true"><path d="M12 3.5 2.5 20h19L12 3.5Z"/>'
    '<path d="M12 10v4.5M12 17.3v.1"/></svg>'
)
ICON = "data:image/svg+xml," + quote(MARK.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
_CSS_HASH = b64encode(sha256(CATALOGUE_CSS.encode()).digest()).decode()
CATALOGUE_POLICY = (
    f"default-src 'none'; img-src 'self' data:; style-src 'sha256-{_CSS_HASH}'; base-uri 'none'; form-action 'none'"
)
# Decoding is WebAssembly in workers; images may be on other hosts than the page.
VIEWER_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' https: http: ws: wss: data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
_UNITS = {"micrometer": "µm", "nanometer": "nm", "millimeter": "mm", "meter": "m", "centimeter": "cm", "angstrom": "Å"}


def routes() -> list[web.AbstractRouteDef]:
    return [web.get("/", catalogue), web.get("/view/{id:.*}", view), web.get("/view", view)]


# -- the catalogue ---------------------------------------------------------------------------------------------------


async def catalogue(request: web.Request) -> web.StreamResponse:
    entries = await listed(request)
    place = os.path.basename(request.app[CATALOGUE].root) or "/"
    return _page(request, catalogue_html(entries, place), CATALOGUE_POLICY)


def catalogue_html(entries: tuple[Entry, ...], place: str) -> str:
    """The page that lists `entries`, found in the directory `place`."""
    count = f"{len(entries):,} image{'' if len(entries) == 1 else 's'}"
    if entries:
        main = '<ul class="images">\n' + "\n".join(f"<li>{_card(entry, place)}</li>" for entry in entries) + "\n</ul>"
    else:
        main = (
            '<div class="empty"><p><strong>No images here yet</strong>Put one into the folder and it shows up:</p>'
            f"<p><code>firstlight ingest slide.svs {escape(place)}/slide.zarr</code></p></div>"
        )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(place)} · firstlight</title>
<link rel="icon" href="{ICON}">
<style>{CATALOGUE_CSS}</style>
</head>
<body>
<header><h1>{MARK}firstlight</h1><p>{count} in {escape(place)}</p></header>
<main>
{main}
</main>
</body>
</html>
"""


def _card(entry: Entry, place: str) -> str:
    if entry.layout is None:
        return (
            f'<article class="card broken"><div class="picture">{WARNING}</div><div class="text">'
            f"<h2>{escape(entry.id or place)}</h2>"
            f'<p class="problem"><span class="hidden">Unreadable: </span>{escape(entry.problem)}</p></div></article>'
        )
    layout = entry.layout
    thumb = f"{address('thumb', entry.id)}?v={entry.version}&amp;size="
    chips = "".join(f"<li>{escape(chip)}</li>" for chip in _chips(layout))
    folder = _folder(entry.id, layout.name)
    where = f'<p class="folder">{escape(folder)}</p>' if folder else ""
    # A very long image would show no more than its middle if it filled the card.
    long = "" if 2 / 5 < layout.width / layout.height < 5 / 2 else ' class="long"'
    sources = f'src="{thumb}320" srcset="{thumb}320 1x, {thumb}640 2x" loading="lazy" decoding="async"'
    return (
        f'<article class="card"><div class="picture"><img alt="" {sources}{long}></div><div class="text">'
        f'<h2><a href="{escape(address("view", entry.id))}">{escape(layout.name)}</a></h2>{where}'
        f'<p class="size">{escape(_size(layout))}</p><ul class="chips">{chips}</ul></div></article>'
    )


def _folder(image: str, name: str) -> str:
    """Of an id what the image's name does not say already."""
    parent, slash, last = image.rpartition("/")
    return parent + slash if last in (name, f"{name}.zarr") else image


def _size(layout: ImageLayout) -> str:
    text = f"{layout.width:,} \u00d7 {layout.height:,} px"
    if layout.stored_bytes is not None:
        text += f" · {_bytes(layout.stored_bytes)}"
    return text


def _chips(layout: ImageLayout) -> list[str]:
    chips = [f"{layout.dtype} RGB" if layout.rgb else layout.dtype, " ".join(layout.axes)]
    for axis, many in (("c", "channels"), ("z", "slices"), ("t", "times")):
        count = layout.size(axis)
        if count > 1 and not (axis == "c" and layout.rgb):
            chips.append(f"{count:,} {many}")
    size, unit = layout.pixel_size.get("x", (0.0, ""))
    if size and unit:
        chips.append(f"{size:.3g} {_UNITS.get(unit, unit)}/px")
    return chips


def _bytes(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if size >= 100 or unit == "B" else f"{size:.1f} {unit}"


# -- the viewer ------------------------------------------------------------------------------------------------------


async def view(request: web.Request) -> web.StreamResponse:
    entry = await find(request)
    assert entry.layout is not None
    metadata = await asyncio.to_thread(_metadata, request.app[CATALOGUE].root, entry.id)
    return _page(request, view_html(entry.layout.name, entry.id, metadata, _up(request)), VIEWER_POLICY)


def view_html(name: str, image: str, metadata: str, up: str) -> str:
    """The viewer's page. `metadata`: the image's `zarr.json`; `up`: the relative address of the server's root."""
    # Inside <script> only "<" can end or escape the element; in JSON it occurs in strings alone.
    inline = metadata.replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark">
<title>{escape(name)} · firstlight</title>
<link rel="icon" href="{ICON}">
<link rel="stylesheet" href="{up}assets/viewer.css">
<link rel="preload" href="{up}assets/kernels.wasm" as="fetch" crossorigin>
<script type="application/json" id="firstlight-metadata">{inline}</script>
<script type="module" src="{up}assets/viewer.js"></script>
</head>
<body data-image="{escape(up + address("data", image))}" data-catalogue="{up}">
<noscript>The viewer decodes images in the browser, and needs JavaScript for it.</noscript>
</body>
</html>
"""


def _metadata(root: str, image: str) -> str:
    directory = image_directory(root, image)
    try:
        with open(os.path.join(directory or "", METADATA_KEY), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        raise Failure(404, f"image {image!r}: it is gone") from None


def _up(request: web.Request) -> str:
    """The relative address of the server's root, whatever stands before it: "./" or "../" and so on."""
    resource = request.match_info.route.resource
    prefix = resource.canonical.partition("{")[0] if resource is not None else "/"
    below = request.rel_url.raw_path.count("/") - prefix.rstrip("/").rpartition("/")[0].count("/") - 1
    return "../" * below or "./"


def _page(request: web.Request, text: str, policy: str) -> web.Response:
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "same-origin"}
    # A name in the metadata may hold half a surrogate pair, which has no UTF-8.
    return body(request, text.encode("utf-8", "replace"), "text/html", compress=True, headers=headers)
