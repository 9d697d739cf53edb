"""TIFF in its many kinds (OME-TIFF, ImageJ, Aperio SVS, GeoTIFF ...), by tifffile and imagecodecs.

Of the image series in a file the one with the largest planes is taken, at full resolution. Axes are tifffile's: T, C,
Z, Y, X; samples of a pixel (S) are colour where the file says RGB, else channels; a stack of pages without meaning
becomes z. What becomes of each kind of picture:
 - YCbCr JPEG: the RGB that libjpeg decodes it to;
 - palettes: RGB, except ImageJ's and OME's, whose palette is how one channel is shown;
 - MinIsWhite: inverted, so that larger is brighter for every reader; 1-bit: uint8 samples 0 and 1;
 - RGB with alpha: dropped where every pixel is opaque, else four channels (see `pillow`);
 - ImageJ's composites of 3 interleaved channels: channels, not colour;
 - CMYK, Lab, CFA, and YCbCr other than JPEG: refused.

Only the tiles or strips under a region are decoded. A strip or tile that reaches out of a region is kept for its
neighbours, within CACHE_BYTES; an uncompressed page is read in place.
"""

import logging
import math
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

from firstlight.geometry import Region
from firstlight.ingest.raw import RawFile
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
from firstlight.ingest.tiff_metadata import is_composite, read_channels, read_pixel_size

CACHE_BYTES = 256 << 20
_BAND_BYTES = 64 << 20  # of interleaved channels that are read to pick one of them
_ALPHA = (1, 2)  # ExtraSamples: associated and unassociated alpha
_JPEG = (6, 7, 34892, 33007)  # compressions that decode to RGB
_APERIO_YCBCR = 33003
_PHOTOMETRIC = {0: "MinIsWhite", 1: "MinIsBlack", 2: "RGB", 3: "palette", 6: "YCbCr"}
_REFUSED = {5: "CMYK", 8: "CIE Lab", 9: "ICC Lab", 10: "ITU Lab", 32803: "colour filter array"}
# What tifffile says when it makes do with part of a file, where we do not.
_FATAL = (
    "corrupt",
    "invalid offset to",
    "invalid page offset",
    "Missing data are zeroed",
    "missing data",
    "missing ByteCounts",
    "incompletely written",
    "incorrect Strip",
    "is missing files",
    "missing required tags",
)
# ... and of a tag that lies past the file's end, if the image is another without it: descriptions, ImageJ's metadata.
_FATAL_TAG = re.compile(r"TiffTag (270|50838|50839) .*invalid value offset")

# tifffile reports oddities by logging; without a handler Python prints them in the middle of a progress bar.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class TiffSource(Source):
    """A TIFF file, or the series of files that an OME-TIFF names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = image_name(path)
        self._lock = threading.Lock()
        self._raw: dict[str, RawFile] = {}
        self._cache = _SegmentCache(CACHE_BYTES)
        self._open: TiffFile | None = None
        try:
            with _damage_is_an_error(path):
                self._tif = self._open = TiffFile(path)
                self._set_series()
                self._set_samples()
                self._check_extent()
                self._set_colour()
                self.pixel_size = {
                    axis: size for axis, size in read_pixel_size(self._tif, self._series).items() if axis in self.axes
                }
        except BaseException:
            self.close()
            raise

    # -- what is in the file ---------------------------------------------------------------------------------------

    def _set_series(self) -> None:
        candidates = [one for one in self._tif.series if one.keyframe is not None and 0 not in one.shape]
        if not candidates:
            raise SourceError(f"{self.path}: expected a TIFF with an image, found none in it")
        series = max(candidates, key=lambda one: (one.keyframe.imagelength * one.keyframe.imagewidth, one.size))
        self._series: TiffPageSeries = series
        self._keyframe: TiffPage = series.keyframe
        key = self._keyframe
        if key.photometric in _REFUSED or key.compression == _APERIO_YCBCR:
            what = _REFUSED.get(int(key.photometric), "YCbCr JPEG 2000")
            raise SourceError(f"{self.path}: expected a grey, palette or RGB image, found {what}; convert it first")
        if key.photometric == 6 and key.compression not in _JPEG:
            raise SourceError(f"{self.path}: expected RGB or JPEG-compressed YCbCr, found other YCbCr")
        if key.imagedepth != 1 or series.transform is not None:
            raise SourceError(f"{self.path}: expected two-dimensional pages, found {key.shape} ({key.axes})")
        shape, axes = series.get_shape(squeeze=False), series.get_axes(squeeze=False)
        dims = [(axis, size) for axis, size in zip(axes, shape, strict=True) if size > 1 or axis in "YX"]
        page = [(axis, size) for axis, size in zip(key.axes, key.shape, strict=True) if size > 1 or axis in "YX"]
        if [size for _, size in dims[len(dims) - len(page) :]] != [size for _, size in page]:
            raise SourceError(f"{self.path}: expected pages of {page}, found an image of {axes} {shape}")
        self._outer = [(axis, size) for axis, size in dims[: len(dims) - len(page)]]
        self._names = _axis_names([axis for axis, _ in self._outer], self.path)
        # Where the planes start, if they lie one after the other uncompressed; there may be no page for each (ImageJ).
        self._offset = series.dataoffset
        if self._offset is None and len(series.pages) != self._planes:
            raise SourceError(f"{self.path}: expected {self._planes} pages, found {len(series.pages)}")

    @property
    def _planes(self) -> int:
        return math.prod(size for _, size in self._outer)

    def _set_samples(self) -> None:
        key = self._keyframe
        separate, _, height, width, contiguous = key.shaped
        self._separate, self._together = separate, contiguous
        self._page_samples = separate * contiguous
        stored = self._series.dtype
        self._is_bilevel = np.dtype(stored).kind == "b"
        self._stored = np.dtype(np.uint8) if self._is_bilevel else np.dtype(stored)
        self.dtype = checked_dtype(self._stored, self.path)
        self._table: Samples | None = None
        if key.photometric == 3 and not (self._tif.is_imagej or self._tif.is_ome) and key.colormap is not None:
            self._table = _palette(key.colormap, self.path)
            self.dtype = self._table.dtype
        self._inverted_from: int | None = None
        if key.photometric == 0 and self._stored.kind == "u":
            self._inverted_from = 2 ** int(key.bitspersample) - 1
        sizes = dict(zip(self._names, (size for _, size in self._outer), strict=True))
        self._planes_c = sizes.get("c", 1)
        self._sizes = {**sizes, "y": height, "x": width}

    def _check_extent(self) -> None:
        """Every strip and tile must be inside its file: what is cut off would read as grey or as zeros."""
        key = self._keyframe
        itemsize = self._stored.itemsize
        if not key.is_final:
            check_whole("a strip or tile of it", math.prod(key.chunks), self.path)
        ends: dict[str, int] = {}
        if self._offset is not None:
            ends[str(key.parent.filehandle.path)] = self._offset + self._planes * math.prod(key.shaped) * itemsize
        else:
            wanted = math.prod(key.chunked)
            for number, page in enumerate(self._series.pages):
                if page is None:
                    raise SourceError(
                        f"{self.path}: expected {len(self._series.pages)} pages, page {number} is missing"
                    )
                offsets, counts = page.dataoffsets, page.databytecounts
                if key.is_final:
                    end = offsets[0] + math.prod(key.shaped) * itemsize
                elif len(offsets) < wanted or len(counts) < wanted:
                    found = min(len(offsets), len(counts))
                    raise SourceError(
                        f"{self.path}: page {number}: expected {wanted} strips or tiles, found only {found}"
                    )
                else:
                    end = max(map(sum, zip(offsets, counts, strict=True)), default=0)
                name = str(page.parent.filehandle.path)
                ends[name] = max(end, ends.get(name, 0))
        for name, end in ends.items():
            found = Path(name).stat().st_size
            if found < end:
                raise SourceError(f"{name}: cut off: expected at least {end} bytes, found {found}")

    def _set_colour(self) -> None:
        key, samples = self._keyframe, self._page_samples
        colour = key.photometric in (2, 6) and not is_composite(self._tif)
        extra = [int(one) for one in key.extrasamples]
        has_alpha = extra[:1] in ([1], [2]) and samples == (4 if colour else 2) and self._planes_c == 1
        self._rgb_samples = False
        if self._table is not None:
            if samples != 1 or self._planes_c != 1:
                raise SourceError(f"{self.path}: expected a palette image of one channel, found {samples} samples")
            self._arrange(rgb=True, count=3)
        elif colour and self._planes_c == 1 and (samples == 3 or (has_alpha and self._is_opaque())):
            self._rgb_samples = True
            self._arrange(rgb=True, count=3)
        elif has_alpha:
            if not colour and self._is_opaque():
                self._arrange(rgb=False, count=1)
            else:
                self._arrange(rgb=False, count=samples)
                self.channels = alpha_channels(samples - 1)
        else:
            self._arrange(rgb=False, count=self._planes_c * samples)
            self.channels = read_channels(self._tif, self._series, self.size("c"), self.dtype)
        self.interleaved = not self.rgb and self._together > 1

    def _arrange(self, *, rgb: bool, count: int) -> None:
        sizes = {**self._sizes, "c": count}
        self.rgb = rgb
        self.axes = tuple(axis for axis in "tczyx" if axis in "yx" or sizes.get(axis, 1) > 1)
        self.shape = tuple(sizes[axis] for axis in self.axes)
        self.channels = (SourceChannel(),)

    def _is_opaque(self) -> bool:
        opaque = np.iinfo(self.dtype).max
        height, width = self._sizes["y"], self._sizes["x"]
        rows = max(1, min(height, _segment_shape(self._keyframe)[0]))
        last = self._page_samples - 1
        return all(
            bool(np.all(self._read_plane(plane, (last,), (y, 0, min(rows, height - y), width)) == opaque))
            for plane in range(self._planes)
            for y in range(0, height, rows)
        )

    # -- samples ---------------------------------------------------------------------------------------------------

    def read(self, index: Mapping[str, int], region: Region) -> Samples:
        samples: tuple[int, ...] = (0, 1, 2)
        place = dict(index)
        if not self._rgb_samples:
            place["c"], sample = divmod(0 if self.rgb else index.get("c", 0), self._page_samples)
            samples = (sample,)
        plane = 0
        for name, (_, size) in zip(self._names, self._outer, strict=True):
            plane = plane * size + place.get(name, 0)
        try:
            data = self._read_plane(plane, samples, region)
        except SourceError:
            raise
        except Exception as error:  # imagecodecs has an exception type for every codec
            raise SourceError(f"{self.path}: plane {plane}: expected samples, found damaged data: {error}") from error
        if self._inverted_from is not None:
            data = np.asarray(self._inverted_from - data, self.dtype)
        if self._table is not None:
            return self._table[data[..., 0]]
        return data if self._rgb_samples else data[..., 0]

    def _read_plane(self, plane: int, samples: tuple[int, ...], region: Region) -> Samples:
        """(height, width, len(samples)) of one page's samples."""
        key = self._keyframe
        page = self._series.pages[0 if self._offset is not None else plane]
        assert page is not None  # _check_extent
        if self._offset is not None:
            return self._read_raw(
                page, self._offset + plane * math.prod(key.shaped) * self._stored.itemsize, samples, region
            )
        if key.is_final:
            return self._read_raw(page, page.dataoffsets[0], samples, region)
        return self._read_segments(page, samples, region)

    def _read_raw(self, page: TiffPage | TiffFrame, offset: int, samples: tuple[int, ...], region: Region) -> Samples:
        y, x, height, width = region
        separate, _, full_height, full_width, together = self._keyframe.shaped
        stored = self._stored.newbyteorder(self._keyframe.parent.byteorder)
        file = self._raw_file(page)
        out = np.empty((height, width, len(samples)), self._stored.newbyteorder("="))
        # Of pixels with many samples only a band at a time is in memory.
        rows = max(1, _BAND_BYTES // max(1, width * together * stored.itemsize)) if together > 1 else height
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            for sheet in {sample // together for sample in samples}:
                band = file.box(
                    offset,
                    (separate, full_height, full_width, together),
                    stored,
                    (sheet, y + top, x, 0),
                    (sheet + 1, y + bottom, x + width, together),
                )[0]
                for position, sample in enumerate(samples):
                    if sample // together == sheet:
                        out[top:bottom, :, position] = band[..., sample % together]
        return out

    def _raw_file(self, page: TiffPage | TiffFrame) -> RawFile:
        name = str(page.parent.filehandle.path)
        with self._lock:
            if name not in self._raw:
                self._raw[name] = RawFile(Path(name))
            return self._raw[name]

    def _read_segments(self, page: TiffPage | TiffFrame, samples: tuple[int, ...], region: Region) -> Samples:
        y, x, height, width = region
        key = self._keyframe
        _, _, full_height, full_width, together = key.shaped
        tall, wide = _segment_shape(key)
        columns = math.ceil(full_width / wide)
        sheet_segments = columns * math.ceil(full_height / tall)
        out = np.empty((height, width, len(samples)), self._stored.newbyteorder("="))
        for sheet in sorted({sample // together for sample in samples}):
            picked = [(position, s % together) for position, s in enumerate(samples) if s // together == sheet]
            for row in range(y // tall, (y + height - 1) // tall + 1):
                top, bottom = max(row * tall, y), min((row + 1) * tall, y + height)
                for column in range(x // wide, (x + width - 1) // wide + 1):
                    left, right = max(column * wide, x), min((column + 1) * wide, x + width)
                    # Will any other read need it? What is past the image's edge does not count.
                    is_inside = (bottom - top) == min(tall, full_height - row * tall) and (right - left) == min(
                        wide, full_width - column * wide
                    )
                    keep = not is_inside or len(picked) < together
                    number = sheet * sheet_segments + row * columns + column
                    segment = self._segment(page, number, keep=keep)
                    target = out[top - y : bottom - y, left - x : right - x]
                    if segment is None:  # a sparse file's hole
                        target[...] = key.nodata
                        continue
                    part = segment[top - row * tall : bottom - row * tall, left - column * wide : right - column * wide]
                    if len(picked) == together == len(samples):
                        target[...] = part
                        continue
                    for position, sample in picked:
                        target[..., position] = part[..., sample]
        return out

    def _segment(self, page: TiffPage | TiffFrame, number: int, *, keep: bool) -> Samples | None:
        """(rows, columns, samples) of a strip or tile."""
        offset, count = page.dataoffsets[number], page.databytecounts[number]
        if offset == 0 or count == 0:
            return None

        def decode() -> Samples:
            key = self._keyframe
            options: dict[str, Any] = {}
            if key.compression in _JPEG:
                options = {"jpegtables": page.jpegtables, "jpegheader": key.jpegheader}
            data = self._raw_file(page).bytes(offset, count)
            segment: Any = key.decode(data, number, **options)[0]
            result: Samples = segment[0].astype(self._stored.newbyteorder("="), copy=False)
            return result

        try:
            return self._cache.get((page.parent.filehandle.path, offset), decode) if keep else decode()
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(
                f"{self.path}: page {page.index}: expected strip or tile {number} at byte {offset}, found damaged data:"
                f" {error}"
            ) from error

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        for file in self._raw.values():
            file.close()


class _SegmentCache:
    """Decoded strips and tiles, the least recently used thrown out first; whoever asks first decodes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._items: OrderedDict[object, Future[Samples]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object, decode: Callable[[], Samples]) -> Samples:
        with self._lock:
            item = self._items.get(key)
            is_mine = item is None
            if item is None:
                item = self._items[key] = Future()
            else:
                self._items.move_to_end(key)
        if is_mine:
            try:
                segment = decode()
            except BaseException as error:
                with self._lock:
                    del self._items[key]
                item.set_exception(error)
                raise
            with self._lock:
                self._size += segment.nbytes
                item.set_result(segment)
                self._evict(key)
        return item.result()

    def _evict(self, newest: object) -> None:
        for key, item in list(self._items.items()):
            if self._size <= self._limit:
                break
            if key != newest and item.done():
                self._size -= item.result().nbytes
                del self._items[key]


def _segment_shape(page: TiffPage) -> tuple[int, int]:
    """(rows, columns) of a strip or tile."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _axis_names(letters: list[str], path: Path) -> list[str]:
    """Our axes for tifffile's: T, C, Z, and a stack of unknown meaning (I, Q, S) as the first of z, t, c not in use."""
    names = [letter.lower() if letter in "TCZ" else "" for letter in letters]
    for number, letter in enumerate(letters):
        if not names[number]:
            free = [axis for axis in "ztc" if axis not in names]
            if letter not in "IQS" or not free:
                raise SourceError(f"{path}: expected axes of T, C, Z, Y, X, found {''.join(letters)}YX")
            names[number] = free[0]
    if len(set(names)) != len(names):
        raise SourceError(f"{path}: expected each axis once, found {''.join(letters)}YX")
    return names


def _palette(colormap: np.ndarray[Any, Any], path: Path) -> Samples:
    """(entries, 3) colours; 8-bit where the 16-bit entries of the file stand for that."""
    table = np.asarray(colormap).T
    if table.ndim != 2 or table.shape[1] != 3:
        raise SourceError(f"{path}: expected a palette of 3 colours, found {table.shape}")
    if table.max() < 256:  # a common mistake of writers
        return np.ascontiguousarray(table, np.uint8)
    low = table & 255
    if not low.any() or np.array_equal(low, table >> 8):
        return np.ascontiguousarray(table >> 8, np.uint8)
    return np.ascontiguousarray(table, np.uint16)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def refuse(self, path: Path) -> None:
        """Raise SourceError if there was damage among the messages."""
        for message in self.messages:
            if _FATAL_TAG.search(message) or any(words in message for words in _FATAL):
                raise SourceError(f"{path}: expected a whole TIFF, found a damaged or cut file: {message}")

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())


@contextmanager
def _damage_is_an_error(path: Path) -> Iterator[None]:
    """What tifffile raises, or only logs, about a damaged file becomes a SourceError."""
    logger = logging.getLogger("tifffile")
    collector = _Collector()
    logger.addHandler(collector)
    try:
        yield
    except (SourceError, MemoryError):
        # What tifffile has noted is the cause rather than what then was not found.
        collector.refuse(path)
        raise
    except tifffile.TiffFileError as error:
        raise SourceError(f"{path}: expected a TIFF, found a damaged file: {error}") from error
    except Exception as error:  # of any type: struct.error, KeyError, IndexError ... as the damage happens to hit
        raise SourceError(f"{path}: expected a TIFF, found a damaged file: {type(error).__name__}: {error}") from error
    finally:
        logger.removeHandler(collector)
    collector.refuse(path)
