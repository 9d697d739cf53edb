"""The `wavelet` segment codec (SPEC 3): reversible transforms, bit-planes in many layers, for 8/16-bit integers.

With `layering`, `choose` and `packing` this file owns the encoder's choices, which no decoder needs to know.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _native, layering
from .choose import choose
from .errors import InvalidArgument
from .index import COLOUR_NAMES, MOST_LAYERS, TRANSFORM_NAMES, Index, Region
from .packing import pack
from .strided import Strided, contiguous, place
from .threads import batched, spread

Samples = NDArray[np.uint8 | np.int8 | np.uint16 | np.int16]
Tile = _native.Tile

DTYPES = tuple(np.dtype(name) for name in ("uint8", "int8", "uint16", "int16"))

# Rows are measured so many samples at once, which are in the cache then for all numbers of layers, but not fewer rows.
_MEASURED_AT_ONCE = 1 << 20
_LEAST_ROWS = 128

# How many samples the default contrast range is estimated from.
_SUBSAMPLE = 1 << 16


class WaveletCodec:
    """See `firstlight.codecs.shard.SegmentCodec` for the methods."""

    name = "wavelet"

    def encode(
        self,
        samples: Samples,
        *,
        colour: str | None,
        transform: str | None,
        contrast: tuple[float, float] | None,
        threads: int | None,
    ) -> tuple[bytes, NDArray[np.uint16] | None, NDArray[np.uint32], list[memoryview]]:
        components, height, width = samples.shape
        if samples.dtype not in DTYPES:
            raise InvalidArgument(f"dtype {samples.dtype}: the wavelet codec takes {', '.join(map(str, DTYPES))}")
        colours = [_code(COLOUR_NAMES, "colour", colour)] if colour else list(COLOUR_NAMES)
        if components < 3:
            if colour not in (None, "none"):
                raise InvalidArgument(f"colour {colour!r}: needs 3 components, {components} given")
            colours = [0]
        transforms = [_code(TRANSFORM_NAMES, "transform", transform)] if transform else list(TRANSFORM_NAMES)
        given = Strided.of(samples)
        ends = int(samples.min()), int(samples.max())
        usual, has_fill = _contrast(given, ends)
        if has_fill and transform is None:
            # Its longer filters ring around the steps to a fill value: a waste at every precision but the last.
            transforms.remove(_code(TRANSFORM_NAMES, "transform", "9/7-m"))
        bits, signed = _bits(samples.dtype, ends), samples.dtype.kind == "i"
        values, coded, (low, high) = pack(given, ends, contrast or usual)
        count = 0 if values is None else len(values)
        code, kind = choose(coded, bits, signed, count, colours, transforms)

        span = ends[1] - ends[0] if values is None else count - 1
        steps = layering.quantiser_steps(high - low, span)
        head = width, height, components, bits, signed, code, kind, count, len(steps) + 1
        info = _native.plan_head(*head)
        planes = np.empty((components, height, width), np.int32)
        _native.forward(info, coded.flat, coded.strides, planes)

        index = _plan(info)
        measured = layering.measured_layers(index, steps, span)
        shares = layering.layering(index, high - low, steps, measured)
        tiles, lengths, reports = _encode_tiles(index, shares, planes, threads)
        # A value table's entries lie this far apart, in the mean.
        gap = 1.0 if values is None else _span(values, signed) / max(len(values) - 1, 1)
        errors = layering.mean_errors(index, reports, lengths, gap)
        info = _native.plan_head(*head, layering.groups(index, errors, lengths, gap * (high - low)))
        info = _native.set_mse(_native.set_errors(info, planes, reports, values), errors)
        if len(index.levels) > 1 and measured:
            found = _measure(index, measured, coded, planes, reports, threads)
            info = _native.set_measured(info, np.array(measured, np.uint32), found, values)
            if more := layering.wide_between(_plan(info), measured):
                found = _measure(index, more, coded, planes, reports, threads)
                info = _native.set_measured(info, np.array(more, np.uint32), found, values)
        return info, values, *_in_order(_plan(info), tiles, lengths)

    def decode_tiles(
        self,
        index: Index,
        tiles: NDArray[np.uint32],
        where: NDArray[np.int32],
        at: NDArray[np.uint32],
        buffers: list[memoryview],
    ) -> list[Tile | None]:
        return _native.decode_tiles(index.raw, tiles, index.offsets, where, at, buffers)

    def trim(self, index: Index, level: int, tile: int, left: int, top: int, decoded: Tile) -> Tile:
        return _native.trim_tile(index.raw, level, tile, left // 2, top // 2, decoded)

    def synthesize(self, index: Index, level: int, region: Region, tiles: list[Tile | None], out: Samples) -> None:
        y, x, height, width = region
        found = place(out)
        owner, offset, strides = found or contiguous(np.empty(out.shape, out.dtype))
        _native.synthesize(index.raw, level, x, y, width, height, tiles, index.values, owner, (offset, *strides))
        if not found:
            out[...] = owner.reshape(out.shape)


def _encode_tiles(
    index: Index, layers: bytes, planes: NDArray[np.int32], threads: int | None
) -> tuple[list[memoryview], NDArray[np.uint32], NDArray[Any]]:
    """(bytes of all layers, lengths of the layers (tiles, 24), reports) of all tiles, in the order of `first_tile`."""
    rows = [
        np.stack([np.full(at.tiles, level), np.arange(at.tiles)], axis=1)
        for level, at in reversed(list(enumerate(index.levels)))
    ]
    # Of the same size, about: the tiles of one level are, and nearly all are of level 0.
    batches = batched(np.concatenate(rows).astype(np.uint32), threads)
    done = spread(lambda batch: _native.encode_tiles(index.raw, layers, planes, batch), batches, threads)
    tiles: list[memoryview] = []
    for data, batch, _ in done:
        ends = np.frombuffer(batch, np.uint32).reshape(-1, MOST_LAYERS).sum(axis=1).cumsum().tolist()
        tiles += [memoryview(data)[begin:end] for begin, end in itertools.pairwise([0, *ends])]
    lengths = np.frombuffer(b"".join(batch for _, batch, _ in done), np.uint32).reshape(-1, MOST_LAYERS)
    return tiles, lengths, np.frombuffer(b"".join(reports for _, _, reports in done), layering.REPORT)


def _measure(
    index: Index,
    layers: Sequence[int],
    coded: Strided,
    planes: NDArray[np.int32],
    reports: NDArray[Any],
    threads: int | None,
) -> NDArray[np.uint32]:
    """How far pictures of the finest levels are off that have so many layers of every level: (layers, 3)."""
    asked = np.array(layers, np.uint32)
    height = max(_MEASURED_AT_ONCE // (index.width * index.components), _LEAST_ROWS)

    def work(first: int) -> NDArray[np.uint32]:
        rows = min(height, index.height - first)
        found = _native.measure(index.raw, planes, reports, coded.flat, coded.strides, asked, first, rows)
        return np.frombuffer(found, np.uint32)

    apart: NDArray[np.uint32] = np.max(spread(work, range(0, index.height, height), threads), axis=0)
    return apart


def _in_order(
    index: Index, tiles: Sequence[memoryview], lengths: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], list[memoryview]]:
    """Lengths of all segments, and their bytes in pieces, in the order of segments (SPEC 2.6)."""
    # Lists: there are few tiles in most pictures, and arrays are slow to begin with.
    rows: list[list[int]] = lengths.tolist()
    ends: list[list[int]] = np.cumsum(lengths, axis=1).tolist()
    begins = [[0, *row] for row in ends]
    ordered: list[int] = []
    pieces: list[memoryview] = []
    for group, level in itertools.product(range(len(index.groups)), reversed(range(len(index.levels)))):
        at = index.levels[level]
        start, end = index.layer_groups(level)[group]
        if start < end:
            for tile in range(at.first_tile, at.first_tile + at.tiles):
                ordered += rows[tile][start:end]
                pieces.append(tiles[tile][begins[tile][start] : begins[tile][end]])
    return np.array(ordered, np.uint32), pieces


def _code(names: dict[int, str], what: str, name: str) -> int:
    for code, known in names.items():
        if known == name:
            return code
    raise InvalidArgument(f"{what} {name!r}: expected one of {list(names.values())}")


def _bits(dtype: np.dtype[Any], ends: tuple[int, int]) -> int:
    """The fewest bits that hold every sample; a decoder gives the same dtype back (SPEC 2.1)."""
    low, high = ends
    needed = max(high, ~low).bit_length() + 1 if dtype.kind == "i" else high.bit_length()
    return max(needed, 1 if dtype.itemsize == 1 else 9)


def _contrast(samples: Strided, ends: tuple[int, int]) -> tuple[tuple[float, float], bool]:
    """The 0.1 and 99.9 percentiles of a regular subsample without a fill value, and whether there is one.

    A fill value is an extreme that is further from all other samples than these are from each other.
    """
    every = max(1, int((samples.size / _SUBSAMPLE) ** 0.5))
    counts = np.zeros(ends[1] - ends[0] + 1, np.uint32)
    _native.count_values(*samples.thinned(every, every).native, ends[0], counts)
    occur = np.flatnonzero(counts)
    values = occur + ends[0]
    first, last, has_fill = 0, len(values), False
    for extreme in (0, len(values) - 1):
        begin, end = first + (extreme == first), last - (extreme == last - 1)
        if begin < end:
            low, high, fill = int(values[begin]), int(values[end - 1]), int(values[extreme])
            if high > low and min(abs(low - fill), abs(high - fill)) > high - low:
                first, last, has_fill = begin, end, True
    upto = np.cumsum(counts[occur[first:last]])
    black, white = (_percentile(values[first:last], upto, percent) for percent in (0.1, 99.9))
    return (black, white), has_fill


def _percentile(values: NDArray[np.intp], upto: NDArray[Any], percent: float) -> float:
    """Of samples of which ``upto[i]`` are at most ``values[i]``; linear between two of them."""
    last = int(upto[-1]) - 1
    at = last * (percent / 100)
    begin = int(at)
    part = at - begin
    before, after = (int(values[np.searchsorted(upto, min(i, last), "right")]) for i in (begin, begin + 1))
    return before + (after - before) * part if part < 0.5 else after - (after - before) * (1 - part)


def _span(values: NDArray[np.uint16], signed: bool) -> int:
    ends = values.view(np.int16) if signed else values
    return int(ends[-1]) - int(ends[0])


def _plan(info: bytes) -> Index:
    """The geometry of a planned head; nothing has a length yet."""
    segments = np.frombuffer(info, np.uint32)[12]
    return Index(info, np.zeros(segments + 1, np.uint32))
