"""Value tables: where samples use few of the values in their range, their places among those are coded (SPEC 3.9)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# A table is worth it where at most this part of the range is used.
MOST_USED = 0.6

# How much larger than the mean gap the largest may be. Places are what a lossy picture is lossy in: with gaps about
# equal, as those of stretched or shifted samples are, its errors and its averages are those of the samples; one wide
# gap (a far-off fill value) would make every error bound as wide.
MOST_UNEVEN = 4.0

# The table may take about 2 bytes for each so many samples.
SAMPLES_A_RUN = 400


def pack(
    samples: NDArray[Any], contrast: tuple[float, float]
) -> tuple[NDArray[np.uint16] | None, NDArray[Any], tuple[float, float]]:
    """(value table, places of the samples in it, `contrast` in places), or (None, samples, contrast) as they are."""
    bits = 8 * samples.dtype.itemsize
    shift = 1 << (bits - 1) if samples.dtype.kind == "i" else 0
    unsigned = samples.view(f"u{samples.dtype.itemsize}")
    # In the order of the samples: signed ones are shifted so that their range begins at 0.
    part = _used(unsigned[:, :: _step(samples.shape[1]), :: _step(samples.shape[2])], bits, shift)
    if not _worth(part, sure=False):
        return None, samples, contrast
    used = _used(unsigned, bits, shift)
    if not _worth(used, sure=True) or _runs(used) > samples.size // SAMPLES_A_RUN:
        return None, samples, contrast
    places = np.zeros(1 << bits, unsigned.dtype)
    places[np.roll(np.arange(1 << bits), shift)[used]] = np.arange(len(used))
    low, high = (float(np.searchsorted(used, value + shift)) for value in contrast)
    return (used - shift).astype(np.uint16), places[unsigned], (low, high)


def _step(length: int) -> int:
    """Enough rows and columns for a first look."""
    return max(length // 512, 1)


def _used(unsigned: NDArray[Any], bits: int, shift: int) -> NDArray[np.intp]:
    """The values that occur, ascending; 0 is the least that the dtype has."""
    seen = np.zeros(1 << bits, bool)
    seen[unsigned] = True
    return np.flatnonzero(np.roll(seen, shift))


def _worth(used: NDArray[np.intp], *, sure: bool) -> bool:
    if len(used) < 2:
        return False
    span = int(used[-1] - used[0])
    if not sure:
        # Values that were not looked at only fill gaps, or lie outside.
        return len(used) <= MOST_USED * (span + 1)
    return len(used) <= MOST_USED * (span + 1) and int(np.diff(used).max()) <= MOST_UNEVEN * span / (len(used) - 1)


def _runs(used: NDArray[np.intp]) -> int:
    """Runs of equal gaps: what the table takes in the head, in units of 2 bytes and more."""
    return 1 + int(np.count_nonzero(np.diff(used, 2)))
