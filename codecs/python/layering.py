"""How an encoder shares out a picture's bits to layers: their slopes, what an error weighs, groups of layers.

Rate and distortion as in EBCOT (Taubman, High performance scalable image compression with EBCOT, 2000): every tile of
every level puts into layer n what lowers the squared error of the samples by at least so much a bit.
"""

import itertools
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import select
from .index import MOST_LAYERS, Index

# fl_layering and fl_tile_report of kernels/firstlight.h.
_LAYERING = np.dtype(
    [("weight", "f8", (4, 14, 3)), ("slope", "f8", (4, MOST_LAYERS)), ("split", "f8", 14), ("whole", "u8")]
)
REPORT = np.dtype(
    [
        ("cut", "u1", (MOST_LAYERS + 1, 4, 3)),
        ("most", "u4", (4, 3)),
        ("squared_error", "f8", MOST_LAYERS + 1),
    ],
    align=True,
)

# Layers correspond to quantiser steps. The first one is FIRST of the contrast range, or the range of all samples if it
# is wider still. From one layer to the next steps fall by an octave down to the contrast range, from there by half an
# octave down to FINE of it (where there is something to see), then by octaves again while they are at least LEAST; the
# last layer is exact.
FIRST = 1
FINE = 1 / 90
LEAST = 1.0

# From these parts of the contrast range on steps of chroma are so much wider: eyes forgive that.
CHROMA = ((1 / 16, 3), (1 / 10, 2))

# Down to these parts of the contrast range bit-planes of level 0, 1, and coarser are split where a layer ends within
# them.
SPLIT = (1 / 2, 1 / 6, 1 / 12)

# Where errors of pictures are measured. Derived bounds are so many times the real error, or more, in pictures without
# and with a colour transform; S-Haar's are close. Steps of neighbours are no further apart than that: a derived bound
# of better layers would do as well. From these steps on (below, derived bounds are close), up to this part of the range
# of all samples (beyond, no bound is of use). Between neighbours too where the ratio found is more than this.
DERIVED = {("5/3", False): 3.9, ("5/3", True): 5.5, ("9/7-m", False): 3.9, ("9/7-m", True): 5.5}
MEASURED_FROM = (4.0, 1.0)
MEASURED_UPTO = 1 / 11
WIDE_OF_THE_MARK = 3.6

# A uniform quantiser of step D leaves D^2 / 12; a bit more halves D and so lowers that by D^2 / 12 x 2 ln 2 a bit.
_SLOPE = np.log(2) / 6

# The contrast range is never taken to be narrower than this many values: below it nothing is gained by layers.
_LEAST_RANGE = 8.0

# Layers end in a group once the picture's root mean squared error is this part of the contrast range: what a viewer
# asks for first (31 dB), for photos (40 dB), for measurements. A group a request.
_GROUP_ERRORS = (7 / 255, 2.5 / 255, 0.3 / 255)
# A group also ends where so many bits a pixel are reached, if that leaves the next one enough layers: a preview needs
# little of the index then.
_PREVIEW_BITS = 0.1
_ENOUGH_LAYERS = 3

# What a component weighs: the squares of what it adds to R, G and B (SPEC 3.3).
_COLOUR_WEIGHTS = {"none": (1, 1, 1, 1), "rct": (3, 11 / 16, 11 / 16, 1), "ycocg-r": (3, 1 / 2, 3 / 4, 1)}


def quantiser_steps(contrast: float, span: float) -> list[float]:
    """Quantiser step of every layer but the last, descending.

    Parameters
    ----------
    contrast, span : float
        Width of the contrast range and of the range of all samples.
    """
    width = max(contrast, _LEAST_RANGE)
    step = max(width * FIRST, span if span > 4 * width else 0)
    steps: list[float] = []
    while len(steps) < MOST_LAYERS - 1 and step >= LEAST:
        steps.append(step)
        step /= 2**0.5 if width * FINE < step < width * 1.01 else 2
    return steps


def measured_layers(index: Index, steps: list[float], span: float) -> tuple[int, ...]:
    """Numbers of layers after which the errors of pictures are measured, ascending.

    Parameters
    ----------
    span : float
        Width of the range of all samples.
    """
    coloured = index.colour != "none"
    apart = DERIVED.get((index.transform, coloured), np.inf)
    layers: list[int] = []
    least = MEASURED_FROM[coloured] if apart < np.inf else np.inf
    for n in range(len(steps), 0, -1):
        step = steps[n - 1]
        if least <= step <= span * MEASURED_UPTO:
            layers.append(n)
            least = step * apart
    return tuple(reversed(layers))


def between(layers: tuple[int, ...]) -> tuple[int, ...]:
    """What lies midway between neighbours that are not next to each other."""
    return tuple((a + b) // 2 for a, b in itertools.pairwise(layers) if b - a > 1)


def wide_between(index: Index, measured: tuple[int, ...]) -> tuple[int, ...]:
    """Those of ``between(measured)`` around which bounds would be wide of the mark: they should be measured too."""
    found: list[int] = []
    for few, many in itertools.pairwise(measured):
        coarser, finer = (index.levels[0].measured[n] for n in (few, many))
        bound = select.bound(index, 0, select.uniform(index, 0, many))
        if coarser > bound > WIDE_OF_THE_MARK * finer:
            found += between((few, many))
    return tuple(found)


def layering(index: Index, contrast: float, steps: list[float], measured: tuple[int, ...]) -> bytes:
    """Raw fl_layering for a planned head; the last layer takes all the rest."""
    raw = np.zeros((), _LAYERING)
    raw["whole"] = sum(1 << n for n in (*measured, *between(measured)))
    colour = _COLOUR_WEIGHTS[index.colour]
    chroma = (1, 2) if index.colour != "none" else ()
    for component in range(index.components):
        last = np.inf
        for layer, step in enumerate(steps):
            wider = next((by for part, by in CHROMA if step < contrast * part), 1) if component in chroma else 1
            last = min(wider * step, last)
            raw["slope"][component, layer] = _SLOPE * last * last
        for level in range(len(index.levels) - 1):
            raw["weight"][component, level] = np.multiply(colour[component], _norms(index.transform, level))
    for level in range(len(index.levels) - 1):
        step = contrast * SPLIT[min(level, len(SPLIT) - 1)]
        raw["split"][level] = _SLOPE * step * step
    return raw.tobytes()


def mean_errors(index: Index, reports: NDArray[Any], lengths: NDArray[np.uint32], gap: float) -> NDArray[np.float64]:
    """What level k with n layers adds to the mean squared error, [k][n], in samples that are `gap` units apart.

    It is the mean over the level's tiles weighed by their bytes: what to expect where the picture has content, however
    much of it is empty.
    """
    errors = np.zeros((len(index.levels), MOST_LAYERS + 1))
    size = lengths.sum(axis=1, dtype=np.float64)
    for k, at in enumerate(index.levels):
        rows = slice(at.first_tile, at.first_tile + at.tiles)
        if at.tiles == 1:  # most levels of a small picture
            errors[k] = reports["squared_error"][at.first_tile] if size[at.first_tile] else 0
            continue
        parts = np.outer(_spans(at.height, at.tile), _spans(at.width, at.tile)).ravel() / (at.height * at.width)
        weights = size[rows] / max(size[rows].sum(), 1)
        errors[k] = (weights / parts) @ reports["squared_error"][rows]
    return errors * (gap * gap / (index.width * index.height * index.components))


def _spans(length: int, tile: int) -> NDArray[np.int64]:
    """How much of `length` each tile covers."""
    edges = np.append(np.arange(0, length, tile), length)
    return np.diff(edges)


def groups(index: Index, errors: NDArray[np.float64], lengths: NDArray[np.uint32], contrast: float) -> tuple[int, ...]:
    """First layers of the groups after the first, for `mean_errors` in squares of the units of `contrast`."""
    layers = index.levels[0].layers
    # errors[-1] is the base, which is always there.
    left = errors[:-1].sum(axis=0)[: layers + 1]
    starts = {int(np.argmax(left <= (part * contrast) ** 2)) for part in _GROUP_ERRORS}
    starts = {start for start in starts if 0 < start < layers}
    bits = 8 * np.cumsum(lengths.sum(axis=0, dtype=np.float64)) / (index.width * index.height)
    preview = 1 + int(np.searchsorted(bits, _PREVIEW_BITS))
    if preview + _ENOUGH_LAYERS <= min((start for start in (*starts, layers) if start >= preview), default=0):
        starts.discard(preview - 1)  # no group of a single layer
        starts.add(preview)
    return tuple(sorted(starts))


@cache
def _norms(transform: str, level: int) -> tuple[float, float, float]:
    """Squared L2 norms of the synthesis basis of HL, LH, HH of a level: what a coefficient that is off by 1 does."""
    impulse, nothing = np.zeros(32), np.zeros(32)
    impulse[16] = 1
    high, low = _synthesis(transform, nothing, impulse), _synthesis(transform, impulse, nothing)
    # From the fifth level on norms double, to four digits.
    for _ in range(min(level, 4)):
        high, low = (_synthesis(transform, signal, np.zeros_like(signal)) for signal in (high, low))
    double = 2.0 ** max(level - 4, 0)
    square_high, square_low = double * float(high @ high), double * float(low @ low)
    return square_high * square_low, square_high * square_low, square_high * square_high


def _synthesis(transform: str, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """One step of the inverse transform in one direction (SPEC 3.4) without rounding; signals are periodic."""
    samples = np.empty(2 * len(low))
    if transform == "s-haar":
        samples[1::2] = low - high / 2
        samples[::2] = high + samples[1::2]
        return samples
    even = low - (np.roll(high, 1) + high) / 4
    near = even + np.roll(even, -1)
    far = np.roll(even, 1) + np.roll(even, -2)
    samples[::2] = even
    samples[1::2] = high + (near / 2 if transform == "5/3" else (9 * near - far) / 16)
    return samples
