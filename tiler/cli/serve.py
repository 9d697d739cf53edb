"""`firstlight serve`, `view` and `demo`: images in the browser."""

import argparse
import errno
import hashlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from firstlight.cli.arguments import Formatter, UsageError, port
from firstlight.cli.ingest import store
from firstlight.cli.terminal import note, plural

HOST = "127.0.0.1"
PORT = 8000
# Of the source checkout's tests/data: a slide, 16-bit fluorescence, a planet, a photo, a stack.
DEMO = (
    "CMU-1-Small-Region.svs",
    "neubias_xyc_16bit__cell_dna_mts_actin.tif",
    "bmng_5400x2700.jpg",
    "kodim23.png",
    "neubias_xyzc_16bit__dna_conf_wf.tif",
)
IMAGES = (".jpg", ".jpeg", ".npy", ".png", ".svs", ".tif", ".tiff", ".webp")

SERVE_EPILOG = """\
examples:
  firstlight serve images
  firstlight serve images --host 0.0.0.0 --port 80

Every image below DIR is listed at the address that is printed; new ones appear without a restart. Any web server that
serves byte ranges (nginx, a bucket, a CDN) can serve the same directory to the viewer.
"""
VIEW_EPILOG = """\
examples:
  firstlight view slide.svs              stores it in the cache the first time, then shows it
  firstlight view images/slide.zarr      a stored image is shown as it is
  firstlight view slide.svs --no-browser --port 9000
"""
DEMO_EPILOG = """\
examples:
  firstlight demo
  firstlight demo --images ~/pictures --dir ~/demo
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser(
        "serve",
        help="show a directory of stored images in the browser",
        description="Serve a directory of stored images: catalogue, viewer, byte ranges. Ctrl-C stops it.",
        epilog=SERVE_EPILOG,
        formatter_class=Formatter,
    )
    serve.add_argument("directory", metavar="DIR", type=Path, help="stored images, at any depth, or one of them")
    _add_address(serve, PORT)
    serve.set_defaults(run=run_serve)

    view = commands.add_parser(
        "view",
        help="show one image in the browser, storing it first if need be",
        description="Show an image file or a stored image in the browser. Ctrl-C stops it.",
        epilog=VIEW_EPILOG,
        formatter_class=Formatter,
    )
    view.add_argument("image", metavar="IMAGE", help="an image file, or the directory of a stored image")
    _add_address(view, None)
    view.add_argument("--no-browser", action="store_true", help="print the address only")
    view.set_defaults(run=run_view)

    demo = commands.add_parser(
        "demo",
        help="store sample images and show them in the browser",
        description="Store sample images and serve them. Ctrl-C stops it.",
        epilog=DEMO_EPILOG,
        formatter_class=Formatter,
    )
    demo.add_argument("--dir", metavar="DIR", type=Path, help="where to store them (default: the cache directory)")
    demo.add_argument("--images", metavar="DIR", type=Path, help="other image files to show")
    _add_address(demo, None)
    demo.add_argument("--no-browser", action="store_true", help="print the address only")
    demo.set_defaults(run=run_demo)


def _add_address(parser: argparse.ArgumentParser, default: int | None) -> None:
    parser.add_argument("--host", default=HOST, help=f"address to listen on (default: {HOST}; all: 0.0.0.0)")
    text = f"default: {PORT}" if default else f"default: {PORT}, or a free one"
    parser.add_argument("--port", type=port, default=default, metavar="N", help=text)


def run_serve(args: argparse.Namespace) -> int:
    _check_directory(args.directory)
    _run(args.directory, args.host, args.port, lambda url: _say(f"Serving {args.directory} at {url}"))
    return 0


def run_view(args: argparse.Namespace) -> int:
    path = Path(args.image)
    if "://" in args.image:
        raise UsageError(
            f"{args.image}: view shows local images; for one elsewhere use firstlight preview, or its own server"
        )
    if path.is_dir():
        _check_directory(path)
        root, page = path, "view"
    else:
        stored = _stored_copy(path)
        root, page = stored.parent, f"view/{quote(stored.name)}"
    _run(root, args.host, args.port, _opener(path.name or str(path), page, browse=not args.no_browser))
    return 0


def run_demo(args: argparse.Namespace) -> int:
    from firstlight.ingest.source import image_name

    sources = _demo_images(args.images)
    folder: Path = args.dir or cache_directory() / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        target = folder / f"{image_name(source)}.zarr"
        if not _is_current(target, source):
            note(store(source, target, overwrite=True, label=target.name))
    what = plural(len(sources), "image")
    _run(folder, args.host, args.port, _opener(what, "", browse=not args.no_browser))
    return 0


def cache_directory() -> Path:
    """Where images that only the viewer needs are kept: $XDG_CACHE_HOME/firstlight, or ~/.cache/firstlight."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "firstlight"


def _stored_copy(source: Path) -> Path:
    """The stored image of a file, made unless this very version of the file has one in the cache."""
    from firstlight.ingest.source import image_name, open_source

    open_source(source).close()  # what is no image is told before anything is made for it
    state = source.stat()
    identity = f"{source.resolve()}\0{state.st_mtime_ns}\0{state.st_size}"
    folder = cache_directory() / "view" / hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:16]
    target = folder / f"{image_name(source)}.zarr"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        note(store(source, target, label=target.name))
    return target


def _is_current(target: Path, source: Path) -> bool:
    """Whether `target` was stored from this file as it is now: it is newer."""
    try:
        return (target / "zarr.json").stat().st_mtime >= source.stat().st_mtime
    except OSError:
        return False


def _demo_images(folder: Path | None) -> list[Path]:
    """The images to show: all of `folder`, or those that come with the package, or with a source checkout."""
    here = Path(__file__).resolve()
    packaged = here.parents[1] / "demo"
    checkouts = [parent / "tests" / "data" for parent in here.parents]
    if folder is None and not packaged.is_dir():
        for data in checkouts:
            found = [data / name for name in DEMO if (data / name).is_file()]
            if found:
                return found
        raise UsageError("no sample images come with this installation; name a folder of your own with --images")
    folder = folder or packaged
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such directory", str(folder))
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES and path.is_file())
    if not found:
        raise UsageError(f"{folder}: has no image files ({', '.join(IMAGES)})")
    return found


def _check_directory(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "no such directory", str(path))
    if not path.is_dir():
        raise UsageError(f"{path}: is a file; `firstlight view {path}` shows it, `firstlight ingest {path}` stores it")


def _say(text: str) -> None:
    print(f"{text}\nCtrl-C stops it.", flush=True)


def _opener(what: str, page: str, *, browse: bool) -> Callable[[str], None]:
    """What to do when the server listens: say where, and open the browser there."""

    def ready(url: str) -> None:
        _say(f"Showing {what} at {url}{page}")
        # Without a screen the only browsers are those that would take over this terminal.
        has_screen = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if browse and has_screen:
            import webbrowser

            threading.Thread(target=webbrowser.open, args=(url + page,), daemon=True).start()

    return ready


def _run(root: Path, host: str, port: int | None, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C. Without a port: the usual one, or any that is free."""
    from firstlight.web import run

    try:
        run(root, host, PORT if port is None else port, ready=ready)
    except OSError as error:
        if port is not None or error.errno != errno.EADDRINUSE:
            raise
        run(root, host, 0, ready=ready)
