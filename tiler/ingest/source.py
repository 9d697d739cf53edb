"""What ingest reads: an image as a block of integer samples that is read region by region, whatever its file format.

A format is a module with a `Source` and an entry in `_FORMATS`; it is chosen by the file's first bytes, never by its
name, so that a wrongly named file still opens and a text file called `.tif` is refused with the reason.
"""

import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np

from firstlight.errors import FirstlightError
from firstlight.geometry import Region

Samples: TypeAlias = np.ndarray[Any, np.dtype[np.integer[Any]]]

DTYPES = ("uint8", "int8", "uint16", "int16")
"""What the wavelet codec stores."""
MAX_WHOLE_SAMPLES = 1 << 31
"""Limit on what is decoded in one piece (a whole PNG, one TIFF strip): a small file may claim to be huge."""


class SourceError(FirstlightError):
    """A file can't be ingested. The message names the file, what was expected and what was found."""


@dataclass(frozen=True, slots=True)
class SourceChannel:
    """What a file says about one channel; None where it says nothing.

    Attributes
    ----------
    label : str or None
    color : str or None
        '#rrggbb'.
    window : (float, float) or None
        Contrast limits in sample values.
    active : bool
        Whether it is shown at first.
    """

    label: str | None = None
    color: str | None = None
    window: tuple[float, float] | None = None
    active: bool = True


class Source(ABC):
    """An open file. Reading is thread-safe.

    Attributes
    ----------
    path : Path
    name : str
        The image's name: the file's, without its extensions.
    axes : tuple of str
        The axes longer than one sample, and y and x; in the order t, c, z, y, x.
    shape : tuple of int
        Along `axes`. c is 3 for a colour image.
    dtype : numpy dtype
        One of DTYPES, in native byte order.
    rgb : bool
        The c axis is red, green and blue of one picture, not three channels.
    channels : tuple of SourceChannel
        One for each c; a single one for a colour image.
    pixel_size : dict
        Axis -> (size, unit), the unit spelt as in OME-Zarr ("micrometer"), "" when unknown. Only what the file says.
    interleaved : bool
        The channels of a pixel are stored together, so that reading them one after the other is cheap.
    """

    path: Path
    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rgb: bool = False
    channels: tuple[SourceChannel, ...] = (SourceChannel(),)
    pixel_size: dict[str, tuple[float, str]]
    interleaved: bool = False

    @abstractmethod
    def read(self, index: Mapping[str, int], region: Region) -> Samples:
        """Samples of a region of one plane, exactly as the file has them.

        Parameters
        ----------
        index : mapping
            Place along t, c and z; 0 where left out. c is ignored for a colour image.
        region : (y, x, height, width)
            Inside the image.

        Returns
        -------
        array (height, width), or (height, width, 3) for a colour image; `dtype`, the caller's own to change.

        Raises
        ------
        SourceError
            The file is damaged there.
        """

    def close(self) -> None:  # noqa: B027 (a source may have nothing to let go of)
        """Let go of the file."""

    def size(self, axis: str) -> int:
        """Samples along `axis`; 1 where the image does not have it."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Format:
    name: str
    matches: Callable[[bytes], bool]
    module: str
    opener: str


def _starts(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


# Modules are imported when a file needs them: tifffile with its codecs takes a second.
_FORMATS = (
    _Format("PNG", _starts(b"\x89PNG\r\n\x1a\n"), "pillow", "PillowSource"),
    _Format("JPEG", _starts(b"\xff\xd8\xff"), "pillow", "PillowSource"),
    _Format("WebP", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", "pillow", "PillowSource"),
    _Format("TIFF", _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "tiff", "TiffSource"),
    _Format("NumPy", _starts(b"\x93NUMPY"), "npy", "NpySource"),
)


# Formats that people will try: (name, offset, bytes).
_KNOWN_OTHERS = (
    ("DICOM", 128, b"DICM"),
    ("FITS", 0, b"SIMPLE  ="),
    ("HDF5 or netCDF-4", 0, b"\x89HDF\r\n\x1a\n"),
    ("GIF", 0, b"GIF8"),
    ("BMP", 0, b"BM"),
    ("JPEG 2000", 0, b"\0\0\0\x0cjP  "),
    ("Carl Zeiss CZI", 0, b"ZISRAWFILE"),
    ("a ZIP archive", 0, b"PK\x03\x04"),
    ("PDF", 0, b"%PDF"),
)


def open_source(path: str | os.PathLike[str]) -> Source:
    """Open an image file of any supported format.

    Raises
    ------
    SourceError
        Missing, not readable, not an image, of an unsupported kind, or damaged as far as can be told without
        reading all of it.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            head = file.read(132)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise SourceError(f"{path}: expected an image file, found a directory") from None
    except OSError as error:
        raise SourceError(f"{path}: can't be read: {error.strerror or error}") from error
    for known in _FORMATS:
        if known.matches(head):
            opener = getattr(importlib.import_module(f"firstlight.ingest.{known.module}"), known.opener)
            try:
                source: Source = opener(path)
            except SourceError:
                if head[128:132] != b"DICM":
                    raise
                break  # DICOM may begin with bytes that make it a TIFF, too, and need not be one
            return source
    names = ", ".join(known.name for known in _FORMATS)
    raise SourceError(f"{path}: expected an image ({names}), found {_describe(head)}")


def _describe(head: bytes) -> str:
    if not head:
        return "an empty file"
    for name, offset, magic in _KNOWN_OTHERS:
        if head[offset : offset + len(magic)] == magic:
            return f"{name}, which is not supported"
    try:
        # A character of several bytes may be cut at the end.
        text = head[:-3].decode() if len(head) > 3 else head.decode()
        if text.isprintable() or all(letter.isprintable() or letter.isspace() for letter in text):
            return f"text: {text[:16]!r}"
    except UnicodeDecodeError:
        pass
    return f"a file that starts with the bytes {head[:8].hex(' ')}"


def image_name(path: Path) -> str:
    """The file's name without its extensions: scan.ome.tif -> scan."""
    name = path.name
    for suffix in reversed(path.suffixes[-2:]):
        if suffix == path.suffix or suffix.lower() == ".ome":
            name = name[: -len(suffix)]
    return name or path.name


def checked_dtype(dtype: np.dtype[Any], path: Path) -> np.dtype[Any]:
    """`dtype` in native byte order.

    Raises
    ------
    SourceError
        No codec stores such samples.
    """
    if dtype.name not in DTYPES:
        raise SourceError(f"{path}: expected samples of {', '.join(DTYPES)}, found {dtype.name or dtype}")
    return dtype.newbyteorder("=")


def check_whole(what: str, samples: int, path: Path) -> None:
    """Refuse to decode more than MAX_WHOLE_SAMPLES at once.

    Raises
    ------
    SourceError
    """
    if samples > MAX_WHOLE_SAMPLES:
        raise SourceError(
            f"{path}: {what} can only be decoded whole; expected at most {MAX_WHOLE_SAMPLES} samples, found {samples}"
            " (a tiled TIFF of this size can be ingested)"
        )


def alpha_channels(colours: int) -> tuple[SourceChannel, ...]:
    """Channels of a picture with transparency that is not trivial: kept apart, as a composite would not be lossless."""
    picture = (
        (("Red", "#ff0000"), ("Green", "#00ff00"), ("Blue", "#0000ff")) if colours == 3 else (("Grey", "#ffffff"),)
    )
    return (
        *(SourceChannel(label, color) for label, color in picture),
        SourceChannel("Alpha", "#ffffff", active=False),
    )
