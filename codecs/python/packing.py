"""Value tables: where samples use few of the values in their range, their places among those are coded (SPEC 3.9)."""

import numpy as np
from numpy.typing import NDArray

from . import _native
from .strided import Strided

# A table is worth it where at most this part of the range is used.
MOST_USED = 0.6

# How much larger than the mean gap the largest may be. Places are what a lossy picture is lossy in: with gaps about
# equal, as those of stretched or shifted samples are, its errors and its averages are those of the samples; one wide
# gap (a far-off fill value) would make every error bound as wide.
MOST_UNEVEN = 4.0

# The table may take about 2 bytes for each so many samples.
SAMPLES_A_RUN = 400


def pack(
    samples: Strided, ends: tuple[int, int], contrast: tuple[float, float]
) -> tuple[NDArray[np.uint16] | None, Strided, tuple[float, float]]:
    """(value table, places of the samples in it, `contrast` in places), or (None, samples, contrast) as they are.

    Parameters
    ----------
    ends : (int, int)
        The least and the largest sample.
    """
    low, high = ends
    # A part of the samples has values of no wider range; so, if it has more of them than this, it is not worth it.
    enough = int(MOST_USED * (high - low + 1))
    part = samples.thinned(_step(samples.shape[1]), _step(samples.shape[2]))
    used = _used(part, ends, enough)
    if used is None or not _worth(used, sure=False):
        return None, samples, contrast
    used = used if part.shape == samples.shape else _used(samples, ends, enough)
    if used is None or not _worth(used, sure=True) or _runs(used) > samples.size // SAMPLES_A_RUN:
        return None, samples, contrast
    place = np.zeros(high - low + 1, np.uint16)
    place[used] = np.arange(len(used))
    places = np.empty(samples.shape, f"u{samples.dtype.itemsize}")
    _native.place_values(*samples.native, low, place, places)
    black, white = (float(np.searchsorted(used, value - low)) for value in contrast)
    return (used + low).astype(np.uint16), Strided.of(places), (black, white)


def _step(length: int) -> int:
    """Enough rows and columns for a first look."""
    return max(length // 512, 1)


def _used(samples: Strided, ends: tuple[int, int], enough: int) -> NDArray[np.intp] | None:
    """The values that occur, ascending, less the least of all; None when they are more than `enough`."""
    low, high = ends
    seen = np.zeros(high - low + 1, bool)
    found = _native.mark_values(*samples.native, low, seen, enough)
    return None if found > enough else np.flatnonzero(seen)


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
