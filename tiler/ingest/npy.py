"""NumPy's .npy files, read in place.

Axes, by shape and dtype:
 - uint8 and uint16 whose last axis is 3 (or 4, the fourth being alpha): colour; what comes before y and x is z, t z;
 - everything else: y x; z y x; c z y x; t c z y x.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from firstlight.geometry import Region
from firstlight.ingest.raw import RawFile
from firstlight.ingest.source import (
    Samples,
    Source,
    SourceChannel,
    SourceError,
    alpha_channels,
    checked_dtype,
    image_name,
)

_SCAN_ROWS = 256


class NpySource(Source):
    """An array in a .npy file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = image_name(path)
        self.pixel_size = {}
        with open(path, "rb") as file:
            try:
                # The header is read by NumPy itself and bounded in size; objects (pickles) are never loaded.
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, fortran, self._stored = read(file)
            except Exception as error:  # the header is Python source: SyntaxError, TokenError ...
                raise SourceError(f"{path}: expected a NumPy array, found a damaged header: {error}") from error
            self._offset = file.tell()
            found = os.fstat(file.fileno()).st_size
        self.dtype = checked_dtype(self._stored, path)
        expected = self._offset + int(np.prod(shape, dtype=object)) * self._stored.itemsize
        if found < expected:
            raise SourceError(f"{path}: cut off: expected {expected} bytes, found {found}")
        self._set_axes(shape)
        self._fortran = fortran
        self._file = RawFile(path)
        if self._samples == 4 and self.dtype.kind == "u" and self._is_opaque():
            self._set_colour()

    def _set_axes(self, shape: tuple[int, ...]) -> None:
        colour = len(shape) >= 3 and shape[-1] in (3, 4) and self.dtype.kind == "u"
        self._samples = shape[-1] if colour else 1
        planes = shape[:-1] if colour else shape
        limit = 4 if colour else 5
        if not 2 <= len(planes) <= limit or 0 in shape:
            raise SourceError(f"{self.path}: expected an array of 2 to 5 axes, none of them empty, found shape {shape}")
        # One letter for each axis that is stored before the samples of a pixel.
        names = {2: "yx", 3: "zyx", 4: "tzyx" if colour else "czyx", 5: "tczyx"}
        self._stored_axes = names[len(planes)]
        self._stored_shape = shape
        self._sizes = dict(zip(self._stored_axes, planes, strict=True))
        self.axes = tuple(axis for axis in "tczyx" if axis in "yx" or self._sizes.get(axis, 1) > 1)
        self.shape = tuple(self._sizes[axis] for axis in self.axes)
        if self._samples == 3:
            self._set_colour()
        elif self._samples == 4:
            self._insert_c(4)
            self.channels = alpha_channels(3)
            self.interleaved = True
        else:
            self.channels = (SourceChannel(),) * self._sizes.get("c", 1)

    def _set_colour(self) -> None:
        self._insert_c(3)
        self.rgb = True
        self.interleaved = False
        self.channels = (SourceChannel(),)

    def _insert_c(self, size: int) -> None:
        sizes = {**self._sizes, "c": size}
        self.axes = tuple(axis for axis in "tczyx" if axis in "cyx" or sizes.get(axis, 1) > 1)
        self.shape = tuple(sizes[axis] for axis in self.axes)

    def _is_opaque(self) -> bool:
        opaque = np.iinfo(self.dtype).max
        height, width = self._sizes["y"], self._sizes["x"]
        for t in range(self._sizes.get("t", 1)):
            for z in range(self._sizes.get("z", 1)):
                for y in range(0, height, _SCAN_ROWS):
                    region = (y, 0, min(_SCAN_ROWS, height - y), width)
                    if np.any(self._pixels({"t": t, "z": z}, region)[..., 3] != opaque):
                        return False
        return True

    def read(self, index: Mapping[str, int], region: Region) -> Samples:
        pixels = self._pixels(index, region)
        if self._samples == 1:
            return pixels
        return np.ascontiguousarray(pixels[..., :3] if self.rgb else pixels[..., index.get("c", 0)])

    def _pixels(self, index: Mapping[str, int], region: Region) -> Samples:
        """(height, width), or (height, width, samples) where a pixel has several."""
        y, x, height, width = region
        place = {"y": (y, y + height), "x": (x, x + width)}
        box = [place.get(axis, (index.get(axis, 0), index.get(axis, 0) + 1)) for axis in self._stored_axes]
        if self._samples > 1:
            box.append((0, self._samples))
        shape: tuple[int, ...] = self._stored_shape
        if self._fortran:  # the same bytes are a C array with its axes reversed
            box, shape = box[::-1], shape[::-1]
        data = self._file.box(self._offset, shape, self._stored, [a for a, _ in box], [b for _, b in box])
        data = np.ascontiguousarray(data.T if self._fortran else data)
        return data.reshape((height, width, self._samples) if self._samples > 1 else (height, width))

    def close(self) -> None:
        self._file.close()
