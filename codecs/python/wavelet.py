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
from .index import COLOUR_NAMES, TRANSFORM_NAMES, Index, Region
from .packing import pack
from .threads import batched, spread

Samples = NDArray[np.uint8 | np.int8 | np.uint16 | np.int16]
Tile = _native.Tile

DTYPES = tuple(np.dtype(name) for name in ("uint8", "int8", "uint16", "int16"))

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
        usual, has_fill = _contrast(samples)
        if has_fill and transform is None:
            # Its longer filters ring around the steps to a fill value: a waste at every precision but the last.
            transforms.remove(_code(TRANSFORM_NAMES, "transform", "9/7-m"))
        bits, signed = _bits(samples), samples.dtype.kind == "i"
        values, samples, (low, high) = pack(samples, contrast or usual)
        count = 0 if values is None else len(values)
        code, kind = choose(samples, bits, signed, count, colours, transforms)

        steps = layering.quantiser_steps(high - low, int(samples.max()) - int(samples.min()))
        head = width, height, components, bits, signed, code, kind, count, len(steps) + 1
        info = _native.plan_head(*head)
        # The kernel reads forwards from the first sample.
        found = _strided(samples) if min(samples.strides) >= 0 else None
        owner, offset, strides = found or _contiguous(np.ascontiguousarray(samples))
        planes = np.empty((components, height, width), np.int32)
        _native.forward(info, owner[offset:], strides[0], strides[1], strides[2], planes)

        index = _plan(info)
        tiles, lengths, reports = _encode_tiles(index, layering.layering(index, high - low, steps), planes, threads)
        # A value table's entries lie this far apart, in the mean.
        gap = 1.0 if values is None else _span(values, signed) / max(len(values) - 1, 1)
        errors = layering.mean_errors(index, reports, lengths, gap)
        info = _native.plan_head(*head, layering.groups(index, errors, gap * (high - low)))
        info = _native.set_mse(_native.set_errors(info, planes, reports, values), errors)
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
        found = _strided(out)
        owner, offset, strides = found or _contiguous(np.empty(out.shape, out.dtype))
        place = offset, *strides
        _native.synthesize(index.raw, level, x, y, width, height, tiles, index.values, owner, place)
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
        ends = np.frombuffer(batch, np.uint32).reshape(-1, layering.MAX_LAYERS).sum(axis=1).cumsum().tolist()
        tiles += [memoryview(data)[begin:end] for begin, end in itertools.pairwise([0, *ends])]
    lengths = np.frombuffer(b"".join(batch for _, batch, _ in done), np.uint32).reshape(-1, layering.MAX_LAYERS)
    return tiles, lengths, np.frombuffer(b"".join(reports for _, _, reports in done), layering.REPORT)


def _in_order(
    index: Index, tiles: Sequence[memoryview], lengths: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], list[memoryview]]:
    """Lengths of all segments, and their bytes in pieces, in the order of segments (SPEC 2.6)."""
    ordered = np.empty(index.segments, np.uint32)
    begins = np.cumsum(lengths, axis=1) - lengths
    ends = begins + lengths
    pieces: list[memoryview] = []
    for level in range(len(index.levels) - 1, -1, -1):
        at = index.levels[level]
        rows = slice(at.first_tile, at.first_tile + at.tiles)
        for layer in range(at.layers):
            first, step = index.layer_run(level, layer)
            ordered[first : first + at.tiles * step : step] = lengths[rows, layer]
        for start, end in index.layer_groups(level):
            if start < end:
                cuts = zip(tiles[rows], begins[rows, start].tolist(), ends[rows, end - 1].tolist(), strict=True)
                pieces += [tile[first:last] for tile, first, last in cuts]
    return ordered, pieces


def _code(names: dict[int, str], what: str, name: str) -> int:
    for code, known in names.items():
        if known == name:
            return code
    raise InvalidArgument(f"{what} {name!r}: expected one of {list(names.values())}")


def _bits(samples: Samples) -> int:
    """The fewest bits that hold every sample; a decoder gives the same dtype back (SPEC 2.1)."""
    low, high = int(samples.min()), int(samples.max())
    needed = max(high, ~low).bit_length() + 1 if samples.dtype.kind == "i" else high.bit_length()
    return max(needed, 1 if samples.dtype.itemsize == 1 else 9)


def _contrast(samples: Samples) -> tuple[tuple[float, float], bool]:
    """The 0.1 and 99.9 percentiles of a regular subsample without a fill value, and whether there is one.

    A fill value is an extreme that is further from all other samples than these are from each other.
    """
    every = max(1, int((samples.size / _SUBSAMPLE) ** 0.5))
    part, has_fill = samples[:, ::every, ::every].ravel(), False
    for extreme in (int(part.min()), int(part.max())):
        rest = part[part != extreme]
        if len(rest):
            low, high = int(rest.min()), int(rest.max())
            if high > low and min(abs(low - extreme), abs(high - extreme)) > high - low:
                part, has_fill = rest, True
    low, high = np.percentile(part, (0.1, 99.9))
    return (float(low), float(high)), has_fill


def _span(values: NDArray[np.uint16], signed: bool) -> int:
    ends = values.view(np.int16) if signed else values
    return int(ends[-1]) - int(ends[0])


def _plan(info: bytes) -> Index:
    """The geometry of a planned head; nothing has a length yet."""
    segments = np.frombuffer(info, np.uint32)[12]
    return Index(info, np.zeros(segments + 1, np.uint32))


def _contiguous(array: Samples) -> tuple[Samples, int, tuple[int, ...]]:
    """A contiguous array as `_strided` gives it."""
    return array.reshape(-1), 0, tuple(stride // array.itemsize for stride in array.strides)


def _strided(view: Samples) -> tuple[Samples, int, tuple[int, ...]] | None:
    """`view` as the kernels want it: all samples of the array that it lies in, offset and strides in samples.

    None when the memory around it is not one array of such samples.
    """
    owner = view
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    owner = owner.transpose(sorted(range(owner.ndim), key=lambda axis: -abs(owner.strides[axis])))
    start = view.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    if owner.dtype != view.dtype or not owner.flags.c_contiguous:
        return None
    if any(n % view.itemsize for n in (start, *view.strides)):
        return None
    return owner.reshape(-1), start // view.itemsize, tuple(stride // view.itemsize for stride in view.strides)
