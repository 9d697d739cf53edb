"""Rate and distortion: our shard within a budget beside OpenJPEG's layered stream of the same number of bytes."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFile

from firstlight import codecs
from firstlight.codecs import InsufficientData

from .layered import Layered
from .planes import Plane, Samples
from .quality import LEAST_ERROR, mse, peak

RATES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Bits per pixel, all components together."""
# Beyond this OpenJPEG's stream is nothing but its headers, and a comparison at "that rate" means nothing.
MOST_ABOVE_RATE = 1.5


def measure(plane: Plane, rates: Sequence[float] = RATES) -> list[dict[str, object]]:
    """One row for every rate at which there is a choice to make; empty for what Pillow can't code (16-bit RGB).

    The budget is what OpenJPEG's stream really takes, which its rate control keeps below the rate asked for. Where
    our head and base level do not fit, our picture is a flat grey: the middle of the samples. Rates at which both are
    exact are left out.
    """
    if plane.rgb and plane.samples.itemsize > 1:
        return []
    original = plane.samples
    reference = Layered(plane, rates)
    shard = codecs.encode(original)
    jpeg = _progressive_jpeg(original) if original.dtype == np.uint8 else None
    rows: list[dict[str, object]] = []
    for layer, rate in enumerate(rates):
        budget = reference.sizes[layer]
        if 8 * budget > MOST_ABOVE_RATE * rate * plane.mpixel * 1e6:
            continue
        theirs = mse(reference.decode(layer), original)
        try:
            ours, shown = mse(codecs.decode(shard, max_bytes=budget), original), True
        except InsufficientData:
            ours, shown = mse(np.full_like(original, int(original.mean())), original), False
        if ours == theirs == 0:
            continue
        rows.append(
            {
                **plane.row(),
                "rate": rate,
                "bytes": budget,
                "bpp": 8 * budget / (plane.mpixel * 1e6),
                "picture": shown,
                "firstlight_dB": _db(ours, original),
                "openjpeg_dB": _db(theirs, original),
                "difference_dB": _db(ours, original) - _db(theirs, original),
                "progressive_jpeg_dB": "" if jpeg is None else _jpeg_db(jpeg[:budget], original),
            }
        )
    return rows


def _db(error: float, original: Samples) -> float:
    return float(10 * np.log10(peak(original) ** 2 / max(error, LEAST_ERROR)))


def _progressive_jpeg(samples: Samples) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "JPEG", quality=95, subsampling=0, progressive=True)
    return buffer.getvalue()


def _jpeg_db(prefix: bytes, original: Samples) -> float | str:
    """PSNR of what a decoder shows of a prefix; "" when that is nothing yet."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        with Image.open(io.BytesIO(prefix)) as image:
            return _db(mse(np.asarray(image), original), original)
    except OSError:
        return ""
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
