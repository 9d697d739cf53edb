"""Which colour and wavelet transform suit an image best: estimated from a few blocks of it."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from . import _native
from .strided import Strided

# The estimate looks at squares of BLOCK samples: one for each SHARE that the image has, MOST at most. (BLOCK: two
# levels, each a whole number of cells.)
BLOCK = 72
SHARE = 40
MOST = 16

# Magnitudes are averaged over cells of so many coefficients (fl_wavelet_details of kernels/firstlight.h).
CELL = 9

# Codes of their sums.
_CODES = 3328

# What estimates are multiplied with (fitted on 33 real planes). The coder gets 1 to 3 % more out of the 5/3 on photos
# than the estimate sees, and the 9/7-M has wider margins and error bounds: it is to save 1 % in truth. The others must
# pay for what they lose at low rates: no colour transform costs 1 to 3 dB at half a bit a pixel even where it is as
# small, and S-Haar 1 to 2 dB.
TRANSFORM_WEIGHT = {0: 1.0, 1: 1.0225, 2: 1.08}
COLOUR_WEIGHT = {0: 1.04, 1: 1.0, 2: 1.0}


def choose(
    samples: Strided, bits: int, signed: bool, values: int, colours: Sequence[int], transforms: Sequence[int]
) -> tuple[int, int]:
    """The colour and the transform number, out of those given, that promise the fewest bytes, and quality at low rates.

    Parameters
    ----------
    bits, signed, values
        As the head will have them.
    """
    if len(colours) == 1 and len(transforms) == 1:
        return colours[0], transforms[0]
    height, width, starts = _blocks(samples)
    head = width, height, samples.shape[0], bits, signed

    @cache
    def cost(colour: int, transform: int) -> float:
        info = _native.plan_head(*head, colour, transform, values)
        counts = np.frombuffer(_native.details(info, samples.flat, samples.strides, starts), np.uint32)
        return float((counts * _entropies()).sum())

    usual = 0 if 0 in transforms else transforms[0]
    colour = min(colours, key=lambda code: COLOUR_WEIGHT[code] * cost(code, usual)) if len(colours) > 1 else colours[0]
    return colour, min(transforms, key=lambda code: TRANSFORM_WEIGHT[code] * cost(colour, code))


def _blocks(samples: Strided) -> tuple[int, int, NDArray[np.uint64]]:
    """Squares spread evenly over the image, all of it when it is small: height, width, and where they begin."""
    _, height, width = samples.shape
    if height * width <= 2 * BLOCK * BLOCK:
        return height, width, np.zeros(1, np.uint64)
    down, across = min(height, BLOCK), min(width, BLOCK)
    count = min(max(height * width // (SHARE * down * across), 2), MOST)
    rows = max(1, min(round((count * height / width) ** 0.5), count))
    columns = -(-count // rows)
    y = (2 * np.arange(rows) + 1) * (height - down) // (2 * rows)
    x = (2 * np.arange(columns) + 1) * (width - across) // (2 * columns)
    return down, across, np.add.outer(y * samples.strides[1], x * samples.strides[2]).ravel().astype(np.uint64)


@cache
def _entropies() -> NDArray[np.float64]:
    """Bits that a cell takes, about, by the code of its sum of magnitudes: their entropy if distributed geometrically.

    That is, for a mean of m, (1 + m) log2(1 + m) - m log2 m, and a sign for the m / (1 + m) that are not 0.
    """
    codes = np.arange(_CODES)
    shift = np.maximum(codes // 128 - 1, 0)
    # The middle of the sums that have the code.
    mean = ((codes - 128 * shift + 0.5) * 2.0**shift - 0.5) / CELL
    magnitude = (1 + mean) * np.log2(1 + mean) - mean * np.log2(np.maximum(mean, 1e-9))
    bits: NDArray[np.float64] = CELL * (magnitude + mean / (1 + mean))
    return bits
