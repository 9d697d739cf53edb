"""What TIFF files say about pixel sizes and channels, in the dialects that matter: OME-XML, ImageJ, Aperio, GeoTIFF,
and the plain resolution tags.

Nothing here is needed to read samples, so anything malformed counts as not said.
"""

import math
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import numpy as np
from tifffile import TiffFile, TiffPageSeries

from firstlight.ingest.source import SourceChannel

PixelSize = dict[str, tuple[float, str]]

# Symbols and names of units -> OME-Zarr's names (UDUNITS-2).
_UNITS = {
    "pm": "picometer",
    "nm": "nanometer",
    "um": "micrometer",
    "micron": "micrometer",
    "microns": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "dm": "decimeter",
    "m": "meter",
    "meter": "meter",
    "km": "kilometer",
    "å": "angstrom",
    "inch": "inch",
    "in": "inch",
    "ft": "foot",
    "mi": "mile",
    "ns": "nanosecond",
    "us": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "sec": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
}
# Finer than this, a resolution tag speaks of the subject; coarser, of paper and screens (72, 300, 600 dpi).
_COARSEST_RESOLUTION_UM = 25.4
# The colours that ImageJ gives to the channels of a composite without lookup tables.
_COMPOSITE = ("#ff0000", "#00ff00", "#0000ff", "#ffffff", "#00ffff", "#ff00ff", "#ffff00")
_METRE_KEY = 9001  # EPSG code of the metre in GeoTIFF keys
_PROJECTED = 1


def unit_name(text: str) -> str:
    """OME-Zarr's name of a unit ("µm" -> "micrometer"); "" when it is not one."""
    text = text.strip().replace("\\u00B5", "u").replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")
    return _UNITS.get(text.lower(), text.lower() if text.lower() in _UNITS.values() else "")


def read_pixel_size(tif: TiffFile, series: TiffPageSeries) -> PixelSize:
    """Axis -> (size, unit), for the axes of which the file says it."""
    if tif.is_ome:
        sizes = _ome_pixel_size(_ome_image(tif, series))
    elif tif.is_imagej:
        sizes = _imagej_pixel_size(tif)
    elif tif.is_svs:
        sizes = _aperio_pixel_size(series.keyframe.description)
    else:
        sizes = _geotiff_pixel_size(series) or _resolution_pixel_size(series)
    return {axis: (size, unit) for axis, (size, unit) in sizes.items() if math.isfinite(size) and size > 0}


def read_channels(tif: TiffFile, series: TiffPageSeries, count: int, dtype: np.dtype[Any]) -> tuple[SourceChannel, ...]:
    """One for each of `count` channels."""
    channels: list[SourceChannel] = []
    if tif.is_ome:
        channels = _ome_channels(_ome_image(tif, series))
    elif tif.is_imagej:
        channels = _imagej_channels(tif, series, count, dtype)
    elif series.keyframe.photometric == 2 and count > 3:
        channels = [SourceChannel(*one) for one in (("Red", "#ff0000"), ("Green", "#00ff00"), ("Blue", "#0000ff"))]
        channels += [SourceChannel(str(number), active=False) for number in range(3, count)]
    if len(channels) != count:
        return (SourceChannel(),) * count
    if count > 1 and all(one.color in ("#ffffff", None) for one in channels):
        # Several channels in white would be one grey picture: that is no choice of colours.
        channels = [SourceChannel(one.label, None, one.window, one.active) for one in channels]
    return tuple(channels)


def is_composite(tif: TiffFile) -> bool:
    """Whether an ImageJ file that is tagged RGB holds channels in truth, with a contrast of their own."""
    metadata = tif.imagej_metadata or {}
    return "mode" in metadata and _number(metadata.get("channels")) > 1


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


# -- OME-XML -------------------------------------------------------------------------------------------------------


def _ome_image(tif: TiffFile, series: TiffPageSeries) -> ElementTree.Element | None:
    """The Pixels element of a series."""
    try:
        root = ElementTree.fromstring(tif.ome_metadata or "")
    except ElementTree.ParseError:
        return None
    pixels = root.findall("{*}Image/{*}Pixels")
    if len(pixels) == len(tif.series):
        return pixels[[one is series for one in tif.series].index(True)]
    size = {"SizeX": str(series.keyframe.imagewidth), "SizeY": str(series.keyframe.imagelength)}
    fitting = [one for one in pixels if all(one.get(name) == value for name, value in size.items())]
    return fitting[0] if fitting else None


def _ome_pixel_size(pixels: ElementTree.Element | None) -> PixelSize:
    if pixels is None:
        return {}
    names = {axis: (f"PhysicalSize{axis.upper()}", "µm") for axis in "xyz"} | {"t": ("TimeIncrement", "s")}
    return {
        axis: (_number(pixels.get(name)), unit_name(pixels.get(f"{name}Unit", default)))
        for axis, (name, default) in names.items()
        if pixels.get(name) is not None and pixels.get(f"{name}Unit") not in ("pixel", "reference frame")
    }


def _ome_channels(pixels: ElementTree.Element | None) -> list[SourceChannel]:
    channels = [] if pixels is None else pixels.findall("{*}Channel")
    return [SourceChannel(one.get("Name") or None, _ome_colour(one.get("Color"))) for one in channels]


def _ome_colour(text: str | None) -> str | None:
    """OME's signed 32-bit RGBA, of which -1 (opaque white) is the default and says nothing."""
    try:
        rgba = int(text or "-1") & 0xFFFFFFFF
    except ValueError:
        return None
    colour = f"#{rgba >> 8:06x}"
    return None if colour in ("#ffffff", "#000000") else colour


# -- ImageJ --------------------------------------------------------------------------------------------------------


def _imagej_pixel_size(tif: TiffFile) -> PixelSize:
    metadata = tif.imagej_metadata or {}
    unit = unit_name(str(metadata.get("unit", "")))
    sizes: PixelSize = {}
    if unit:
        tags = tif.pages.first.tags
        for axis, code in (("x", 282), ("y", 283)):  # pixels per unit
            size = _reciprocal(tags.valueof(code))
            if size:
                sizes[axis] = (size, unit)
        sizes["z"] = (_number(metadata.get("spacing")), unit)
    interval = _number(metadata.get("finterval"))
    if interval > 0:
        sizes["t"] = (interval, unit_name(str(metadata.get("tunit", "s"))) or "second")
    return sizes


def _imagej_channels(tif: TiffFile, series: TiffPageSeries, count: int, dtype: np.dtype[Any]) -> list[SourceChannel]:
    metadata = tif.imagej_metadata or {}
    luts, ranges = metadata.get("LUTs", ()), metadata.get("Ranges", ())
    defaults = _COMPOSITE if metadata.get("mode") == "composite" and not len(luts) and 1 < count <= 7 else ()
    if count == 1 and len(ranges) != 2:
        ranges = (_number(metadata.get("min")), _number(metadata.get("max")))
    labels = metadata.get("Labels", ())
    labels = [labels] if isinstance(labels, str) else list(labels)
    # With z or t a label is that of a slice.
    is_of_channel = count > 1 and len(labels) == count and series.size == count * math.prod(series.keyframe.shape[:2])
    return [
        SourceChannel(
            labels[number] if is_of_channel and labels[number] else None,
            _lut_colour(luts[number]) if number < len(luts) else defaults[number] if defaults else None,
            _window(ranges[2 * number : 2 * number + 2], dtype),
        )
        for number in range(count)
    ]


def _lut_colour(lut: object) -> str | None:
    """The colour of the brightest value."""
    table = np.asarray(lut)
    if table.shape != (3, 256) or not table[:, 255].any():
        return None
    red, green, blue = (int(value) for value in table[:, 255])
    return f"#{red:02x}{green:02x}{blue:02x}"


def _window(limits: Any, dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """Contrast limits, unless they are the whole range of the type: then nobody has chosen them."""
    if len(limits) != 2:
        return None
    low, high = float(limits[0]), float(limits[1])
    info = np.iinfo(dtype)
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high or (low <= info.min and high >= info.max):
        return None
    return low, high


# -- the others ----------------------------------------------------------------------------------------------------


def _aperio_pixel_size(description: str) -> PixelSize:
    """`...|MPP = 0.4990|...`: micrometres per pixel."""
    for item in description.split("|"):
        name, _, value = item.partition("=")
        if name.strip() == "MPP":
            return {axis: (_number(value), "micrometer") for axis in "yx"}
    return {}


def _geotiff_pixel_size(series: TiffPageSeries) -> PixelSize:
    tags: Mapping[str, Any] = series.keyframe.geotiff_tags or {}
    scale = tags.get("ModelPixelScale")
    is_metric = tags.get("GTModelTypeGeoKey") == _PROJECTED and tags.get("ProjLinearUnitsGeoKey", 9001) == _METRE_KEY
    if scale is None or len(scale) < 2 or not is_metric:
        return {}
    return {"x": (_number(scale[0]), "meter"), "y": (_number(scale[1]), "meter")}


def _resolution_pixel_size(series: TiffPageSeries) -> PixelSize:
    tags = series.keyframe.tags
    unit = {2: 25400.0, 3: 10000.0}.get(int(tags.valueof(296, 2)))  # micrometres in an inch, a centimetre
    if unit is None:
        return {}
    sizes = {axis: _reciprocal(tags.valueof(code)) * unit for axis, code in (("x", 282), ("y", 283))}
    return {axis: (size, "micrometer") for axis, size in sizes.items() if 0 < size < _COARSEST_RESOLUTION_UM}


def _reciprocal(fraction: object) -> float:
    """1 / a TIFF rational; 0 for one that is missing or makes no sense."""
    match fraction:
        case (int(numerator), int(denominator)) if numerator > 0 and denominator > 0:
            return denominator / numerator
        case _:
            return 0.0
