"""Exact statistics of all samples of a channel, gathered shard by shard."""

import threading
from typing import Any

import numpy as np

from firstlight import render
from firstlight.ingest.source import Samples

_BLOCK = 1 << 20  # samples that are counted at a time: numpy widens them to 64 bits


class Histogram:
    """How often each value of an 8- or 16-bit type occurs. Threads may add at once."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._info = np.iinfo(dtype)
        self._counts = np.zeros(int(self._info.max) - int(self._info.min) + 1, np.int64)
        self._lock = threading.Lock()

    def add(self, samples: Samples) -> None:
        """Count samples of any shape."""
        bits = np.ascontiguousarray(samples).reshape(-1).view(f"u{samples.dtype.itemsize}")
        counts = np.zeros_like(self._counts)
        for start in range(0, bits.size, _BLOCK):
            counts += np.bincount(bits[start : start + _BLOCK], minlength=counts.size)
        if self._info.min < 0:  # as bits the negative values come last
            counts = np.roll(counts, counts.size // 2)
        with self._lock:
            self._counts += counts

    def limits(self) -> tuple[float, float]:
        """The least and the greatest value, one step apart where they are the same."""
        values = np.flatnonzero(self._counts)
        low, high = (float(values[end] + self._info.min) for end in (0, -1))
        return (low, high) if low < high else (low, low + 1)

    def window(self) -> tuple[float, float]:
        """Contrast limits: as render.contrast_limits, for all that was counted."""
        total = np.cumsum(self._counts)
        low, high = (
            # numpy's "nearest" percentile: the sample at this rank of all, sorted.
            float(np.searchsorted(total, round((total[-1] - 1) * percent / 100), side="right") + self._info.min)
            for percent in (render.LOW_PERCENTILE, render.HIGH_PERCENTILE)
        )
        return (low, high) if low < high else self.limits()
