"""One plane of an image as a picture of a wanted size: what previews and thumbnails have in common.

Reads through `Image`; how samples become colours is `render`'s.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firstlight import render
from firstlight.image import Image


def shown_channels(image: Image) -> list[int]:
    """The channels that are shown at first; the first one where none is."""
    return [n for n, channel in enumerate(image.channels) if channel.active or image.layout.rgb] or [0]


def draw(
    image: Image,
    side: int,
    *,
    t: int = 0,
    z: int | None = None,
    channels: Sequence[int] | None = None,
    precision: str = "visual",
) -> tuple[NDArray[np.uint8], int]:
    """A picture of one plane that fetches no more than it shows.

    Parameters
    ----------
    image : Image
    side : int
        Pixels of the long side; an image that is smaller keeps its size.
    t, z : int
        The plane; z defaults to the middle one.
    channels : sequence of int, optional
        Default: `shown_channels`. Colour images are always shown whole.
    precision : {"fast", "visual", "exact"}
        See `firstlight.plan.tolerance`.

    Returns
    -------
    picture : ndarray of uint8, (height, width, 3)
    level : int
        The level it was made from.

    Raises
    ------
    IndexError
        The image has no such t, z or channel.
    StoreError, CodecError
        The image can't be read.
    """
    layout = image.layout
    # The coarsest level that is not smaller than what is asked for; of a small image, all of it.
    level = max((k for k, shape in enumerate(layout.levels) if max(shape[-2:]) >= side), default=0)
    place = {"t": t, "z": layout.size("z") // 2 if z is None else z}
    shown = shown_channels(image) if channels is None or layout.rgb else list(channels)
    planes: list[NDArray[np.generic]] = []
    # The components of a colour image share their shards and come together.
    for c in [slice(None)] if layout.rgb else shown:
        selection = tuple(c if axis == "c" else place.get(axis, slice(None)) for axis in layout.axes)
        read = image.read(selection, level=level, max_error=precision)
        planes += list(read) if layout.rgb else [read]
    picture = render.composite(planes, [layout.channels[c] for c in shown])
    return (render.resize(picture, side) if max(picture.shape[:2]) > side else picture), level
