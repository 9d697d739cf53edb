"""`firstlight verify`: is every sample there, and is it the original's?"""

import argparse
import itertools
import math
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from firstlight.cli.arguments import Formatter, count
from firstlight.cli.terminal import Progress, note, plural, seconds, size

SHOWN = 10  # complaints that are printed one by one
EPILOG = """\
examples:
  firstlight verify slide.zarr
  firstlight verify slide.zarr --against slide.svs
  firstlight verify https://host/images/slide.zarr

Decodes every shard to the last bit (each segment has a checksum), compares each array of the pyramid with the one that
it was made from, and with --against compares every sample with the original file, read anew. Exit code 0: all is well.
"""


@dataclass(frozen=True, slots=True)
class _Shard:
    """A shard and its place: `place` along the axes before y and x, `region` (y, x, height, width) in its array."""

    array: int
    key: str
    place: tuple[int, ...]
    region: tuple[int, int, int, int]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "verify",
        help="decode everything, and compare it with the original",
        description="Check that a stored image is whole and sound, and that it is the original.",
        epilog=EPILOG,
        formatter_class=Formatter,
    )
    parser.add_argument("image", metavar="IMAGE", help="directory or URL of a stored image")
    parser.add_argument("--against", metavar="ORIGINAL", help="the image file that it was made from")
    parser.add_argument("--threads", type=count, metavar="N", help="default: one per processor")
    parser.add_argument("--quiet", action="store_true", help="no progress; the result only")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from firstlight.errors import CodecError, FirstlightError
    from firstlight.image import open as open_image
    from firstlight.ingest import open_source

    image = open_image(args.image, threads=1)
    layout = image.layout
    complaints: list[str] = []
    source = None
    if args.against is not None:
        source = open_source(args.against)
        complaints += _compare_kind(layout, source)
        if complaints:
            source.close()
            source = None

    def check(shard: _Shard) -> tuple[int, list[str]]:
        try:
            return _check(image, source if shard.array == 0 else None, shard)
        except (FirstlightError, CodecError) as error:
            return 0, [str(error)]

    total = sum(math.prod(array.shape) for array in layout.arrays) * image.dtype.itemsize
    done = checked = 0
    workers = args.threads or os.cpu_count() or 1
    with Progress(f"Verifying {layout.name}", quiet=args.quiet) as progress, ThreadPoolExecutor(workers) as pool:
        progress.update(0, total, "array 0")
        for shard, result in _ahead(pool, check, _shards(layout), 2 * workers):
            samples, found = result
            complaints += found
            checked += 1
            done += samples
            progress.update(done, total, f"array {shard.array}")
        took = progress.elapsed
    if source is not None:
        source.close()
    for text in complaints[:SHOWN]:
        note(f"firstlight verify: {text}")
    if len(complaints) > SHOWN:
        note(f"firstlight verify: ... and {plural(len(complaints) - SHOWN, 'more complaint')}")
    if complaints:
        print(f"{image.store.url}: NOT SOUND, {plural(len(complaints), 'complaint')} about {plural(checked, 'shard')}")
        return 1
    same = f", every sample equal to {args.against}" if args.against else ""
    print(f"{image.store.url}: sound, {plural(checked, 'shard')}, {size(total)} decoded in {seconds(took)}{same}")
    return 0


def _shards(layout: Any) -> Iterator[_Shard]:
    for number, array in enumerate(layout.arrays):
        tall, wide = array.chunks[-2:]
        height, width = array.shape[-2:]
        for at in itertools.product(*map(range, array.grid)):
            y, x = at[-2] * tall, at[-1] * wide
            region = (y, x, min(tall, height - y), min(wide, width - x))
            yield _Shard(number, layout.shard_key(number, at), at[:-2], region)


def _ahead(pool: ThreadPoolExecutor, work: Any, items: Iterator[_Shard], most: int) -> Iterator[tuple[_Shard, Any]]:
    """Items with their results, in order, at most `most` of them under way."""
    waiting: deque[tuple[_Shard, Future[Any]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) >= most:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def _compare_kind(layout: Any, source: Any) -> list[str]:
    complaints = []
    for what, stored, original in (
        ("axes", layout.axes, source.axes),
        ("shape", layout.shape, source.shape),
        ("samples", layout.dtype, source.dtype.name),
        ("colour", layout.rgb, source.rgb),
    ):
        if stored != original:
            complaints.append(f"{what}: the original has {original}, the stored image {stored}")
    return complaints


def _check(image: Any, source: Any, shard: _Shard) -> tuple[int, list[str]]:
    """(bytes of samples decoded, complaints) of one shard."""
    import numpy as np

    from firstlight import geometry
    from firstlight.layout import ShardRef

    layout = image.layout
    y, x, height, width = shard.region
    complaints: list[str] = []
    samples = image.read_shard(ShardRef(shard.key, shard.array, 0, (0, 0, height, width), 0, 0))
    full = np.zeros((height, width, *samples.shape[2:]), samples.dtype)  # a shard may leave out trailing zeros
    full[: samples.shape[0], : samples.shape[1]] = samples
    plane = {
        axis: at for axis, at in zip(layout.axes[:-2], shard.place, strict=True) if not (layout.rgb and axis == "c")
    }
    if source is not None:
        original = source.read(plane, shard.region)
        complaints += _differences(shard, "the original", full, original)
    if shard.array + 1 < len(layout.arrays):
        # Level 3 of these shards, put together, is the next array.
        area = geometry.scale_region((0, 0, height, width), 0, geometry.LEVELS_PER_ARRAY)
        coarse = image.read_shard(ShardRef(shard.key, shard.array, geometry.LEVELS_PER_ARRAY, area, 0, 0))
        step = geometry.ARRAY_STEP
        rows, columns = (slice(at // step, at // step + n) for at, n in ((y, coarse.shape[0]), (x, coarse.shape[1])))
        selection = tuple(plane.get(axis, slice(None)) for axis in layout.axes[:-2])
        level = geometry.LEVELS_PER_ARRAY * (shard.array + 1)
        above = image.read((*selection, rows, columns), level=level)
        if layout.rgb:  # all other axes are integers, so c comes first
            above = np.moveaxis(above, 0, -1)
        complaints += _differences(shard, f"array {shard.array + 1}", coarse, above)
    return full.nbytes, complaints


def _differences(shard: _Shard, name: str, found: Any, expected: Any) -> list[str]:
    import numpy as np

    if found.shape != expected.shape:
        return [f"shard {shard.key}: {found.shape} samples, {name} has {expected.shape}"]
    wrong = found != expected
    if not wrong.any():
        return []
    first = tuple(int(n) for n in np.argwhere(wrong)[0])
    return [
        f"shard {shard.key}: {int(wrong.sum()):,} of {wrong.size:,} samples differ from {name}, the first at row "
        f"{first[0]}, column {first[1]}: {found[first]} stored, {expected[first]} expected"
    ]
