"""Samples to a picture for the screen: contrast limits, colours, thumbnails. Pure: arrays and bytes in and out.

The rule of display is one: a value v of a channel shows as clip((v - lo) / (hi - lo), 0, 1) of the channel's colour,
and the colours of all channels add up. The viewer's shader does the same.
"""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.layout import Channel

LOW_PERCENTILE = 0.1
HIGH_PERCENTILE = 99.9
THUMBNAIL_SIDE = 128
THUMBNAIL_BYTES = 4000
"""A thumbnail's data URI is part of the metadata, which every viewer waits for."""


def composite(planes: Sequence[NDArray[np.generic]], channels: Sequence[Channel]) -> NDArray[np.uint8]:
    """The picture that channels make together.

    Parameters
    ----------
    planes : sequence of (height, width) arrays of 8- or 16-bit integers
        One for each channel, all of one shape; those of a colour image too.
    channels : sequence of Channel
        Their colours and contrast limits. `active` plays no part: leave out what is not to be shown.

    Returns
    -------
    (height, width, 3) uint8

    Raises
    ------
    ValueError
        The numbers of planes and channels differ, or there are none.
    """
    if len(planes) != len(channels) or len(planes) == 0:
        raise ValueError(f"expected one plane for each channel, got {len(planes)} planes and {len(channels)} channels")
    height, width = planes[0].shape
    picture = np.zeros((height, width, 3), np.uint8)
    pure = ["#ff0000", "#00ff00", "#0000ff"]
    if len({c.color for c in channels}) == len(channels) and all(c.color in pure for c in channels):
        # Each screen colour comes from one channel only: nothing to add up.
        for plane, channel in zip(planes, channels, strict=True):
            picture[..., pure.index(channel.color)] = _scaled(plane, channel, 255).astype(np.uint8)
        return picture
    # In 1/256 of a screen step, so that the rounding of many channels does not add up.
    for index in range(3):
        total = np.zeros((height, width), np.uint32)
        for plane, channel in zip(planes, channels, strict=True):
            weight = int(channel.color[1 + 2 * index : 3 + 2 * index], 16)
            if weight:
                total += _scaled(plane, channel, weight * 256)
        picture[..., index] = np.minimum((total + 128) >> 8, 255)
    return picture


def _scaled(plane: NDArray[np.generic], channel: Channel, top: int) -> NDArray[np.uint32]:
    """0..top for every sample by the channel's contrast limits, through a table of all values the type has."""
    if plane.dtype.kind not in "iu" or plane.dtype.itemsize > 2:
        raise ValueError(f"expected 8- or 16-bit integers, got {plane.dtype}")
    low, high = channel.window
    bits = np.arange(1 << (8 * plane.dtype.itemsize), dtype=np.uint16).astype(f"u{plane.dtype.itemsize}")
    values = bits.view(plane.dtype).astype(np.float64)
    table = np.rint(np.clip((values - low) / (high - low), 0, 1) * top).astype(np.uint32)
    result: NDArray[np.uint32] = table[np.ascontiguousarray(plane).view(bits.dtype)]
    return result


def contrast_limits(
    samples: NDArray[Any], low: float = LOW_PERCENTILE, high: float = HIGH_PERCENTILE
) -> tuple[float, float]:
    """Contrast limits that show most of `samples`.

    Parameters
    ----------
    samples : array of numbers, any shape, not empty
    low, high : float
        Percentiles, 0..100, that become black and full colour.

    Returns
    -------
    (lo, hi)
        lo < hi always: where the percentiles coincide, the least and greatest value, and one step where those do.
    """
    lo, hi = (float(v) for v in np.percentile(samples, [low, high], method="nearest"))
    if lo == hi:
        lo, hi = float(samples.min()), float(samples.max())
    return (lo, hi) if lo < hi else (lo, lo + 1)


def thumbnail(picture: NDArray[np.uint8], side: int = THUMBNAIL_SIDE, max_bytes: int = THUMBNAIL_BYTES) -> str:
    """A small WebP of a picture as data URI.

    Parameters
    ----------
    picture : (height, width, 3) uint8
    side : int
        Greatest height and width of the result, in pixels. It is never larger than `picture`.
    max_bytes : int
        Greatest length of the data URI; quality, then size, give way to it.
    """
    from PIL import Image

    image = Image.fromarray(picture)
    while True:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        for quality in (80, 60, 40, 20):
            buffer = io.BytesIO()
            image.save(buffer, "WEBP", quality=quality, method=6)
            uri = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
            if len(uri) <= max_bytes or side <= 8:
                return uri
        side = side * 3 // 4


def resize(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """`picture` (height, width, 3) scaled by Lanczos so that its long side is `size` pixels."""
    from PIL import Image

    height, width, _ = picture.shape
    scale = size / max(height, width)
    to = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(to, Image.Resampling.LANCZOS, reducing_gap=None))
