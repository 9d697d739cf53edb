"""tiler/render.py: contrast, colours, thumbnails, sizes."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from firstlight.layout import Channel, default_channels
from firstlight.render import composite, contrast_limits, resize, thumbnail


def channel(color: str, lo: float, hi: float) -> Channel:
    return Channel("", color, (lo, hi), (lo, hi))


def test_eight_bit_colour_passes_through() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (3, 20, 30), np.uint8)
    shown = composite(picture, default_channels(3, "uint8", True))
    np.testing.assert_array_equal(shown, np.moveaxis(picture, 0, 2))
    assert shown.dtype == np.uint8


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_the_contrast_limits_become_black_and_full_colour(dtype: str) -> None:
    info = np.iinfo(dtype)
    plane = np.linspace(int(info.min), int(info.max), 257).astype(dtype)[None]
    lo, hi = float(info.min) / 2 + 5, float(info.max) / 2
    grey = composite([plane], [channel("#ffffff", lo, hi)])
    expected = np.rint(np.clip((plane.astype(float) - lo) / (hi - lo), 0, 1) * 255)
    assert np.abs(grey[..., 0].astype(float) - expected).max() <= 1
    assert (grey[..., 0] == grey[..., 1]).all()
    orange = composite([plane], [channel("#ff8000", lo, hi)])
    assert (orange[0, -1] == [255, 128, 0]).all()
    assert (orange[0, 0] == 0).all()


def test_colours_add_up_and_stop_at_white() -> None:
    full = np.full((2, 2), 100, np.uint16)
    magenta, green, cyan = (channel(c, 0, 100) for c in ("#ff00ff", "#00ff00", "#00ffff"))
    assert (composite([full, full], [magenta, green]) == 255).all()
    assert (composite([full, full], [green, cyan])[0, 0] == [0, 255, 255]).all()
    half = np.full((2, 2), 50, np.uint16)
    assert (composite([half, half], [magenta, green])[0, 0] == 128).all()


def test_strided_planes_are_taken() -> None:
    planes = np.arange(4 * 6 * 2, dtype=np.uint8).reshape(4, 6, 2)
    shown = composite(
        [planes[::2, ::-1, 0], planes[::2, ::-1, 1]], [channel("#ff0000", 0, 255), channel("#00ff00", 0, 255)]
    )
    np.testing.assert_array_equal(shown[..., 1], planes[::2, ::-1, 1])


def test_what_composite_refuses() -> None:
    plane = np.zeros((2, 2), np.uint8)
    with pytest.raises(ValueError, match="got 1 planes and 2 channels"):
        composite([plane], [channel("#ffffff", 0, 1)] * 2)
    with pytest.raises(ValueError, match="got 0 planes"):
        composite([], [])
    with pytest.raises(ValueError, match="8- or 16-bit integers, got float32"):
        composite([plane.astype(np.float32)], [channel("#ffffff", 0, 1)])


def test_contrast_limits() -> None:
    values = np.arange(10_001, dtype=np.int16) - 5000
    assert contrast_limits(values) == (-4990, 4990)
    assert contrast_limits(values, 0, 100) == (-5000, 5000)
    mostly = np.zeros(100_000, np.uint16)
    mostly[:3] = 700
    assert contrast_limits(mostly) == (0, 700)
    assert contrast_limits(np.full((3, 3), 9, np.uint8)) == (9, 10)


def test_thumbnails_are_small_whatever_they_show() -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (900, 1300, 3), np.uint8)
    uri = thumbnail(noise)
    assert len(uri) <= 4000
    assert uri.startswith("data:image/webp;base64,")
    shown = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert shown.width > shown.height
    assert max(shown.size) <= 128
    flat = Image.open(io.BytesIO(base64.b64decode(thumbnail(noise[:40, :30] // 255 + 9).partition(",")[2])))
    assert flat.size == (30, 40)
    assert len(thumbnail(noise[:1, :1000])) <= 4000


def test_resize() -> None:
    picture = np.zeros((300, 200, 3), np.uint8)
    picture[150:] = 200
    small = resize(picture, 30)
    assert small.shape == (30, 20, 3)
    assert (small[0] == 0).all()
    assert (small[-1] == 200).all()
    assert resize(picture[:, :1], 30).shape == (30, 1, 3)
