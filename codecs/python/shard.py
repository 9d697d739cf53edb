"""Shards: arrays to bytes, and any part of those bytes back to arrays.

The container's rules are here; how a tile's samples become segments is a `SegmentCodec`'s. `Decoder` is the one way
from segments to pictures: `decode`, the Zarr codec and the image reader all feed it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native, select
from .errors import CorruptData, InsufficientData, InvalidArgument
from .index import Index, Region
from .threads import spread
from .wavelet import WaveletCodec

# Coefficients that a decoder keeps between calls, and roughly the most that it needs at once.
CACHE_BYTES = 64 << 20

# Rows of samples that one thread makes at a time.
STRIP = 256


class SegmentCodec(Protocol):
    """How samples become segments. Whatever a tile is decoded to is the codec's own affair, as long as it is an array.

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
    ) -> tuple[bytes, NDArray[np.uint16] | None, list[bytes]]:
        """(raw fl_info, value table if there is one, all segments in their order) of `samples`.

        They are (components, height, width), in native byte order.

        Raises InvalidArgument for a dtype, or an option, that the codec does not take.
        """
        ...

    def decode_tile(
        self, index: Index, component: int, level: int, tile_y: int, tile_x: int, segments: Sequence[memoryview]
    ) -> NDArray[Any]:
        """The tile from the segments of its first layers; called from several threads. Raises CorruptData."""
        ...

    def synthesize(
        self, index: Index, level: int, region: Region, tiles: Sequence[NDArray[Any] | None], out: NDArray[Any]
    ) -> None:
        """Write the samples of `region` of `level` into `out`, (components, height, width).

        Called from several threads. ``tiles[component + components * (level.first_tile + tile)]`` is what `decode_tile`
        made of that tile; None where nothing is known.
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
    samples : array_like, (height, width) or (height, width, 3)
        uint8, int8, uint16 or int16, any byte order and strides; sides of 1 to 65536.
    codec : str
        Name of the segment codec.
    threads : int, optional
        Default: one per processor.
    colour : {"none", "rct", "ycocg-r"}, optional
        Colour transform of three components; default: what an estimate says is smallest.
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
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or 0 in array.shape:
        raise InvalidArgument(f"samples of shape {array.shape}: expected (height, width) or (height, width, 3)")
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
    """As `encode`, for samples of shape (components, height, width)."""
    if codec not in CODECS:
        raise InvalidArgument(f"codec {codec!r}: expected one of {list(CODECS)}")
    if not planes.dtype.isnative:
        planes = planes.astype(planes.dtype.newbyteorder("="))
    info, values, segments = CODECS[codec].encode(
        planes, colour=colour, transform=transform, contrast=contrast, threads=threads
    )
    lengths = np.fromiter(map(len, segments), np.uint32, len(segments))
    return b"".join([_native.write_head(info, values, lengths), *segments])


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
        (height, width) or (height, width, 3), in the dtype that was encoded, native byte order.

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
    wanted: list[int]
    if max_bytes is not None:
        if max_bytes < 0:
            raise InvalidArgument(f"max_bytes {max_bytes}: expected 0 or more")
        budget = max(max_bytes - index.head_size, 0)
        wanted = select.within_budget(index, level, area, budget, max_error or 0)
        if not wanted and any(map(index.length, range(index.components))):
            raise InsufficientData(f"max_bytes {max_bytes}: the base level does not fit")
    else:
        layers = select.choose_layers(index, level, area, max_error or 0)
        wanted = select.segments_for(index, level, area, layers)
    present = len(index.within(0, len(view)))

    decoder = Decoder(index, threads=threads)

    def add(segments: Sequence[int]) -> None:
        for s in segments:
            if index.offsets[s + 1] <= len(view):
                decoder.add(s, view[index.offsets[s] : index.offsets[s + 1]])

    add(wanted)
    if max_bytes is None and max_error is not None and decoder.bound(level, area) > max_error:
        # The cheapest choice is not all here; what is here may do as well.
        everything = [at.layers for at in index.levels]
        add(select.segments_for(index, level, area, everything))
        reached = decoder.bound(level, area)
        if reached > max_error:
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
        self._data: dict[int, memoryview] = {}
        # Empty segments need not arrive.
        self._have = index.offsets[1:] == index.offsets[:-1]
        # Position in the list of tiles -> (layers, coefficients), least recently used first.
        self._tiles: OrderedDict[int, tuple[int, NDArray[Any]]] = OrderedDict()

    # ---- segments in ---------------------------------------------------------------------------------------------

    def add(self, segment: int, data: Any) -> None:
        """Take a whole segment; `data` must not change afterwards.

        Raises
        ------
        InvalidArgument
            No such segment, or `data` has not its length.
        """
        view = memoryview(data).cast("B")
        if not 0 <= segment < self.index.segments:
            raise InvalidArgument(f"segment {segment}: the shard has {self.index.segments}")
        if len(view) != self.index.length(segment):
            expected = self.index.length(segment)
            raise InvalidArgument(f"{self.index.describe(segment)}: {expected} bytes announced, {len(view)} given")
        if len(view):
            self._data[segment] = view
            self._have[segment] = True
            self.corrupt.discard(segment)

    def feed(self, offset: int, data: Any) -> None:
        """Take all segments that lie completely in `data`, the shard's bytes from `offset` on."""
        view = memoryview(data).cast("B")
        for segment in self.index.within(offset, len(view)):
            if not self._have[segment]:
                start, end = self.index.offsets[segment : segment + 2].tolist()
                self.add(segment, view[start - offset : end - offset])

    def has(self, segment: int) -> bool:
        """Whether the segment is there (an empty one always is)."""
        return bool(self._have[segment])

    # ---- what is known -------------------------------------------------------------------------------------------

    def layers(self, level: int, tile_y: int, tile_x: int) -> int:
        """How many layers of a tile are there with all their components."""
        return int(self._layers(level)[tile_y, tile_x])

    def bound(self, level: int, region: Sequence[int] | None = None) -> int:
        """Bound on the absolute error, in sample units, of what `decode` would give now."""
        area = self.index.region(level, region)
        least = [0] * len(self.index.levels)
        for j in range(level, len(self.index.levels)):
            y0, x0, y1, x1 = self.index.tiles(j, level, area)
            least[j] = int(self._layers(j)[y0:y1, x0:x1].min())
        return select.bound(self.index, level, least)

    def _layers(self, level: int) -> NDArray[np.int64]:
        """Complete layers of every tile of a level, (tiles_y, tiles_x)."""
        at = self.index.levels[level]
        shape = at.layers, at.tiles_y, at.tiles_x, self.index.components
        have = self._have[at.first_segment : at.first_segment + np.prod(shape)].reshape(shape).all(axis=3)
        complete: NDArray[np.int64] = np.logical_and.accumulate(have, axis=0).sum(axis=0)
        return complete

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
            raise InsufficientData(f"base level (segments 0 to {index.components - 1}) not there yet")
        shape = (height, width) if index.components == 1 else (height, width, index.components)
        if out is None:
            out = np.empty(shape, index.dtype)
        elif out.shape != shape or out.dtype != index.dtype:
            raise InvalidArgument(f"out: {out.dtype} {out.shape}, expected {index.dtype} {shape}")
        planes = out[None] if out.ndim == 2 else np.moveaxis(out, 2, 0)

        # In bands, so that the coefficients needed at once stay near the cache's size.
        row = 4 * index.components * width
        band = max(self._cache_bytes // (2 * row) // STRIP, 1) * STRIP
        for top in range(0, height, band):
            rows = min(band, height - top)
            tiles = self._decode_tiles(level, (y + top, x, rows, width))

            def strip(start: int, end: int = top + rows, tiles: Sequence[NDArray[Any] | None] = tiles) -> None:
                count = min(STRIP, end - start)
                area = y + start, x, count, width
                self._codec.synthesize(index, level, area, tiles, planes[:, start : start + count])

            spread(strip, range(top, top + rows, STRIP), self._threads)
            self._trim()
        return out

    def _decode_tiles(self, level: int, region: Region) -> list[NDArray[Any] | None]:
        """All that `synthesize` needs for the region."""
        index = self.index
        wanted: list[tuple[int, int, int, int, int]] = []
        last = index.levels[0]
        tiles: list[NDArray[Any] | None] = [None] * (index.components * (last.first_tile + last.tiles))
        for j in range(level, len(index.levels)):
            at = index.levels[j]
            y0, x0, y1, x1 = index.tiles(j, level, region)
            layers = self._layers(j)[y0:y1, x0:x1].tolist()
            for tile_y in range(y0, y1):
                for tile_x in range(x0, x1):
                    count = layers[tile_y - y0][tile_x - x0]
                    first = index.components * (at.first_tile + tile_y * at.tiles_x + tile_x)
                    for component in range(index.components if count else 0):
                        cached = self._tiles.get(first + component)
                        if cached and cached[0] == count:
                            self._tiles.move_to_end(first + component)
                            tiles[first + component] = cached[1]
                        else:
                            wanted.append((j, tile_y, tile_x, component, count))
        for tile, (count, coefs) in zip(wanted, spread(self._decode_tile, wanted, self._threads), strict=True):
            j, tile_y, tile_x, component, _ = tile
            at = index.levels[j]
            position = component + index.components * (at.first_tile + tile_y * at.tiles_x + tile_x)
            tiles[position] = coefs
            if coefs is not None:
                self._tiles[position] = count, coefs
                self._tiles.move_to_end(position)
        return tiles

    def _decode_tile(self, tile: tuple[int, int, int, int, int]) -> tuple[int, NDArray[Any] | None]:
        """(layers, coefficients) of a tile; fewer layers than asked for when one is damaged and that is tolerated."""
        level, tile_y, tile_x, component, count = tile
        index = self.index
        numbers = [index.segment(level, layer, tile_y, tile_x, component) for layer in range(count)]
        segments = [self._data.get(number, memoryview(b"")) for number in numbers]
        try:
            return count, self._codec.decode_tile(index, component, level, tile_y, tile_x, segments)
        except CorruptData as error:
            # Which layer? The first at which decoding fails.
            sound: tuple[int, NDArray[Any] | None] = 0, None
            for layers in range(1, count):
                try:
                    coefs = self._codec.decode_tile(index, component, level, tile_y, tile_x, segments[:layers])
                except CorruptData:
                    break
                sound = layers, coefs
            damaged = numbers[sound[0]]
            if not self._tolerant or level == len(index.levels) - 1:
                raise CorruptData(f"{index.describe(damaged)}: {error}") from error
            self._have[damaged] = False
            self.corrupt.add(damaged)
            return sound

    def _trim(self) -> None:
        """Forget the coefficients used longest ago, down to the cache's size."""
        size = sum(coefs.nbytes for _, coefs in self._tiles.values())
        while size > self._cache_bytes:
            _, (_, coefs) = self._tiles.popitem(last=False)
            size -= coefs.nbytes
