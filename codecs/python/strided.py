"""Samples as the kernels take them: where they are, without a copy where that is possible."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Strided(NamedTuple):
    """Samples that an encoder reads.

    Attributes
    ----------
    flat : ndarray, one-dimensional
        Begins with the first sample.
    shape : (int, int, int)
        Components, height, width.
    strides : (int, int, int)
        In samples, none negative: sample (c, y, x) is ``flat[c * strides[0] + y * strides[1] + x * strides[2]]``.
    """

    flat: NDArray[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, samples: NDArray[Any]) -> "Strided":
        """Samples (components, height, width); copied if they lie in another way."""
        found = place(samples) if min(samples.strides) >= 0 else None
        owner, offset, strides = found or contiguous(np.ascontiguousarray(samples))
        return cls(owner[offset:], samples.shape, strides)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.flat.dtype

    @property
    def size(self) -> int:
        components, height, width = self.shape
        return components * height * width

    @property
    def native(self) -> tuple[NDArray[Any], int, bool, tuple[int, ...], tuple[int, ...]]:
        """What the kernels' functions on values want first."""
        return self.flat, self.dtype.itemsize, self.dtype.kind == "i", self.shape, self.strides

    def thinned(self, down: int, across: int) -> "Strided":
        """Every so many rows and columns."""
        components, height, width = self.shape
        of_c, of_y, of_x = self.strides
        return Strided(
            self.flat, (components, -(-height // down), -(-width // across)), (of_c, of_y * down, of_x * across)
        )


def contiguous(array: NDArray[Any]) -> tuple[NDArray[Any], int, tuple[int, ...]]:
    """A contiguous array as `place` gives it."""
    return array.reshape(-1), 0, tuple(stride // array.itemsize for stride in array.strides)


def place(view: NDArray[Any]) -> tuple[NDArray[Any], int, tuple[int, ...]] | None:
    """All samples of the array that `view` lies in, one after the other; offset and strides in samples.

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
