"""Which colour and wavelet transform suit an image best: estimated from a few blocks of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _native

# The estimate looks at squares of BLOCK samples: one for each SHARE that the image has, MOST at most. (About 5 % of the
# encoding time. BLOCK: two levels, each a whole number of cells.)
BLOCK = 72
SHARE = 40
MOST = 16

# The two finest levels hold 15/16 of the coefficients. Their magnitudes are averaged over CELL x CELL: about the
# distance at which the coder's contexts adapt.
LEVELS = 2
CELL = 3

# What estimates are multiplied with (fitted on 33 real planes). The coder gets 1 to 3 % more out of the 5/3 on photos
# than the estimate sees, and the 9/7-M has wider margins and error bounds: it is to save 1 % in truth. The others must
# pay for what they lose at low rates: no colour transform costs 1 to 3 dB at half a bit a pixel even where it is as
# small, and S-Haar 1 to 2 dB.
TRANSFORM_WEIGHT = {0: 1.0, 1: 1.0225, 2: 1.02}
COLOUR_WEIGHT = {0: 1.04, 1: 1.0, 2: 1.0}


def choose(
    samples: NDArray[Any], bits: int, signed: bool, values: int, colours: Sequence[int], transforms: Sequence[int]
) -> tuple[int, int]:
    """The colour and the transform number, out of those given, that promise the fewest bytes, and quality at low rates.

    Parameters
    ----------
    samples : ndarray, (components, height, width)
    bits, signed, values
        As the head will have them.
    """
    if len(colours) == 1 and len(transforms) == 1:
        return colours[0], transforms[0]
    blocks = _blocks(samples)
    kind = bits, signed, values
    usual = 0 if 0 in transforms else transforms[0]
    colour = min(colours, key=lambda code: COLOUR_WEIGHT[code] * _cost(blocks, kind, code, usual))
    return colour, min(transforms, key=lambda code: TRANSFORM_WEIGHT[code] * _cost(blocks, kind, colour, code))


def _blocks(samples: NDArray[Any]) -> list[NDArray[Any]]:
    """Squares spread evenly over the image; all of it when it is small."""
    _, height, width = samples.shape
    if height * width <= 2 * BLOCK * BLOCK:
        return [np.ascontiguousarray(samples)]
    down, across = min(height, BLOCK), min(width, BLOCK)
    count = min(max(height * width // (SHARE * down * across), 2), MOST)
    rows = max(1, min(round((count * height / width) ** 0.5), count))
    columns = -(-count // rows)
    return [
        np.ascontiguousarray(samples[:, y : y + down, x : x + across])
        for y in ((2 * i + 1) * (height - down) // (2 * rows) for i in range(rows))
        for x in ((2 * i + 1) * (width - across) // (2 * columns) for i in range(columns))
    ]


def _cost(blocks: list[NDArray[Any]], kind: tuple[int, bool, int], colour: int, transform: int) -> float:
    """Bits that the blocks' details take, about: their entropy if their magnitudes were geometrically distributed."""
    cost = 0.0
    for block in blocks:
        components, height, width = block.shape
        bits, signed, values = kind
        info = _native.plan_head(width, height, components, bits, signed, colour, transform, values)
        planes = np.empty(block.shape, np.int32)
        _native.forward(info, block, height * width, width, 1, planes)
        np.abs(planes, out=planes)
        for _ in range(min(LEVELS, _levels(info))):
            low_y, low_x = -(-height // 2), -(-width // 2)
            for band in (planes[:, :low_y, low_x:], planes[:, low_y:, :low_x], planes[:, low_y:, low_x:]):
                cost += _entropy(band)
            planes, height, width = planes[:, :low_y, :low_x], low_y, low_x
    return cost


def _levels(info: bytes) -> int:
    """Decompositions of a planned head: word 9 of fl_info."""
    return int(np.frombuffer(info, np.uint32)[9])


def _entropy(magnitudes: NDArray[np.int32]) -> float:
    """For a mean m of magnitudes: (1 + m) log2(1 + m) - m log2 m, and a sign for the m / (1 + m) that are not 0."""
    _, height, width = magnitudes.shape
    height, width = height - height % CELL, width - width % CELL
    if height * width == 0:
        return 0.0
    cells = magnitudes[:, :height, :width].reshape(-1, height // CELL, CELL, width // CELL, CELL)
    mean = np.einsum("cyixj->cyx", cells).astype(np.float64) / CELL**2
    entropy = (1 + mean) * np.log2(1 + mean) - mean * np.log2(np.maximum(mean, 1e-9)) + mean / (1 + mean)
    return float(entropy.sum()) * CELL**2
