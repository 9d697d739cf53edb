"""The pictures that are measured: two-dimensional planes and RGB pictures out of a folder of image files."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firstlight.ingest import open_source
from firstlight.ingest.source import Source, SourceError

Samples: TypeAlias = NDArray[Any]
"""(height, width) or (height, width, 3), C-contiguous, native byte order."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One picture.

    Attributes
    ----------
    name : str
        The image's, with the channel where it has several.
    samples : ndarray, (height, width) or (height, width, 3)
    channel : int
    mirrored : bool
        Whether it was made by `mirror`.
    """

    name: str
    samples: Samples
    channel: int = 0
    mirrored: bool = False

    @property
    def rgb(self) -> bool:
        return self.samples.ndim == 3

    @property
    def mpixel(self) -> float:
        height, width = self.samples.shape[:2]
        return float(height * width / 1e6)

    @property
    def bits(self) -> int:
        """Bits of a pixel as it lies in memory."""
        return 8 * self.samples.itemsize * (3 if self.rgb else 1)

    def row(self) -> dict[str, object]:
        """How tables name the plane."""
        kind = f"{self.samples.dtype}{' RGB' if self.rgb else ''}"
        return {"plane": self.name, "kind": kind, "Mpixel": round(self.mpixel, 3)}

    def crop(self, side: int) -> "Plane":
        """The middle of the plane, at most side x side."""
        height, width = self.samples.shape[:2]
        y, x = max(height - side, 0) // 2, max(width - side, 0) // 2
        return replace(self, samples=np.ascontiguousarray(self.samples[y : y + side, x : x + side]))

    def mirror(self) -> "Plane":
        """Four times the plane: mirrored at its right and lower edges, so that it goes on without a seam."""
        height, width = self.samples.shape[:2]
        sides = ((0, height), (0, width), (0, 0))[: self.samples.ndim]
        return replace(self, samples=np.pad(self.samples, sides, "symmetric"), mirrored=True)


def planes(folder: Path) -> Iterator[Plane]:
    """All planes of a folder and its folders, in the order of their paths; one in memory at a time.

    Every channel is a plane of its own; of z and t the middle is taken. Files that ingest does not read are named on
    standard output and left out, Zarr folders are not searched.
    """
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if not path.is_file() or any(part.endswith(".zarr") for part in inside.parts):
            continue
        if path.suffix in (".md", ".json", ".geojson"):
            continue
        try:
            source = open_source(path)
        except SourceError as error:
            reason = str(error).removeprefix(f"{path}: ")
            print(f"left out: {inside}: {reason}")
            continue
        with source:
            yield from _of(source)


def _of(source: Source) -> Iterator[Plane]:
    height, width = source.size("y"), source.size("x")
    channels = 1 if source.rgb else source.size("c")
    for channel in range(channels):
        index = {"t": source.size("t") // 2, "c": channel, "z": source.size("z") // 2}
        samples = np.ascontiguousarray(source.read(index, (0, 0, height, width)))
        yield Plane(source.name + (f" c{channel}" if channels > 1 else ""), samples, channel)
