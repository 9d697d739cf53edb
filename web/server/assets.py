"""/assets/{name}: the viewer's bundle, which `npm run build` in web/ puts into dist/ beside this file."""

import os
from pathlib import Path

from aiohttp import web

from .replies import Failure, body
from .stored import StoredFile, real_root

# resolve(): an editable install is a tree of links, which does not list what is built later.
DIST = real_root(Path(__file__).resolve().parent / "dist")
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}


def routes() -> list[web.AbstractRouteDef]:
    return [web.get("/assets/{name:.*}", asset)]


async def asset(request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    file = StoredFile.open(DIST, name)
    if file is None:
        raise Failure(404, f"asset {name!r}: {_absence()}")
    with file:
        data = bytes(await file.read(0, file.size))
    kind = TYPES.get(Path(name).suffix, "application/octet-stream")
    return body(request, data, kind, etag=file.etag, compress=kind in TYPES.values())


def _absence() -> str:
    built = os.path.exists(f"{DIST}/viewer.js")
    return "there is no such file" if built else "the viewer is not built: `npm run build` in web/ makes it"
