"""`firstlight preview`: a picture of an image, by as few bytes as show it."""

import argparse
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from firstlight.cli.arguments import Formatter, UsageError, count, index
from firstlight.cli.terminal import percent, plural, seconds, size

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
EPILOG = """\
examples:
  firstlight preview slide.zarr slide.png
  firstlight preview https://host/images/slide.zarr slide.png --size 2048
  firstlight preview stack.zarr z10.png --z 10 --channels DNA,Actin
  firstlight preview slide.zarr exact.png --precision exact

It says how many of the stored bytes it had to fetch.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "preview",
        help="make a small picture, and say how few bytes it took",
        description="Make a picture of an image, local or remote, fetching only what the picture can show.",
        epilog=EPILOG,
        formatter_class=Formatter,
    )
    parser.add_argument("image", metavar="IMAGE", help="directory or URL of a stored image")
    parser.add_argument("out", metavar="OUT", help=f"picture to write ({', '.join(SUFFIXES)})")
    parser.add_argument("--size", type=count, default=1024, metavar="N", help="longest side, pixels (default: 1024)")
    parser.add_argument("--t", type=index, default=0, metavar="N", help="time point (default: 0)")
    parser.add_argument("--z", type=index, metavar="N", help="section (default: the middle one)")
    parser.add_argument("--channels", metavar="A,B", help="labels or numbers (default: those shown at first)")
    parser.add_argument(
        "--precision",
        choices=("fast", "visual", "exact"),
        default="visual",
        help="how much error the screen may not notice (default: visual)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from firstlight.image import open as open_image
    from firstlight.picture import draw

    out = Path(args.out)
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{out}: expected a name that ends in {', '.join(SUFFIXES)}")
    if not out.parent.is_dir():
        raise FileNotFoundError(2, "no such directory", str(out.parent))
    start = time.monotonic()
    image = open_image(args.image)
    for axis, at in (("t", args.t), ("z", args.z or 0)):
        if at >= image.layout.size(axis):
            raise UsageError(f"--{axis} {at}: the image has {axis} 0 to {image.layout.size(axis) - 1}")
    if image.layout.rgb and args.channels is not None:
        raise UsageError("--channels: the image is one colour picture, its channels can't be chosen")
    channels = None if args.channels is None else _channels(image.channels, args.channels)
    picture, level = draw(image, args.size, t=args.t, z=args.z, channels=channels, precision=args.precision)
    _save(picture, out)
    fetched, stored = image.bytes_fetched, (image.bytes_stored or 0) + image.metadata_bytes
    share = f" of {size(stored)} stored ({percent(fetched, stored)})" if image.bytes_stored else ""
    print(
        f"{out}: {picture.shape[1]} x {picture.shape[0]} pixels from level {level}; fetched {size(fetched)}{share} "
        f"in {plural(image.requests, 'request')}, {seconds(time.monotonic() - start)}"
    )
    return 0


def _channels(channels: Sequence[Any], wanted: str) -> list[int]:
    """Numbers of the channels that `wanted` names."""
    chosen = []
    for name in (part.strip() for part in wanted.split(",")):
        matches = [n for n, channel in enumerate(channels) if channel.label == name]
        if not matches and name.isdecimal() and int(name) < len(channels):
            matches = [int(name)]
        if not matches:
            labels = ", ".join(f"{n} ({channel.label})" for n, channel in enumerate(channels))
            raise UsageError(f"--channels {name}: the image has {labels}")
        chosen.append(matches[0])
    return chosen


def _save(picture: Any, out: Path) -> None:
    """Write the whole file or none."""
    from PIL import Image

    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        Image.fromarray(picture).save(temporary, SUFFIXES[out.suffix.lower()])
        os.replace(temporary, out)
    except OSError as error:
        # The person knows the file by its own name.
        raise OSError(error.errno, error.strerror or str(error), str(out)) from error
    finally:
        temporary.unlink(missing_ok=True)
