"""/thumb/{id}?size=N: a picture of the whole image, its long side N pixels (16..1024, or less where the image is less).

Rendered in a few threads of their own, so that a page of thumbnails does not hold up the objects; each picture once,
however many ask; kept in memory up to CACHE_BYTES, the least recently used dropped first.
"""

import asyncio
import hashlib
import io
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from aiohttp import hdrs, web

import firstlight
from firstlight.errors import CodecError, FirstlightError
from firstlight.picture import draw

from .catalogue import Catalogue, Entry
from .images import find
from .replies import FOREVER, REVALIDATE, Failure, body, log, quality
from .stored import image_directory

LEAST, MOST, USUAL = 16, 1024, 320
CACHE_BYTES = 64 << 20
RENDERERS = 2
FORMATS = {"image/webp": "WEBP", "image/png": "PNG"}


class Thumbnails:
    """Rendered pictures by (image, its version, size, media type)."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._pool = ThreadPoolExecutor(RENDERERS, thread_name_prefix="firstlight-thumbnail")
        self._done: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._under_way: dict[str, asyncio.Task[bytes]] = {}

    async def get(self, entry: Entry, size: int, kind: str) -> tuple[str, bytes]:
        """(entity tag, encoded picture).

        Raises
        ------
        FirstlightError, CodecError
            The image can't be read.
        """
        key = "\0".join((entry.id, entry.version, str(size), kind))
        tag = f'"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}"'
        if key in self._done:
            self._done.move_to_end(key)
            return tag, self._done[key]
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._render(key, entry, size, kind))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        # A client that leaves does not take the picture away from the others.
        return tag, await asyncio.shield(task)

    async def _render(self, key: str, entry: Entry, size: int, kind: str) -> bytes:
        directory = image_directory(self._catalogue.root, entry.id)
        if directory is None:
            raise FirstlightError(f"image {entry.id!r}: it is gone")
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(self._pool, picture, directory, size, kind)
        self._done[key] = data
        self._bytes += len(data)
        while self._bytes > CACHE_BYTES:
            self._bytes -= len(self._done.popitem(last=False)[1])
        return data

    def _finished(self, key: str, task: "asyncio.Task[bytes]") -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # seen, even where every client has left

    def close(self) -> None:
        for task in list(self._under_way.values()):
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)


THUMBNAILS = web.AppKey("THUMBNAILS", Thumbnails)


def routes() -> list[web.AbstractRouteDef]:
    return [web.get("/thumb/{id:.*}", thumb), web.get("/thumb", thumb)]


async def close(app: web.Application) -> None:
    app[THUMBNAILS].close()


async def thumb(request: web.Request) -> web.StreamResponse:
    size = parse_size(request.query.get("size"))
    entry = await find(request)
    accept = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
    kind = "image/webp" if quality(accept, "image/webp") >= max(quality(accept, "image/png"), 1e-3) else "image/png"
    try:
        tag, data = await request.app[THUMBNAILS].get(entry, size, kind)
    except (FirstlightError, CodecError) as error:
        log.warning("thumbnail of %r: %s", entry.id, error)
        raise Failure(500, f"image {entry.id!r}: it can't be read; the server's log says why") from None
    # The catalogue's page names the version it wants, so that a browser need not ask again.
    lasting = request.query.get("v") == entry.version
    headers: dict[str, str] = {hdrs.VARY: "Accept"}
    return body(request, data, kind, etag=tag, cache_control=FOREVER if lasting else REVALIDATE, headers=headers)


def parse_size(text: str | None) -> int:
    """Pixels of the long side, clamped to 16..1024.

    Raises
    ------
    Failure
        400: not a whole number >= 1.
    """
    if text is None:
        return USUAL
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0):
        raise Failure(400, f"size: expected a number of pixels from {LEAST} to {MOST}, found {text[:40]!r}")
    return min(max(int(text), LEAST), MOST)


def picture(directory: str, size: int, kind: str) -> bytes:
    """The whole image at `directory`, first t, middle z, its active channels, encoded as `kind`."""
    from PIL import Image

    pixels, _ = draw(firstlight.open(directory, threads=1), size)
    buffer = io.BytesIO()
    options = {"quality": 82, "method": 4} if kind == "image/webp" else {"compress_level": 6}
    Image.fromarray(pixels).save(buffer, FORMATS[kind], **options)
    return buffer.getvalue()
