"""What a shard's head says: geometry, levels, and where every segment lies.

The rules of segment order (SPEC 2.6) and of the tiles under a region (SPEC 2.5) live here, and nowhere else in Python.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _native
from .errors import InvalidArgument, UnsupportedFormat

Region = tuple[int, int, int, int]
"""(y, x, height, width) in samples of the level that is asked for."""

FORMAT_VERSION = 4
"""Of the shards that this build writes and reads (SPEC 2.1)."""

FIXED_BYTES = 80
"""So many bytes of a shard tell how long its head is (SPEC 2.1)."""

CODEC_NAMES = {0: "wavelet"}
COLOUR_NAMES = {0: "none", 1: "rct", 2: "ycocg-r"}
TRANSFORM_NAMES = {0: "5/3", 1: "9/7-m", 2: "s-haar"}

# fl_info and fl_level of kernels/firstlight.h, as words of 32 bits.
MOST_LAYERS = 24
_MAX_GROUPS = 5
_HEADER_WORDS = 19 + 2 * _MAX_GROUPS
_LEVEL_WORDS = 7 + _MAX_GROUPS + 3 * (MOST_LAYERS + 1)
_NOT_MEASURED = 0xFFFFFFFF


class SegmentId(NamedTuple):
    """What a segment holds."""

    level: int
    layer: int
    tile_y: int
    tile_x: int


class LayerRun(NamedTuple):
    """Where the segments of one layer of a level are: that of tile t (row by row) has the number first + t x step."""

    first: int
    step: int


class TileRect(NamedTuple):
    """Tiles [y0, y1) x [x0, x1) of a level."""

    y0: int
    x0: int
    y1: int
    x1: int


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a shard.

    Attributes
    ----------
    width, height : int
        Samples of this level.
    tile : int
        Samples of this level that a tile covers, each way.
    tiles_x, tiles_y, layers : int
    first_tile : int
        Tiles of all coarser levels.
    first_segments : tuple of int
        For each group of layers the segments before this level's first one in it.
    errors : tuple of int
        `errors[n]`, in sample units: what this level adds to the bound on the error of this and finer levels while
        only its first n layers are there; ``errors[layers] == 0``.
    mse : tuple of float
        `mse[n]`, in squared sample units: what it then adds to the mean squared error (over samples and components),
        an estimate (SPEC 2.4).
    measured : dict of int to int
        ``measured[n]``, in sample units: a bound on the error of a picture of this level that has of every level its
        first n layers and no others (all, if there are fewer). Only for some n of levels 0, 1, 2, and much nearer to
        the real error.
    """

    width: int
    height: int
    tile: int
    tiles_x: int
    tiles_y: int
    layers: int
    first_tile: int
    first_segments: tuple[int, ...]
    errors: tuple[int, ...]
    mse: tuple[float, ...]
    measured: Mapping[int, int]

    @property
    def tiles(self) -> int:
        return self.tiles_x * self.tiles_y


def head_size(data: Any) -> int:
    """Bytes of the head that begins with `data`; 0 when that can't be told yet (FIXED_BYTES are enough).

    Raises
    ------
    CorruptData, UnsupportedFormat
        When `data` begins no shard, or a shard of a later version.
    """
    return _native.head_size(data)


class Index:
    """A parsed head.

    Attributes
    ----------
    version : int
    codec, colour, transform : str
    width, height, components : int
        Of level 0.
    dtype : numpy.dtype
        uint8, int8, uint16 or int16, native byte order.
    levels : tuple of Level
        ``levels[0]`` is full resolution, ``levels[-1]`` the base: one tile, one layer.
    margin : int
        Samples around a region that its decoding needs, at every level.
    groups : tuple of int
        First layer of each group of layers that lie together in the shard (SPEC 2.6); ``groups[0] == 0``.
    parts : tuple of int
        Where the part of the head that tells of each group ends: a reader of the first g groups needs ``parts[g - 1]``
        bytes of it.
    head_size, size : int
        Bytes of the head, and of the whole shard (of what is known of it).
    offsets : ndarray of uint32, (segments + 1,)
        Segment s is bytes [offsets[s], offsets[s + 1]) of the shard.
    raw, values : bytes
        The kernels' own form of all this: fl_info, and the value table (uint16; empty where there is none).
    """

    __slots__ = (
        "_runs",
        "bits",
        "codec",
        "colour",
        "components",
        "dtype",
        "groups",
        "head_size",
        "height",
        "levels",
        "margin",
        "offsets",
        "parts",
        "raw",
        "segments",
        "size",
        "transform",
        "values",
        "version",
        "width",
    )

    def __init__(self, raw: bytes, offsets: NDArray[np.uint32], values: bytes = b"") -> None:
        words: list[int] = np.frombuffer(raw, np.uint32).tolist()
        self.raw = raw
        self.version, codec, self.head_size, self.width, self.height, self.components = words[:6]
        self.bits, is_signed, colour, levels, self.margin, _, self.segments, _, transform, _, _, groups = words[6:18]
        if codec not in CODEC_NAMES:
            raise UnsupportedFormat(f"shard head: codec number {codec}, this build has {CODEC_NAMES}")
        self.codec = CODEC_NAMES[codec]
        self.colour = COLOUR_NAMES[colour]
        self.transform = TRANSFORM_NAMES[transform]
        self.dtype = np.dtype(f"{'i' if is_signed else 'u'}{1 if self.bits <= 8 else 2}")
        self.levels = tuple(
            _level(words[_HEADER_WORDS + j * _LEVEL_WORDS : _HEADER_WORDS + (j + 1) * _LEVEL_WORDS], groups)
            for j in range(levels + 1)
        )
        self.groups = tuple(words[18 : 18 + groups])
        self.parts = tuple(words[19 + _MAX_GROUPS : 19 + _MAX_GROUPS + groups])
        self._runs: list[tuple[LayerRun, ...]] = [()] * (levels + 1)  # of levels that were asked for
        self.offsets = offsets
        self.values = values
        self.size = int(offsets[-1])

    @classmethod
    def parse(cls, data: Any, groups: int = _MAX_GROUPS) -> "Index":
        """Parse and check the head of a shard.

        Parameters
        ----------
        data : bytes-like
            The shard, or any prefix of it that contains the head, or the parts of it that are asked for.
        groups : int
            Of so many groups of layers only. The index is that of a shard that has no more: its segments are the first
            ones of the shard, and at its last layer an error may remain.

        Raises
        ------
        InsufficientData
            `data` ends inside the head; `head_size` tells how long that is.
        CorruptData, UnsupportedFormat
        """
        raw, offsets, values = _native.parse_head(data, groups)
        return cls(raw, np.frombuffer(offsets, np.uint32), values)

    def __repr__(self) -> str:
        return (
            f"Index({self.codec}, {self.components} x {self.height} x {self.width} {self.dtype}, "
            f"{len(self.levels)} levels, {self.segments} segments, {self.size} bytes)"
        )

    # ---- segments ------------------------------------------------------------------------------------------------

    def layer_groups(self, level: int) -> tuple[tuple[int, int], ...]:
        """Layers [first, end) of `level` in each group; first == end where the level has none of a group's layers."""
        layers = self.levels[level].layers
        starts = [min(start, layers) for start in (*self.groups, layers)]
        return tuple(itertools.pairwise(starts))

    def level_segments(self, level: int, group: int) -> tuple[int, int]:
        """Segments [first, end) of `level` in a group; those of the coarser levels lie before them."""
        at = self.levels[level]
        begin, end = self.layer_groups(level)[group]
        first = at.first_segments[group]
        return first, first + at.tiles * (end - begin)

    def _layer_runs(self, level: int) -> tuple[LayerRun, ...]:
        """Groups, levels coarse to fine, tiles row by row, the group's layers (SPEC 2.6)."""
        if self._runs[level]:
            return self._runs[level]
        at = self.levels[level]
        self._runs[level] = tuple(
            LayerRun(start + layer - first, end - first)
            for start, (first, end) in zip(at.first_segments, self.layer_groups(level), strict=True)
            for layer in range(first, end)
        )
        return self._runs[level]

    def layer_run(self, level: int, layer: int) -> LayerRun:
        """Where a layer's segments are."""
        return self._layer_runs(level)[layer]

    def segment(self, level: int, layer: int, tile_y: int, tile_x: int) -> int:
        """Number of a segment."""
        first, step = self._layer_runs(level)[layer]
        return first + (tile_y * self.levels[level].tiles_x + tile_x) * step

    def locate(self, segment: int) -> SegmentId:
        """The inverse of `segment`."""
        if not 0 <= segment < self.segments:
            raise InvalidArgument(f"segment {segment}: the shard has {self.segments}")
        base = self.levels[-1]
        group = max(g for g, start in enumerate(base.first_segments) if start <= segment)
        level = next(j for j, at in enumerate(self.levels) if at.first_segments[group] <= segment)
        at = self.levels[level]
        first, end = self.layer_groups(level)[group]
        tile, layer = divmod(segment - at.first_segments[group], end - first)
        return SegmentId(level, first + layer, *divmod(tile, at.tiles_x))

    def length(self, segment: int) -> int:
        """Bytes of a segment."""
        return int(self.offsets[segment + 1]) - int(self.offsets[segment])

    def within(self, offset: int, length: int) -> range:
        """The segments that lie completely in the byte range (offset, length)."""
        first, end = np.searchsorted(self.offsets, [offset, offset + length + 1])
        return range(int(first), max(int(end) - 1, int(first)))

    def describe(self, segment: int) -> str:
        """A segment as error messages name it."""
        level, layer, tile_y, tile_x = self.locate(segment)
        return f"segment {segment} (level {level}, layer {layer}, tile {tile_y},{tile_x})"

    # ---- regions -------------------------------------------------------------------------------------------------

    def region(self, level: int, region: Sequence[int] | None = None) -> Region:
        """Check `region` (None: everything) against `level`.

        Raises
        ------
        InvalidArgument
            No such level, or the region is empty or leaves the level.
        """
        if not 0 <= level < len(self.levels):
            raise InvalidArgument(f"level {level}: the shard has levels 0 to {len(self.levels) - 1}")
        at = self.levels[level]
        if region is None:
            return 0, 0, at.height, at.width
        y, x, height, width = (int(n) for n in region)
        if y < 0 or x < 0 or height < 1 or width < 1 or y + height > at.height or x + width > at.width:
            raise InvalidArgument(
                f"region (y, x, height, width) = {(y, x, height, width)}: "
                f"level {level} has {at.height} x {at.width} samples"
            )
        return y, x, height, width

    def tiles(self, of: int, level: int, region: Region) -> TileRect:
        """Tiles of level `of` (coarser than `level`, or the same) that decoding `region` of `level` reads (SPEC 2.5).

        The transform's margin is included.
        """
        y, x, height, width = region
        at = self.levels[of]
        shift = of - level
        y0 = max((y >> shift) - self.margin, 0)
        x0 = max((x >> shift) - self.margin, 0)
        y1 = min(-(-(y + height) >> shift) + self.margin, at.height)
        x1 = min(-(-(x + width) >> shift) + self.margin, at.width)
        return TileRect(y0 // at.tile, x0 // at.tile, -(-y1 // at.tile), -(-x1 // at.tile))


def _level(words: list[int], groups: int) -> Level:
    width, height, tile_log2, tiles_x, tiles_y, layers, first_tile = words[:7]
    tables = words[7 + _MAX_GROUPS :]
    errors = tuple(tables[: layers + 1])
    mse = tuple([_MSE[code] for code in tables[1 + MOST_LAYERS : 2 + MOST_LAYERS + layers]])
    known = tables[2 * (1 + MOST_LAYERS) :]
    measured = {n: known[n] for n in range(1, layers + 1) if known[n] != _NOT_MEASURED}
    first_segments = tuple(words[7 : 7 + groups])
    return Level(
        width, height, 1 << tile_log2, tiles_x, tiles_y, layers, first_tile, first_segments, errors, mse, measured
    )


# Mean squared errors that codes of the head stand for (SPEC 2.4).
_MSE = tuple((code if code < 8 else (8 + code % 8) << (code // 8 - 1)) / 16 for code in range(400))
