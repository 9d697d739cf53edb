"""/images: the catalogue as JSON. Also how handlers find the image that an address names."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

from aiohttp import web

from .catalogue import Catalogue, Entry
from .replies import Failure, body

CATALOGUE = web.AppKey("CATALOGUE", Catalogue)


def routes() -> list[web.AbstractRouteDef]:
    return [web.get("/images", images)]


async def images(request: web.Request) -> web.StreamResponse:
    entries = await listed(request)
    text = json.dumps({"images": [describe(entry) for entry in entries]}, allow_nan=False)
    return body(request, text.encode(), "application/json", compress=True)


def describe(entry: Entry) -> dict[str, Any]:
    """An image for programs. Addresses are relative to that of the catalogue."""
    if entry.layout is None:
        return {"id": entry.id, "readable": False, "problem": entry.problem}
    layout = entry.layout
    return {
        "id": entry.id,
        "readable": True,
        "name": layout.name,
        "axes": list(layout.axes),
        "shape": list(layout.shape),
        "dtype": layout.dtype,
        "rgb": layout.rgb,
        "levels": len(layout.levels),
        "channels": [channel.label for channel in layout.channels],
        "pixel_size": {axis: {"size": size, "unit": unit} for axis, (size, unit) in layout.pixel_size.items()},
        "stored_bytes": layout.stored_bytes,
        "data": address("data", entry.id),
        "view": address("view", entry.id),
        "thumbnail": address("thumb", entry.id),
    }


def address(kind: str, image: str) -> str:
    """The address of an image's data, view or thumb, relative to the catalogue's."""
    return f"{kind}/{quote(image)}" if image else kind


async def listed(request: web.Request) -> tuple[Entry, ...]:
    """All images."""
    return await asyncio.to_thread(request.app[CATALOGUE].entries)


async def find(request: web.Request) -> Entry:
    """The readable image that the address names.

    Raises
    ------
    Failure
        404: there is none; 500: there is one, and its metadata is damaged.
    """
    image = request.match_info.get("id", "").strip("/")
    entry = await asyncio.to_thread(request.app[CATALOGUE].find, image)
    if entry is None:
        raise Failure(404, f"image {image!r}: there is no such image here; the catalogue is at / and /images")
    if entry.layout is None:
        raise Failure(500, f"image {image!r}: it can't be read: {entry.problem}")
    return entry
