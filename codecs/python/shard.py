"""Shards: arrays to bytes, and any part of those bytes back to arrays.

The container's rules are here; how a tile's samples become segments is a `SegmentCodec`'s. `Decoder` is the one way
from segments to pictures: `decode`, the Zarr codec and the image reader all feed it.
"""

import itertools
from collections import OrderedDict
from collections.abc import Sequence, Set
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native, select
from .errors import CorruptData, InsufficientData, InvalidArgument
from .index import Index, Region, TileRect
from .threads import Spread, batched, processors, workers
from .wavelet import WaveletCodec

# Coefficients that a decoder keeps between calls.
CACHE_BYTES = 64 << 20

# Coefficients that are decoded before samples are made of them, about, and at most as many bytes as there are samples:
# what a processor's cache holds, and enough for the rows that bands have in common not to matter.
BAND_BYTES = 2 << 20

# Fewest tiles that make a band of columns not a narrow one.
WIDE_TILES = 4

# Fewest rows that one thread makes at a time.
STRIP = 64

# Bytes of samples for each thread that works on them, at least: each takes memory to decode tiles in.
THREAD_BYTES = 1 << 19


class SegmentCodec(Protocol):
    """How samples become segments. Whatever a tile is decoded to is the codec's own affair, as long as it has `nbytes`.

    To add one: write a class with these methods in a file of its own, add it to `CODECS` below and its number to
    `index.CODEC_NAMES`, and describe it in SPEC.md.
    """

    name: str

    def encode(
        self,
        samples: NDArray[Any],
        *,
        colour: str | None,
        transform: str | None,
        contrast: tuple[float, float] | None,
        threads: int | None,
    ) -> tuple[bytes, NDArray[np.uint16] | None, NDArray[np.uint32], list[memoryview]]:
        """(raw fl_info, value table if there is one, lengths of all segments, their bytes in pieces) of `samples`.

        They are (components, height, width), in native byte order.

        Raises InvalidArgument for a dtype, or an option, that the codec does not take.
        """
        ...

    def decode_tiles(
        self,
        index: Index,
        tiles: NDArray[np.uint32],
        where: NDArray[np.int32],
        at: NDArray[np.uint32],
        buffers: list[memoryview],
    ) -> Sequence[Any]:
        """Decode the tiles of rows (level, tile in raster order, number of layers, bytes of the next one).

        Called from several threads. Segment s, if it is not empty, begins at byte ``at[s]`` of ``buffers[where[s]]``;
        of the next layer so many bytes are there. None for a damaged tile.
        """
        ...

    def trim(self, index: Index, level: int, tile: int, left: int, top: int, decoded: Any) -> Any:
        """What `decode_tiles` made of a tile, without what only samples left of `left` or above `top` need.

        They are counted from the tile's first sample. May be the same; not what is left out, if it is not.
        """
        ...

    def synthesize(self, index: Index, level: int, region: Region, tiles: list[Any], out: NDArray[Any]) -> None:
        """Write the samples of `region` of `level` into `out`, (components, height, width).

        Called from several threads. ``tiles[level.first_tile + tile]`` is what `decode_tiles` or `trim` made of that
        tile; None where nothing is known.
        """
        ...


CODECS: dict[str, SegmentCodec] = {codec.name: codec for codec in (WaveletCodec(),)}


def encode(
    samples: ArrayLike,
    codec: str = "wavelet",
    *,
    threads: int | None = None,
    colour: str | None = None,
    transform: str | None = None,
    contrast: tuple[float, float] | None = None,
) -> bytes:
    """Encode a picture losslessly as a shard.

    Parameters
    ----------
    samples : array_like, (height, width) or (height, width, 2 .. 4)
        uint8, int8, uint16 or int16, any byte order and strides; sides of 1 to 65536.
    codec : str
        Name of the segment codec.
    threads : int, optional
        Default: one per processor.
    colour : {"none", "rct", "ycocg-r"}, optional
        Colour transform of the first three components; default: what an estimate says is smallest.
    transform : {"5/3", "9/7-m", "s-haar"}, optional
        Wavelet transform; default: what an estimate says is smallest.
    contrast : (float, float), optional
        The sample values between which the picture is worth looking at; decides what the first layers leave out.
        Default: the 0.1 and 99.9 percentiles of the samples.

    Raises
    ------
    InvalidArgument
        Unknown codec, unsupported dtype or shape; the message names what was found.
    """
    array = np.asarray(samples)
    if array.ndim not in (2, 3) or (array.ndim == 3 and not 2 <= array.shape[2] <= 4) or 0 in array.shape:
        raise InvalidArgument(f"samples of shape {array.shape}: expected (height, width) or (height, width, 2 to 4)")
    return encode_planes(
        array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0), codec, threads, colour, transform, contrast
    )


def encode_planes(
    planes: NDArray[Any],
    codec: str = "wavelet",
    threads: int | None = None,
    colour: str | None = None,
    transform: str | None = None,
    contrast: tuple[float, float] | None = None,
) -> bytes:
    """As `encode`, for samples of shape (components, height, width); 1 to 4 components."""
    if codec not in CODECS:
        raise InvalidArgument(f"codec {codec!r}: expected one of {list(CODECS)}")
    if not planes.dtype.isnative:
        planes = planes.astype(planes.dtype.newbyteorder("="))
    info, values, lengths, pieces = CODECS[codec].encode(
        planes, colour=colour, transform=transform, contrast=contrast, threads=threads
    )
    return b"".join([_native.write_head(info, values, lengths), *pieces])


def decode(
    data: Any,
    *,
    level: int = 0,
    region: Sequence[int] | None = None,
    max_bytes: int | None = None,
    max_error: int | None = 0,
    threads: int | None = None,
) -> NDArray[Any]:
    """Decode a region of a level from a shard, or from any prefix of it.

    Parameters
    ----------
    data : bytes-like
        The shard's bytes from its start; may end anywhere.
    level : int
        0 is full resolution, k is 1/2^k.
    region : (y, x, height, width), optional
        In samples of that level; default: all of it.
    max_bytes : int, optional
        Use at most this many bytes of the shard, head included: those that lower the error most.
    max_error : int or None
        In sample units. Without `max_bytes` a guarantee: no sample is off by more, and only the segments are decoded
        that it takes. With `max_bytes`, a precision at which decoding may stop. None: as good as `data` allows.
    threads : int, optional
        Default: one per processor.

    Returns
    -------
    ndarray
        (height, width) or (height, width, components), in the dtype that was encoded, native byte order.

    Raises
    ------
    InsufficientData
        `data` (or `max_bytes`) does not contain head and base level, or not what `max_error` takes.
    CorruptData, UnsupportedFormat
        `data` is damaged, or is no shard of a known version; the message names the segment.
    InvalidArgument
        No such level or region.
    """
    view = memoryview(data).cast("B")
    index = Index.parse(view)
    area = index.region(level, region)
    # Nothing is decoded a second time.
    decoder = Decoder(index, threads=threads, cache_bytes=0)
    if max_bytes is not None:
        if max_bytes < 0:
            raise InvalidArgument(f"max_bytes {max_bytes}: expected 0 or more")
        wanted = select.within_budget(index, level, area, max_bytes, max_error or 0)
        if not wanted and index.length(0):
            raise InsufficientData(f"max_bytes {max_bytes}: the base level does not fit")
        cut = [(segment, size) for segment, size in wanted if size < index.length(segment)]
        decoder.feed(0, view, [segment for segment, size in wanted if size == index.length(segment)])
        for segment, size in cut:
            begin = int(index.offsets[segment])
            decoder.add_prefix(segment, view[begin : begin + size])
        return decoder.decode(level, area)
    if max_error:
        layers = select.choose_layers(index, level, area, max_error)
        decoder.feed(0, view, select.segments_for(index, level, area, layers))
    elif max_error is not None and max_error < 0:
        raise InvalidArgument(f"max_error {max_error}: expected 0 or more, in sample units")
    if not max_error or decoder.exact_bound(level, area) > max_error:
        # All of it; if the cheapest choice is not all here, what is here may do as well.
        decoder.feed(0, view)
        reached = 0 if max_error is None else decoder.exact_bound(level, area)
        if max_error is not None and reached > max_error:
            present = len(index.within(0, len(view)))
            raise InsufficientData(
                f"max_error {max_error}: the {len(view)} bytes that are there, of {index.size}, "
                f"guarantee {reached} (whole segments: {present} of {index.segments})"
            )
    return decoder.decode(level, area)


class Decoder:
    """Turns segments into pictures, in whatever order they arrive.

    Keeps the segments, and the coefficients of the tiles that were used last (up to `cache_bytes`): a picture that is
    asked for again costs only the tiles that have improved. For one caller at a time; works on several threads itself.

    Parameters
    ----------
    index : Index
    threads : int, optional
        Default: one per processor.
    tolerant : bool
        What `decode` does about a damaged segment: raise CorruptData, or leave out that layer and those after it and
        put the segment's number into `corrupt`. A damaged base always raises.
    cache_bytes : int

    Attributes
    ----------
    corrupt : set of int
        Segments that turned out damaged (`tolerant` only); adding one again gives it another chance.
    """

    def __init__(
        self, index: Index, *, threads: int | None = None, tolerant: bool = False, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.index = index
        self.corrupt: set[int] = set()
        self._threads = threads
        self._tolerant = tolerant
        self._cache_bytes = cache_bytes
        self._codec = CODECS[index.codec]
        # Segment s begins at byte at[s] of buffers[where[s]].
        self._buffers: list[memoryview] = []
        self._where = np.full(index.segments, -1, np.int32)
        self._at = np.zeros(index.segments, np.uint32)
        # Bytes of those that are there in part.
        self._prefix: dict[int, int] = {}
        # Empty segments need not arrive.
        self._have = index.offsets[1:] == index.offsets[:-1]
        self._whole = bool(self._have.all())
        # Level -> complete layers of its tiles, while that is so.
        self._complete: dict[int, NDArray[np.int64]] = {}
        # Place in the list of tiles -> ((layers, bytes of the next), coefficients), least recently used first.
        self._tiles: OrderedDict[int, tuple[tuple[int, int], Any]] = OrderedDict()
        self._tiles_bytes = 0

    # ---- segments in ---------------------------------------------------------------------------------------------

    def add(self, segment: int, data: Any) -> None:
        """Take a whole segment; `data` must not change afterwards.

        Raises
        ------
        InvalidArgument
            No such segment, or `data` has not its length.
        """
        view = self._view(segment, data)
        if len(view) != self.index.length(segment):
            expected = self.index.length(segment)
            raise InvalidArgument(f"{self.index.describe(segment)}: {expected} bytes announced, {len(view)} given")
        if len(view):
            self._take(np.array([segment]), int(self.index.offsets[segment]), view)

    def add_prefix(self, segment: int, data: Any) -> None:
        """Take the first bytes of a segment, as many as there are: they improve the picture, though not its bound.

        Raises
        ------
        InvalidArgument
            No such segment, or `data` is longer.
        """
        view = self._view(segment, data)
        if len(view) >= self.index.length(segment):
            self.add(segment, data)
            return
        # Without what there is of the check (SPEC 2.6): it would be taken for payload.
        view = view[: self.index.length(segment) - (1 if self.index.length(segment) < 64 else 2)]
        if not self._have[segment] and len(view) > self._prefix.get(segment, 0):
            self._where[segment] = len(self._buffers)
            self._at[segment] = 0
            self._buffers.append(view)
            self._prefix[segment] = len(view)

    def _view(self, segment: int, data: Any) -> memoryview:
        if not 0 <= segment < self.index.segments:
            raise InvalidArgument(f"segment {segment}: the shard has {self.index.segments}")
        return memoryview(data).cast("B")

    def feed(self, offset: int, data: Any, only: Sequence[int] | None = None) -> None:
        """Take the segments that lie completely in `data`, the shard's bytes from `offset` on, and are missing so far.

        Parameters
        ----------
        only : sequence of int, optional
            Of these segments alone.
        """
        view = memoryview(data).cast("B")
        inside = self.index.within(offset, len(view))
        segments = np.arange(inside.start, inside.stop) if only is None else np.asarray(only, np.intp)
        if only is not None:
            segments = segments[(segments >= inside.start) & (segments < inside.stop)]
        segments = segments[~self._have[segments]]
        if len(segments):
            self._take(segments, offset, view)

    def _take(self, segments: NDArray[np.intp], offset: int, view: memoryview) -> None:
        self._where[segments] = len(self._buffers)
        self._at[segments] = self.index.offsets[segments].astype(np.int64) - offset
        self._have[segments] = True
        self._whole = bool(self._have.all())
        self._complete.clear()
        self._buffers.append(view)
        if self.corrupt:
            self.corrupt.difference_update(segments.tolist())
        for segment in self._prefix.keys() & set(segments.tolist()) if self._prefix else ():
            del self._prefix[segment]

    def has(self, segment: int) -> bool:
        """Whether the segment is there (an empty one always is)."""
        return bool(self._have[segment])

    # ---- what is known -------------------------------------------------------------------------------------------

    def layers(self, level: int, tile_y: int, tile_x: int) -> int:
        """How many layers of a tile are there."""
        return int(self._layers(level)[tile_y, tile_x])

    def bound(self, level: int, region: Sequence[int] | None = None) -> int:
        """Bound on the absolute error, in sample units, of what `decode` would give now. It never grows."""
        area = self.index.region(level, region)
        least = [0] * len(self.index.levels)
        for j in range(level, len(self.index.levels)):
            y0, x0, y1, x1 = self.index.tiles(j, level, area)
            least[j] = int(self._layers(j)[y0:y1, x0:x1].min())
        return select.bound(self.index, level, least)

    def exact_bound(self, level: int, region: Sequence[int] | None = None) -> int:
        """As `bound`, and often much less, where errors were measured of just what is there: with more it may grow."""
        found = self.bound(level, region)
        area = self.index.region(level, region)
        rects = {j: self.index.tiles(j, level, area) for j in range(level, len(self.index.levels))}
        for n, measured in self.index.levels[level].measured.items():
            if measured < found and all(self._is_cut(j, n, rects[j]) for j in rects):
                found = measured
        return found

    def _is_cut(self, level: int, layers: int, rect: TileRect) -> bool:
        """Whether tiles have the first `layers` layers, or all, and nothing of others."""
        at = self.index.levels[level]
        numbers = {layer: select.numbers(self.index, level, layer, rect) for layer in range(at.layers)}
        if any(not self._have[numbers[layer]].all() for layer in range(min(layers, at.layers))):
            return False
        beyond = [numbers[layer] for layer in range(layers, at.layers)]
        offsets = self.index.offsets
        if any((self._have[each] & (offsets[each + 1] > offsets[each])).any() for each in beyond):
            return False
        return not self._prefix or not any(np.isin(each, list(self._prefix)).any() for each in beyond)

    def mse(self, level: int, region: Sequence[int] | None = None) -> float:
        """Mean squared error, in squared sample units, of what `decode` would give now: an estimate."""
        area = self.index.region(level, region)
        total = 0.0
        for j in range(level, len(self.index.levels)):
            y0, x0, y1, x1 = self.index.tiles(j, level, area)
            total += float(np.array(self.index.levels[j].mse)[self._layers(j)[y0:y1, x0:x1]].mean())
        return total

    def _layers(self, level: int) -> NDArray[np.int64]:
        """Complete layers of every tile of a level, (tiles_y, tiles_x)."""
        if level not in self._complete:
            at = self.index.levels[level]
            if self._whole:
                self._complete[level] = np.full((at.tiles_y, at.tiles_x), at.layers, np.int64)
                return self._complete[level]
            have = np.empty((at.layers, at.tiles_y, at.tiles_x), bool)
            for layer in range(at.layers):
                first, step = self.index.layer_run(level, layer)
                have[layer].flat = self._have[first : first + at.tiles * step : step]
            self._complete[level] = np.logical_and.accumulate(have, axis=0).sum(axis=0)
        return self._complete[level]

    # ---- pictures out --------------------------------------------------------------------------------------------

    def decode(
        self, level: int = 0, region: Sequence[int] | None = None, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """The best picture of `region` of `level` that the segments give.

        Parameters
        ----------
        level : int
        region : (y, x, height, width), optional
            In samples of that level; default: all of it.
        out : ndarray, optional
            Where to write; the shape and dtype of the result, any strides.

        Returns
        -------
        ndarray, (height, width) or (height, width, components)

        Raises
        ------
        InsufficientData
            The base level is not there yet.
        CorruptData
            Naming the segment; see `tolerant`.
        """
        index = self.index
        y, x, height, width = index.region(level, region)
        base = len(index.levels) - 1
        if not self._layers(base).all():
            raise InsufficientData("base level (segment 0) not there yet")
        shape = (height, width) if index.components == 1 else (height, width, index.components)
        if out is None:
            out = np.empty(shape, index.dtype)
        elif out.shape != shape or out.dtype != index.dtype:
            raise InvalidArgument(f"out: {out.dtype} {out.shape}, expected {index.dtype} {shape}")
        planes = out[None] if out.ndim == 2 else np.moveaxis(out, 2, 0)

        threads = min(processors(self._threads), max(out.nbytes // THREAD_BYTES, 1))
        bands = self._bands(level, (y, x, height, width))
        trimmed: dict[int, Any] = {}
        with workers(threads) as spread:
            for n, band in enumerate(bands):
                tiles = self._decode_tiles(level, band, trimmed, threads, spread)

                def strip(rows: tuple[int, int], tiles: list[Any] = tiles, band: Region = band) -> None:
                    first, last = rows
                    area = first, band[1], last - first, band[3]
                    samples = planes[:, first - y : last - y, band[1] - x : band[1] - x + band[3]]
                    self._codec.synthesize(index, level, area, tiles, samples)

                spread(strip, _strips(band[0], band[0] + band[2], threads))
                if n + 1 < len(bands) and self._tiles_bytes > self._cache_bytes:
                    trimmed = self._trimmed(level, bands[n + 1], tiles)
                # The next band's tiles want the memory.
                del strip, tiles
        self._trim(set())
        return out

    def _bands(self, level: int, region: Region) -> list[Region]:
        """What is decoded one part after the other, so that few coefficients are needed at once.

        Bands of whole rows; or of whole columns, where the region is wide and that gives bands which are not narrow
        (rows are made fastest when they are long), or where a row of tiles would be most of it. An edge lies before one
        of tiles by the margin: the band after it needs the last row of tiles again, the one before it needs no tile of
        the next.
        """
        index = self.index
        y, x, height, width = region
        tile = index.levels[level].tile
        size = min(BAND_BYTES, index.components * index.dtype.itemsize * height * width)
        rows, columns = (max(size // (2 * index.components * tile * (across + tile)), 1) for across in (width, height))
        wide = width > height and (columns >= WIDE_TILES or height < 2 * tile)
        start, length, tiles = (x, width, columns) if wide else (y, height, rows)
        before = index.margin + (index.margin & 1)
        first = (start + before) // tile + tiles
        edges = [start, *range(first * tile - before, start + length, tiles * tile), start + length]
        if wide:
            return [(y, left, height, end - left) for left, end in itertools.pairwise(edges)]
        return [(top, x, end - top, width) for top, end in itertools.pairwise(edges)]

    def _trimmed(self, level: int, region: Region, tiles: list[Any]) -> dict[int, Any]:
        """Of `tiles`, what `region` needs of those of which it needs a part alone; they leave the cache."""
        index = self.index
        found: dict[int, Any] = {}
        for j in range(level, len(index.levels) - 1):
            at = index.levels[j]
            y0, x0, y1, x1 = index.tiles(j, level, region)
            top, left = (max((first >> (j - level)) - index.margin, 0) for first in region[:2])
            for y, x in itertools.product(range(y0, y1), range(x0, x1)):
                place = at.first_tile + y * at.tiles_x + x
                above, before = max(top - y * at.tile, 0), max(left - x * at.tile, 0)
                if tiles[place] is not None and (above or before):
                    found[place] = self._codec.trim(index, j, y * at.tiles_x + x, before, above, tiles[place])
                    self._forget(place)
        return found

    def _decode_tiles(
        self, level: int, region: Region, trimmed: dict[int, Any], threads: int, spread: Spread
    ) -> list[Any]:
        """All that `synthesize` needs for the region; some of it is there already."""
        index = self.index
        finest = index.levels[0]
        tiles: list[Any] = [None] * (finest.first_tile + finest.tiles)
        wanted: list[tuple[int, int, int, int]] = []
        needed: set[int] = set()
        for j in range(len(index.levels) - 1, level - 1, -1):
            at = index.levels[j]
            y0, x0, y1, x1 = index.tiles(j, level, region)
            for row, layers in enumerate(self._layers(j)[y0:y1, x0:x1].tolist(), y0):
                for tile, count in enumerate(layers, row * at.tiles_x + x0):
                    place = at.first_tile + tile
                    if place in trimmed:
                        tiles[place] = trimmed[place]
                        continue
                    more = self._more(j, tile, count) if self._prefix else 0
                    cached = self._tiles.get(place)
                    if cached and cached[0] == (count, more):
                        self._tiles.move_to_end(place)
                        tiles[place] = cached[1]
                    elif count or more:
                        wanted.append((j, tile, count, more))
                    needed.add(place)
        self._trim(needed)
        if not wanted:
            return tiles
        batches = batched(np.array(wanted, np.uint32), threads)

        def decode(batch: NDArray[np.uint32]) -> Sequence[Any]:
            return self._codec.decode_tiles(index, batch, self._where, self._at, self._buffers)

        for batch, found in zip(
            batches,
            spread(decode, batches),
            strict=True,
        ):
            for (j, tile, *known), decoded in zip(batch.tolist(), found, strict=True):
                state, coefs = (tuple(known), decoded) if decoded is not None else self._decode_sound(j, tile, *known)
                place = index.levels[j].first_tile + tile
                tiles[place] = coefs
                self._keep(place, state, coefs)
        return tiles

    def _more(self, level: int, tile: int, count: int) -> int:
        """Bytes of the layer after `count` whole ones that are there."""
        at = self.index.levels[level]
        return 0 if count == at.layers else self._prefix.get(self._number(level, count, tile), 0)

    def _number(self, level: int, layer: int, tile: int) -> int:
        first, step = self.index.layer_run(level, layer)
        return first + tile * step

    def _decode_sound(self, level: int, tile: int, count: int, more: int) -> tuple[tuple[int, int], Any]:
        """As much of a damaged tile as can be decoded, with what it is: (layers, 0)."""
        index = self.index

        def attempt(layers: int) -> Any:
            job = np.array([(level, tile, layers, 0)], np.uint32)
            return self._codec.decode_tiles(index, job, self._where, self._at, self._buffers)[0]

        sound: tuple[tuple[int, int], Any] = (0, 0), None
        for layers in range(1, count + (more > 0)):
            if (coefs := attempt(layers)) is None:
                break
            sound = (layers, 0), coefs
        damaged = self._number(level, sound[0][0], tile)
        if not self._tolerant or level == len(index.levels) - 1:
            raise CorruptData(f"{index.describe(damaged)}: not a valid stream, or damaged")
        self._have[damaged] = self._whole = False
        self._prefix.pop(damaged, None)
        self._complete.clear()
        self.corrupt.add(damaged)
        return sound

    def _keep(self, place: int, state: tuple[int, int], coefs: Any) -> None:
        self._forget(place)
        if coefs is not None:
            self._tiles[place] = state, coefs
            self._tiles_bytes += coefs.nbytes

    def _forget(self, place: int) -> None:
        if place in self._tiles:
            self._tiles_bytes -= self._tiles.pop(place)[1].nbytes

    def _trim(self, needed: Set[int]) -> None:
        """Forget the coefficients used longest ago, down to the cache's size, but none that are needed."""
        if self._tiles_bytes > self._cache_bytes:
            for place in [place for place in self._tiles if place not in needed]:
                self._forget(place)
                if self._tiles_bytes <= self._cache_bytes:
                    break


def _strips(top: int, end: int, threads: int) -> list[tuple[int, int]]:
    """Rows [top, end) in a part for each thread."""
    count = max(min(threads, (end - top) // STRIP), 1)
    edges = [top + (end - top) * n // count for n in range(count + 1)]
    return list(itertools.pairwise(edges))
