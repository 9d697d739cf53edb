"""The `wavelet` segment codec (SPEC 3): reversible transforms, bit-planes in three layers, for 8/16-bit integers.

This file owns the encoder's choices, which no decoder needs to know: how many bits, and where the layers are cut.
"""

from collections.abc import Sequence
from math import floor, log2

import numpy as np
from numpy.typing import NDArray

from . import _native
from .choose import choose
from .errors import InvalidArgument
from .index import COLOUR_NAMES, TRANSFORM_NAMES, Index, Region
from .packing import pack
from .threads import spread

Samples = NDArray[np.uint8 | np.int8 | np.uint16 | np.int16]

DTYPES = tuple(np.dtype(name) for name in ("uint8", "int8", "uint16", "int16"))

# Quantiser steps of layers 0 and 1 as parts of the contrast range; layer 2 is exact. On 8-bit RGB photos and slides
# layer 0 gives 30 to 33 dB for 0.9 bits a pixel, layers 0 and 1 40 to 41 dB for 3 (of 9 to 10 for all).
STEPS = (1 / 8, 1 / 32)

# L2 norms of the synthesis basis of HL and LH, for details of level 0, 1, ...; they double from there on.
# An error of one quantiser step in a coefficient weighs that much in the picture. (Taubman & Marcellin, JPEG2000, 2002)
_NORMS = {
    "5/3": (1.04, 1.59, 2.92, 5.70, 11.3),
    "9/7-m": (1.05, 1.77, 3.47, 6.93, 13.9),
    "s-haar": (1.0, 2.0, 4.0, 8.0, 16.0),
}

# The contrast range is never taken to be narrower than this many values: below it nothing is gained by layers.
_LEAST_RANGE = 8.0

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
    ) -> tuple[bytes, NDArray[np.uint16] | None, list[bytes]]:
        components, height, width = samples.shape
        if samples.dtype not in DTYPES:
            raise InvalidArgument(f"dtype {samples.dtype}: the wavelet codec takes {', '.join(map(str, DTYPES))}")
        colours = [_code(COLOUR_NAMES, "colour", colour)] if colour else list(COLOUR_NAMES)
        if components < 3:
            if colour not in (None, "none"):
                raise InvalidArgument(f"colour {colour!r}: needs 3 components, {components} given")
            colours = [0]
        transforms = [_code(TRANSFORM_NAMES, "transform", transform)] if transform else list(TRANSFORM_NAMES)
        bits, signed = _bits(samples), samples.dtype.kind == "i"
        contrast = contrast or _contrast(samples)
        values, samples, contrast = pack(samples, contrast)
        count = 0 if values is None else len(values)
        code, kind = choose(samples, bits, signed, count, colours, transforms)
        info = _native.plan_head(width, height, components, bits, signed, code, kind, count)
        index = _plan(info)
        # The kernel reads forwards from the first sample.
        found = _strided(samples) if min(samples.strides) >= 0 else None
        owner, offset, strides = found or _contiguous(np.ascontiguousarray(samples))
        planes = np.empty((components, height, width), np.int32)
        _native.forward(info, owner[offset:], strides[0], strides[1], strides[2], planes)
        info = _native.set_cuts(info, _cuts(index, contrast))
        info = _native.level_errors(info, planes, values)

        tiles = [
            (component, level, tile_x, tile_y)
            for level in range(len(index.levels) - 1, -1, -1)
            for tile_y in range(index.levels[level].tiles_y)
            for tile_x in range(index.levels[level].tiles_x)
            for component in range(components)
        ]
        segments = [b""] * index.segments
        for (component, level, tile_x, tile_y), layers in zip(
            tiles, spread(lambda tile: _native.encode_tile(info, *tile, planes), tiles, threads), strict=True
        ):
            for layer, segment in enumerate(layers):
                segments[index.segment(level, layer, tile_y, tile_x, component)] = segment
        return info, values, segments

    def decode_tile(
        self, index: Index, component: int, level: int, tile_y: int, tile_x: int, segments: Sequence[memoryview]
    ) -> NDArray[np.int32]:
        coefs = np.empty(_native.tile_size(index.raw, level, tile_x, tile_y), np.int32)
        _native.decode_tile(index.raw, component, level, tile_x, tile_y, segments, coefs)
        return coefs

    def synthesize(
        self, index: Index, level: int, region: Region, tiles: Sequence[NDArray[np.int32] | None], out: Samples
    ) -> None:
        y, x, height, width = region
        found = _strided(out)
        owner, offset, strides = found or _contiguous(np.empty(out.shape, out.dtype))
        _native.synthesize(index.raw, level, x, y, width, height, tiles, index.values, owner, offset, *strides)
        if not found:
            out[...] = owner.reshape(out.shape)


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


def _contrast(samples: Samples) -> tuple[float, float]:
    """The 0.1 and 99.9 percentiles of a regular subsample."""
    every = max(1, int((samples.size / _SUBSAMPLE) ** 0.5))
    low, high = np.percentile(samples[:, ::every, ::every], (0.1, 99.9))
    return float(low), float(high)


def _cuts(index: Index, contrast: tuple[float, float]) -> bytes:
    """Lowest bit-plane in each layer of every component and level of details: uint8, components x levels x layers.

    A layer's quantiser step is weighed by how much a level's coefficients weigh in the picture, so that all levels of
    a layer end up with about the same error. Chroma may be coarser by a plane: eyes, and the inverse, forgive it.
    """
    width, norms = max(contrast[1] - contrast[0], _LEAST_RANGE), _NORMS[index.transform]
    cuts = np.zeros((index.components, len(index.levels) - 1, len(STEPS) + 1), np.uint8)
    for (component, level, layer), _ in np.ndenumerate(cuts[:, :, : len(STEPS)]):
        norm = norms[level] if level < len(norms) else norms[-1] * 2 ** (level - len(norms) + 1)
        coarser = 1 if index.colour != "none" and component in (1, 2) else 0
        cuts[component, level, layer] = max(floor(log2(width * STEPS[layer] / norm)) + coarser, 0)
    return cuts.tobytes()


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
