"""Boxes of samples out of a file that holds an uncompressed array."""

import itertools
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from firstlight.ingest.source import Samples, SourceError


class RawFile:
    """Reads by `pread`, run by run: unlike a memory map it never counts more of the file as resident than was asked
    for, and a file that another process cuts meanwhile is an error instead of a SIGBUS.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "rb")  # noqa: SIM115 (closed by close)

    def close(self) -> None:
        self._file.close()

    def bytes(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`.

        Raises
        ------
        SourceError
            The file ends before.
        """
        data = bytearray(size)
        self._read_into(memoryview(data), offset)
        return bytes(data)

    def box(
        self, offset: int, shape: Sequence[int], dtype: np.dtype[Any], start: Sequence[int], stop: Sequence[int]
    ) -> Samples:
        """Part of an array.

        Parameters
        ----------
        offset : int
            Byte where the array starts.
        shape : sequence of int
            Of the whole array, in C order.
        dtype : numpy dtype
            As stored.
        start, stop : sequence of int
            The box, for each axis.

        Returns
        -------
        array of shape stop - start, in native byte order
        """
        size = [b - a for a, b in zip(start, stop, strict=True)]
        out = np.empty(size, dtype)
        if out.size == 0:
            return out
        # Axes from `outer` on are one run of bytes: all but the first of them are taken whole.
        outer = len(shape) - 1
        while outer > 0 and size[outer] == shape[outer]:
            outer -= 1
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        run = math.prod(size[outer:]) * dtype.itemsize
        target = out.reshape(-1).view(np.uint8).data
        written = 0
        for place in itertools.product(*(range(a, b) for a, b in zip(start[:outer], stop[:outer], strict=True))):
            first = sum(i * stride for i, stride in zip((*place, start[outer]), strides[: outer + 1], strict=True))
            self._read_into(target[written : written + run], offset + first * dtype.itemsize)
            written += run
        return out.astype(dtype.newbyteorder("="), copy=False)

    def _read_into(self, target: memoryview, offset: int) -> None:
        size, done = len(target), 0
        while done < size:  # a single read is limited to 2 GiB
            try:
                got = os.preadv(self._file.fileno(), [target[done:]], offset + done)
            except OSError as error:
                raise SourceError(f"{self.path}: can't be read: {error.strerror or error}") from error
            if got == 0:
                raise self._cut(offset, size, done)
            done += got

    def _cut(self, offset: int, expected: int, found: int) -> SourceError:
        return SourceError(f"{self.path}: cut off: expected {expected} bytes at byte {offset}, found {found}")
