"""From a source to an image: shards in parallel, then the pyramid, then the metadata.

A worker reads a shard's samples, encodes them and stores the result, so what is in memory at once is what the workers
hold, whatever the image's size. The next array of the pyramid is read from level 3 of the shards just written, which
makes it exactly what a reader of those shards would see.
"""

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from firstlight import codecs, geometry, plan, render
from firstlight.codecs import Index
from firstlight.geometry import Region
from firstlight.ingest.source import Samples, Source, SourceChannel, open_source
from firstlight.ingest.statistics import Histogram
from firstlight.layout import Channel, ImageLayout
from firstlight.write import ImageWriter

Progress: TypeAlias = Callable[[int, int, str], None]
"""(bytes of samples done, bytes of samples of all arrays, stage). Called from the thread that called ingest."""

MEMORY_BYTES = 1200 << 20
"""What the workers together may hold, roughly; at least one of them runs."""
_HEAD_GUESS = 65536


def ingest(
    source: str | os.PathLike[str] | Source,
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    chunk: int = geometry.DEFAULT_CHUNK,
    threads: int | None = None,
    progress: Progress | None = None,
    name: str | None = None,
    note: Callable[[str], None] | None = None,
) -> ImageLayout:
    """Store an image file as a firstlight image, losslessly.

    Parameters
    ----------
    source : path or Source
        PNG, JPEG, WebP, TIFF and its kin, .npy. A Source is left open.
    target : path
        The directory to make; see ImageWriter. Nothing is left of it when ingest fails or is interrupted.
    overwrite : bool
        Replace an image that is there.
    chunk : int
        A shard holds at most chunk x chunk samples (see `geometry.chunk_shape`); a multiple of 8.
    threads : int, optional
        Default: one per processor.
    progress, note : callable, optional
        `note` gets lines of text that are worth showing (see ImageWriter).
    name : str, optional
        The image's name. Default: the file's, without extensions.

    Returns
    -------
    ImageLayout
        Of the image as it was stored.

    Raises
    ------
    SourceError
        The source can't be read, or is of a kind that can't be stored.
    TargetError
        The target can't be written.
    LayoutError
        `chunk` makes no sense.
    """
    with contextlib.ExitStack() as stack:
        if not isinstance(source, Source):
            source = stack.enter_context(open_source(source))
        layout = ImageLayout.build(
            name or source.name,
            source.axes,
            source.shape,
            source.dtype.name,
            rgb=source.rgb,
            chunk=chunk,
            pixel_size=source.pixel_size,
            source=Path(source.path).name,
        )
        writer = stack.enter_context(ImageWriter(target, overwrite=overwrite, note=note))
        # A colour image has one contrast: three would change its hues. 8-bit colour needs none.
        groups = layout.size("c") if not layout.rgb else int(layout.dtype != "uint8")
        histograms = [Histogram(source.dtype) for _ in range(groups)]
        meter = _Meter(layout, progress)
        for number in range(len(layout.arrays)):
            planes: _Planes = source if number == 0 else _Overview(writer, layout, number)
            _write_array(planes, writer, layout, number, threads, histograms if number == 0 else [], meter)
        meter.say("metadata")
        layout = replace(layout, channels=_channels(source.channels, layout, histograms))
        return writer.finish(replace(layout, thumbnail=_thumbnail(writer, layout)))


class _Planes(Protocol):
    """Where an array's samples come from: a Source, or the array before."""

    interleaved: bool

    def read(self, index: Mapping[str, int], region: Region) -> Samples: ...


class _Overview:
    """Array `number` of the pyramid, read from level 3 of the shards of the one before."""

    interleaved = False

    def __init__(self, writer: ImageWriter, layout: ImageLayout, number: int) -> None:
        self._writer, self._layout, self._number = writer, layout, number

    def read(self, index: Mapping[str, int], region: Region) -> Samples:
        layout, finer = self._layout, self._layout.arrays[self._number - 1]
        _, _, height, width = region
        out = np.empty((height, width, 3) if layout.rgb else (height, width), layout.dtype)
        size, side = finer.shape[-2:], finer.chunks[-2:]
        parts = geometry.shards_under(region, geometry.LEVELS_PER_ARRAY, (size[0], size[1]), (side[0], side[1]))
        for part in parts:
            place = (*_leading(layout, index), part.row, part.column)
            path = self._writer.path / layout.shard_key(self._number - 1, place)
            _, _, part_height, part_width = part.region
            decoder = _read_down_to(path, geometry.LEVELS_PER_ARRAY, threads=1)
            fitted = plan.fit_region(decoder.index, geometry.LEVELS_PER_ARRAY, part.region)
            assert fitted is not None  # every shard written here fills its chunk inside the image
            # A corner shard may be too small to have that level: its coarsest holds the samples, every 2nd, 4th ...
            step = 1 << (geometry.LEVELS_PER_ARRAY - fitted[0])
            samples = decoder.decode(*fitted)[::step, ::step]
            out[part.y : part.y + part_height, part.x : part.x + part_width] = samples
        return out


def _read_down_to(path: Path, level: int, *, threads: int | None = None) -> codecs.Decoder:
    """A decoder with all of a shard that `level` (or the coarsest that it has) needs: the start of every group."""
    with open(path, "rb") as file:
        data = file.read(_HEAD_GUESS)
        data += file.read(max(0, codecs.head_size(data) - len(data)))
        index = Index.parse(data)
        decoder = codecs.Decoder(index, threads=threads)
        level = min(level, len(index.levels) - 1)
        for group in range(len(index.groups)):
            first, _ = index.level_segments(len(index.levels) - 1, group)
            _, end = index.level_segments(level, group)
            offset = int(index.offsets[first])
            file.seek(offset)
            decoder.feed(offset, file.read(int(index.offsets[end]) - offset))
    if decoder.bound(level) > 0:
        raise codecs.InsufficientData(f"{path}: ends before level {level} does")
    return decoder


def _leading(layout: ImageLayout, index: Mapping[str, int]) -> tuple[int, ...]:
    """Chunk index along the axes before y and x. All components of a colour image are chunk 0 of c."""
    return tuple(0 if axis == "c" and layout.rgb else index.get(axis, 0) for axis in layout.axes[:-2])


class _Meter:
    def __init__(self, layout: ImageLayout, progress: Progress | None) -> None:
        itemsize = np.dtype(layout.dtype).itemsize
        self._total = sum(int(np.prod(array.shape, dtype=object)) * itemsize for array in layout.arrays)
        self._done = 0
        self._stage = ""
        self._progress = progress

    def add(self, done: int) -> None:
        self._done += done
        self.say(self._stage)

    def say(self, stage: str) -> None:
        self._stage = stage
        if self._progress is not None:
            self._progress(self._done, self._total, stage)


def _write_array(
    planes: _Planes,
    writer: ImageWriter,
    layout: ImageLayout,
    number: int,
    threads: int | None,
    histograms: list[Histogram],
    meter: _Meter,
) -> None:
    array = layout.arrays[number]
    height, width = array.shape[-2:]
    tall, wide = array.chunks[-2:]
    stop = threading.Event()

    def work(index: Mapping[str, int], row: int, column: int) -> int:
        if stop.is_set():
            return 0
        y, x = row * tall, column * wide
        samples = planes.read(index, (y, x, min(tall, height - y), min(wide, width - x)))
        if histograms:
            histograms[0 if layout.rgb else index["c"]].add(samples)
        shard = codecs.encode(samples, threads=inner)
        writer.put(layout.shard_key(number, (*_leading(layout, index), row, column)), shard)
        return samples.nbytes

    shards = int(np.prod(array.grid, dtype=object))
    processors = threads or os.cpu_count() or 1
    workers = max(1, min(shards, processors, MEMORY_BYTES // _worker_bytes(layout, tall, wide)))
    inner = max(1, processors // workers)
    meter.say(f"array {array.path}")
    # Few tasks wait: an image may have millions of shards.
    waiting: set[Future[int]] = set()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ingest")
    try:
        for place in _places(layout, array.grid[-2:], interleaved=planes.interleaved):
            waiting.add(pool.submit(work, *place))
            if len(waiting) > 2 * workers:
                waiting = _collect(waiting, meter)
        while waiting:
            waiting = _collect(waiting, meter)
    except BaseException:
        # Ctrl-C too: what runs finishes its shard, the rest never starts.
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _collect(waiting: set[Future[int]], meter: _Meter) -> set[Future[int]]:
    done, rest = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        meter.add(future.result())
    return rest


def _worker_bytes(layout: ImageLayout, height: int, width: int) -> int:
    """What a worker needs at most: samples twice (a source may hold its own copy), int32 planes, the shard."""
    itemsize = np.dtype(layout.dtype).itemsize
    return height * width * layout.components * (2 * itemsize + 4 + itemsize)


def _places(
    layout: ImageLayout, grid: tuple[int, ...], *, interleaved: bool
) -> Iterator[tuple[dict[str, int], int, int]]:
    """(index, row, column) of every shard, in the order in which the source reads best."""
    sizes = {axis: layout.size(axis) for axis in "tcz"}
    if layout.rgb:
        sizes["c"] = 1
    order = ("t", "z", "y", "x", "c") if interleaved else ("t", "c", "z", "y", "x")
    sizes |= {"y": grid[0], "x": grid[1]}
    for place in itertools.product(*(range(sizes[axis]) for axis in order)):
        at = dict(zip(order, place, strict=True))
        yield {axis: at[axis] for axis in "tcz"}, at["y"], at["x"]


def _channels(said: tuple[SourceChannel, ...], layout: ImageLayout, histograms: list[Histogram]) -> tuple[Channel, ...]:
    """What the file says of its channels; for the rest, the layout's defaults and limits from the samples."""
    if not histograms:
        return layout.channels
    if layout.rgb:
        window, limits = histograms[0].window(), histograms[0].limits()
        return tuple(replace(channel, window=window, limits=limits) for channel in layout.channels)
    channels = []
    for default, channel, histogram in zip(layout.channels, said, histograms, strict=True):
        window = channel.window or histogram.window()
        low, high = histogram.limits()
        channels.append(
            Channel(
                label=channel.label or default.label,
                color=channel.color or default.color,
                window=window,
                limits=(min(low, window[0]), max(high, window[1])),
                active=channel.active and default.active,
            )
        )
    return tuple(channels)


def _thumbnail(writer: ImageWriter, layout: ImageLayout) -> str:
    """The whole image, its middle z, from the one shard a channel that spans it."""
    number = len(layout.arrays) - 1
    size = layout.arrays[number].shape[-2:]
    level = 0
    while max(geometry.level_size(size[0], size[1], level + 1)) >= render.THUMBNAIL_SIDE:
        level += 1
    planes: list[np.ndarray[Any, Any]] = []
    shown = [number for number, channel in enumerate(layout.channels) if channel.active or layout.rgb]
    for c in [0] if layout.rgb else shown:
        place = (*_leading(layout, {"c": c, "z": layout.size("z") // 2}), 0, 0)
        picture = _read_down_to(writer.path / layout.shard_key(number, place), level).decode(level)
        planes += list(np.moveaxis(picture, 2, 0)) if layout.rgb else [picture]
    return render.thumbnail(render.composite(planes, [layout.channels[c] for c in shown]))
