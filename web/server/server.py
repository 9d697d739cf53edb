"""The web server: the application and its life.

| address | what |
| --- | --- |
| `/` | the catalogue, a page |
| `/images` | the catalogue, JSON |
| `/view/{id}` | the viewer on one image |
| `/data/{path}` | stored objects, whole or by byte range |
| `/thumb/{id}?size=` | a picture of an image, WebP or PNG |
| `/assets/{name}` | the viewer's bundle |
| `/healthz` | "ok" |

`id` is the path of an image below the root. GET, HEAD and OPTIONS, nothing else: the server writes nothing.
"""

import asyncio
import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from . import assets, data, images, pages, replies, thumbnails
from .catalogue import Catalogue
from .stored import real_root

BODY_BYTES = 4096  # nothing here reads a body
DRAIN_SECONDS = 5.0


def _ours(record: logging.LogRecord) -> bool:
    """Whether a log record is about us: a request that is no HTTP gets its 400, and is nobody's traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


http_log = logging.getLogger("firstlight.web.http")
http_log.addFilter(_ours)


def create_app(root: str | os.PathLike[str], *, allow_origin: str = "*") -> web.Application:
    """The application that serves the images below `root`.

    Parameters
    ----------
    root : path
        A directory of images (at any depth), or an image.
    allow_origin : str
        Access-Control-Allow-Origin of every response: "*", or the one origin whose scripts may read.

    Raises
    ------
    NotADirectoryError
        `root` is no directory.
    """
    directory = real_root(root)
    if not os.path.isdir(directory or "/"):
        raise NotADirectoryError(errno.ENOTDIR, f"{root}: expected a directory of images")
    app = web.Application(middlewares=[replies.answer], client_max_size=BODY_BYTES)
    app[data.ROOT] = directory
    app[images.CATALOGUE] = Catalogue(directory)
    app[thumbnails.THUMBNAILS] = thumbnails.Thumbnails(app[images.CATALOGUE])
    app.on_response_prepare.append(replies.cors(allow_origin))
    app.on_cleanup.append(thumbnails.close)
    for module in (data, images, pages, thumbnails, assets):
        app.add_routes(module.routes())
    app.add_routes([web.get("/healthz", health)])
    return app


async def health(request: web.Request) -> web.StreamResponse:
    return web.Response(text="ok\n", headers={"Cache-Control": "no-store"})


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int, *, drain: float = DRAIN_SECONDS) -> AsyncIterator[str]:
    """Serve `app` while the block runs; gives the base URL, with a slash at its end.

    At the end no new connection is taken, and requests under way have `drain` seconds to finish.

    Raises
    ------
    OSError
        Can't listen; the message names host and port.
    """
    # The access log would cost as much as a small range itself. A client that leaves stops the work done for it.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=drain, logger=http_log)
    await runner.setup()
    try:
        try:
            site = web.TCPSite(runner, host, port, backlog=1024)
            await site.start()
        except (OSError, OverflowError) as error:
            raise _cannot_listen(error, host, port) from None
        actual = runner.addresses[0][1]
        # A name for every interface is no address that a browser could open.
        shown = "localhost" if host in ("", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{actual}/"
    finally:
        await runner.cleanup()


def _cannot_listen(error: OSError | OverflowError, host: str, port: int) -> OSError:
    if isinstance(error, socket.gaierror):
        return OSError(errno.EADDRNOTAVAIL, f"can't listen on {host}:{port}: no such host")
    if isinstance(error, OverflowError):
        return OSError(errno.EINVAL, f"can't listen on {host}:{port}: expected a port from 0 to 65535")
    reasons = {
        errno.EADDRINUSE: "another program listens there",
        errno.EACCES: "not permitted (ports below 1024 belong to the administrator)",
        errno.EADDRNOTAVAIL: "this machine has no such address",
    }
    number = error.errno or errno.EIO
    return OSError(number, f"can't listen on {host}:{port}: {reasons.get(number, error.strerror or error)}")


def run(
    root: str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    ready: Callable[[str], None] | None = None,
    allow_origin: str = "*",
    drain: float = DRAIN_SECONDS,
) -> None:
    """Serve the images below `root` until SIGINT or SIGTERM.

    Parameters
    ----------
    root : path
    host : str
        Address or name to listen on; "0.0.0.0" or "::" for all.
    port : int
        0: any free one.
    ready : callable, optional
        Called with the base URL ("http://127.0.0.1:8080/") once connections are accepted.
    allow_origin : str
        See `create_app`.
    drain : float
        Seconds that requests under way have to finish after the signal. A second signal ends them at once.

    Raises
    ------
    OSError
        Can't listen (the message names host and port), or `root` is no directory.
    """
    app = create_app(root, allow_origin=allow_origin)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)

        def finish() -> None:
            stop.set()
            for number in signals:
                loop.remove_signal_handler(number)

        for number in signals:
            loop.add_signal_handler(number, finish)
        async with serving(app, host, port, drain=drain) as url:
            if ready is not None:
                ready(url)
            await stop.wait()

    asyncio.run(main())


@contextmanager
def background(root: str | os.PathLike[str], host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve the images below `root` from a thread while the block runs (notebooks, tests); gives the base URL.

    Raises
    ------
    OSError
        As `run`.
    """
    app = create_app(Path(root))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="firstlight-web", daemon=True)
    thread.start()
    server = serving(app, host, port)
    try:
        url = asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
        try:
            yield url
        finally:
            asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
