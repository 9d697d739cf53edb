"""PNG, JPEG and WebP, by Pillow.

These formats are decoded whole, once, when the source is opened. What becomes of each kind of picture:
 - grey, RGB: as they are. 16-bit colour PNG goes through imagecodecs, because Pillow would reduce it to 8 bits;
 - palettes: RGB;
 - 1-bit: uint8 samples 0 and 1;
 - transparency: dropped where every pixel is opaque; else all four (two) components are kept as channels, since a
   composite on some background would not be lossless;
 - JPEG's orientation tag is applied: no sample changes, they only move;
 - CMYK and animations are refused.
"""

import struct
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from firstlight.geometry import Region
from firstlight.ingest.source import (
    Samples,
    Source,
    SourceChannel,
    SourceError,
    alpha_channels,
    check_whole,
    checked_dtype,
    image_name,
)

_PLUGINS: dict[bytes, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    b"\x89": PngImageFile,
    b"\xff": JpegImageFile,
    b"R": WebPImageFile,
}
_MODES = ("1", "L", "LA", "P", "PA", "I;16", "RGB", "RGBA")
_PNG_COLOUR = {2: 3, 4: 2, 6: 4}  # IHDR's colour type -> components of those that have several


class PillowSource(Source):
    """A PNG, JPEG or WebP file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = image_name(path)
        self.pixel_size = {}
        deep = _deep_png(path)
        self._image = _decode_deep(path, *deep) if deep else _decode(path)
        sample = self._pixels((0, 0, 1, 1))
        self.dtype = checked_dtype(sample.dtype, path)
        components = sample.shape[2] if sample.ndim == 3 else 1
        if isinstance(self._image, Image.Image):
            width, height = self._image.size
        else:
            height, width = self._image.shape[:2]
        self._keep: slice | int | None = None  # of the components; None: c says which
        if components in (2, 4) and self._is_opaque(height, width):
            components -= 1
        self.rgb = components == 3
        if self.rgb:
            self._keep = slice(3)
        elif components == 1:
            self._keep = 0
        else:
            self.channels = alpha_channels(components - 1)
            self.interleaved = True
        if self._keep is not None:
            self.channels = (SourceChannel(),)
        self.axes = ("y", "x") if components == 1 else ("c", "y", "x")
        self.shape = (height, width) if components == 1 else (components, height, width)

    def _is_opaque(self, height: int, width: int) -> bool:
        opaque = np.iinfo(self.dtype).max
        rows = 256
        return all(
            bool(np.all(self._pixels((y, 0, min(rows, height - y), width))[..., -1] == opaque))
            for y in range(0, height, rows)
        )

    def _pixels(self, region: Region) -> Samples:
        y, x, height, width = region
        if isinstance(self._image, Image.Image):
            data = np.asarray(self._image.crop((x, y, x + width, y + height)))
            # Pillow's bilevel pictures have 255 in the bytes that it gives out as bool.
            return (data.view(np.uint8) > 0).view(np.uint8) if data.dtype == bool else data
        return self._image[y : y + height, x : x + width]

    def read(self, index: Mapping[str, int], region: Region) -> Samples:
        data = self._pixels(region)
        if data.ndim == 3:
            data = data[..., index.get("c", 0) if self._keep is None else self._keep]
        return np.array(data, self.dtype, order="C")


def _decode(path: Path) -> Image.Image:
    """The picture, loaded, in a mode of which a crop is its samples: 1, L, LA, I;16, RGB or RGBA."""
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # all about metadata that is of no concern here
            # Not Image.open: its limit on pixels is a global of the process. `_check` has ours.
            kind = _PLUGINS[file.read(1)]
            file.seek(0)
            image = kind(file)
            _check(image, path)
            image.load()
            if image.has_transparency_data and image.mode not in ("RGBA", "LA"):
                return image.convert("LA" if image.mode in ("1", "L") else "RGBA")
            if image.mode == "P":
                return image.convert("RGB")
            return ImageOps.exif_transpose(image) if image.format == "JPEG" else image
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        # Pillow's own words: "image file is truncated (12 bytes not processed)", "broken PNG file".
        raise _damaged(path, error) from error


def _check(image: ImageFile.ImageFile, path: Path) -> None:
    check_whole(f"a {image.format}", image.width * image.height * len(image.getbands()), path)
    if image.mode not in _MODES:
        raise SourceError(f"{path}: expected a grey, palette or RGB picture, found {image.mode}; convert it first")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise SourceError(f"{path}: expected a still picture, found an animation of {frames} frames")


def _deep_png(path: Path) -> tuple[int, int, int] | None:
    """(width, height, components) of a PNG that has 16 bits and more than one component; else None."""
    with open(path, "rb") as file:
        head = file.read(26)
    if len(head) < 26 or head[:4] != b"\x89PNG" or head[12:16] != b"IHDR":
        return None
    width, height, bits, colour = struct.unpack(">IIBB", head[16:])
    return (width, height, _PNG_COLOUR[colour]) if bits == 16 and colour in _PNG_COLOUR else None


def _decode_deep(path: Path, width: int, height: int, components: int) -> Samples:
    check_whole("a PNG", width * height * components, path)
    try:
        data = imagecodecs.png_decode(path.read_bytes())
    except (ValueError, RuntimeError) as error:  # PngError
        raise _damaged(path, error) from error
    if data.shape[:2] != (height, width) or data.dtype != np.uint16:
        raise SourceError(f"{path}: expected {height} x {width} uint16, found {data.shape} {data.dtype}")
    return data


def _damaged(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path}: expected a whole picture, found a damaged or cut file: {error}")
