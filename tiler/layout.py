"""The metadata of an image: dataclasses <-> OME-Zarr 0.5 with firstlight's additions, as JSON-ready dicts.

Owns what is written in the root `zarr.json` (and in each array's) and how it is checked when it is read. An image is
one OME-Zarr multiscale group; every array of its pyramid, and no other, is listed as a dataset. The root holds the
metadata of all arrays (consolidated, as zarr-python writes it), so one object tells a reader everything. No I/O.

What is firstlight's own:
 - each array's only codec is `firstlight_shard`; its `head_bytes` says how much of a shard to ask for first;
 - `attributes.firstlight`: `version`, and optionally `thumbnail` (a data URI), `source` (what the image came from) and
   `stored_bytes` (the sizes of all shards together).

Colour images (`rgb`) are recognised by chunks of three components in c.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeAlias

from firstlight import geometry
from firstlight.codecs.index import FORMAT_VERSION
from firstlight.errors import FirstlightError
from firstlight.geometry import Region

JSON: TypeAlias = dict[str, Any]

AXES = ("t", "c", "z", "y", "x")
AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
DTYPES = ("uint8", "int8", "uint16", "int16")
DTYPE_LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767)}
CODEC = "firstlight_shard"
OME_VERSION = "0.5"
DEFAULT_HEAD_BYTES = 65536
METADATA_KEY = "zarr.json"
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_CHANNEL_COLOURS = ("#00ff00", "#ff00ff", "#00ffff", "#ffff00", "#ff0000", "#0000ff", "#ff8000", "#ffffff")
_RGB = (("red", "#ff0000"), ("green", "#00ff00"), ("blue", "#0000ff"))


class LayoutError(FirstlightError, ValueError):
    """Metadata that is not an image of ours; the message names the object, the field, what was expected and found."""


@dataclass(frozen=True, slots=True)
class Channel:
    """How one channel is shown.

    Attributes
    ----------
    label : str
    color : str
        "#rrggbb", lower case.
    window : (float, float)
        Contrast limits [lo, hi] to start with, in data units; lo < hi.
    limits : (float, float)
        Smallest and largest value that the limits may take, in data units.
    active : bool
        Shown at first.
    """

    label: str
    color: str
    window: tuple[float, float]
    limits: tuple[float, float]
    active: bool = True


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """One array of the pyramid.

    Attributes
    ----------
    path : str
        Its name in the group: "0", "1" ...
    shape, chunks : tuple[int, ...]
        In samples, along the image's axes. A chunk is a shard.
    head_bytes : int
        How many bytes of a shard to ask for first: its head and first picture.
    """

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    head_bytes: int = DEFAULT_HEAD_BYTES

    @property
    def grid(self) -> tuple[int, ...]:
        """Shards along each axis."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))


@dataclass(frozen=True, slots=True)
class ShardRef:
    """A shard under a region, and what of it the region shows.

    Attributes
    ----------
    key : str
        Its object, from the image's root: "0/c/0/3/1".
    array : int
    level : int
        Level inside the shard.
    region : Region
        Samples of that level, from the shard's corner.
    y, x : int
        Where they land, from the asked region's corner.
    """

    key: str
    array: int
    level: int
    region: Region
    y: int
    x: int


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """Everything that is known of an image before any of its samples are read.

    Attributes
    ----------
    name : str
    axes : tuple[str, ...]
        A subset of t, c, z, y, x in this order; y and x always.
    dtype : str
        "uint8", "int8", "uint16" or "int16".
    rgb : bool
        The three components of c are one colour and share their shards.
    arrays : tuple[ArrayLayout, ...]
        The pyramid, finest first.
    channels : tuple[Channel, ...]
        One for each c (three if `rgb`, one without a c axis).
    pixel_size : Mapping[str, (float, str)]
        Size and unit of a level-0 sample along an axis, where known. The unit is one of OME-Zarr's ("micrometer"), or
        "" where only the number is known.
    thumbnail : str or None
        A small picture as data URI, for instant paint.
    source : str or None
        What the image was made from.
    stored_bytes : int or None
        Bytes of all shards together.

    Raises
    ------
    LayoutError
        When the parts contradict each other.
    """

    name: str
    axes: tuple[str, ...]
    dtype: str
    rgb: bool
    arrays: tuple[ArrayLayout, ...]
    channels: tuple[Channel, ...]
    pixel_size: Mapping[str, tuple[float, str]]
    thumbnail: str | None = None
    source: str | None = None
    stored_bytes: int | None = None

    def __post_init__(self) -> None:
        sizes = {a: (float(s), u) for a, (s, u) in self.pixel_size.items() if (s, u) != (1, "")}
        object.__setattr__(self, "pixel_size", sizes)
        _check(self)

    # -- making ----------------------------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        name: str,
        axes: Sequence[str],
        shape: Sequence[int],
        dtype: str,
        *,
        rgb: bool = False,
        chunk: int = geometry.DEFAULT_CHUNK,
        channels: Sequence[Channel] = (),
        pixel_size: Mapping[str, tuple[float, str]] | None = None,
        thumbnail: str | None = None,
        source: str | None = None,
    ) -> "ImageLayout":
        """The layout of a new image: its pyramid, its chunks, and default channels where none are given.

        Parameters
        ----------
        axes, shape
            Of full resolution.
        chunk : int
            A shard holds at most chunk x chunk samples (see `geometry.chunk_shape`); a multiple of 8.

        Raises
        ------
        LayoutError
            When the arguments contradict each other.
        """
        axes, shape = tuple(axes), tuple(int(n) for n in shape)
        if len(axes) != len(shape) or len(axes) < 2:
            raise LayoutError(f"{name}: expected one size for each axis, found axes {axes} and shape {shape}")
        if dtype not in DTYPES:
            raise LayoutError(f"{name}: data type: expected one of {', '.join(DTYPES)}, found {dtype}")
        try:
            sizes = geometry.pyramid(shape[-2], shape[-1], chunk)
        except ValueError as error:
            raise LayoutError(f"{name}: {error}") from None
        arrays = []
        for level, (height, width) in enumerate(sizes):
            leading = (3 if a == "c" and rgb else 1 for a in axes[:-2])
            chunks = (*leading, *geometry.chunk_shape(height, width, chunk))
            arrays.append(ArrayLayout(str(level), (*shape[:-2], height, width), chunks))
        count = dict(zip(axes, shape, strict=True)).get("c", 1)
        return cls(
            name=name,
            axes=axes,
            dtype=dtype,
            rgb=rgb,
            arrays=tuple(arrays),
            channels=tuple(channels) or default_channels(count, dtype, rgb),
            pixel_size=dict(pixel_size or {}),
            thumbnail=thumbnail,
            source=source,
        )

    def with_head_bytes(self, head_bytes: Sequence[int]) -> "ImageLayout":
        """The same image with `head_bytes[n]` for array n."""
        arrays = (replace(a, head_bytes=n) for a, n in zip(self.arrays, head_bytes, strict=True))
        return replace(self, arrays=tuple(arrays))

    # -- sizes -----------------------------------------------------------------------------------------------------

    def size(self, axis: str) -> int:
        """Samples along `axis` at full resolution; 1 where the image has no such axis."""
        return self.arrays[0].shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of full resolution, along `axes`."""
        return self.arrays[0].shape

    @property
    def height(self) -> int:
        return self.shape[-2]

    @property
    def width(self) -> int:
        return self.shape[-1]

    @property
    def components(self) -> int:
        """Components of a shard: 3 for colour, else 1."""
        return 3 if self.rgb else 1

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """Shape of every level, finest first; the coarsest has at most 4 samples a side."""
        count = geometry.level_count(self.height, self.width, len(self.arrays))
        return tuple((*self.shape[:-2], *geometry.level_size(self.height, self.width, k)) for k in range(count))

    def level_size(self, level: int) -> tuple[int, int]:
        """(height, width) of a level."""
        return geometry.level_size(self.height, self.width, level)

    # -- shards ----------------------------------------------------------------------------------------------------

    def shard_key(self, array: int, index: Sequence[int]) -> str:
        """Object of the shard at chunk `index` (along `axes`) of an array: Zarr's default chunk key encoding."""
        return "/".join((self.arrays[array].path, "c", *map(str, index)))

    def array_key(self, array: int) -> str:
        """Object of an array's own metadata."""
        return f"{self.arrays[array].path}/{METADATA_KEY}"

    def shards(self, level: int, region: Region, *, t: int = 0, z: int = 0, c: int = 0) -> list[ShardRef]:
        """The shards under a region of an image level, row-major.

        Parameters
        ----------
        level : int
            Of the image.
        region : Region
            In samples of that level; what lies outside the image is left out.
        t, z, c : int
            The plane. `c` makes no difference in colour images.

        Raises
        ------
        LayoutError
            When the level or the plane does not exist.
        """
        count = geometry.level_count(self.height, self.width, len(self.arrays))
        plane = {"t": t, "z": z, "c": c}
        for what, value, end in [("level", level, count), *((a, v, self.size(a)) for a, v in plane.items())]:
            if not 0 <= value < end:
                raise LayoutError(f"{self.name}: {what}: expected 0 to {end - 1}, found {value}")
        if self.rgb:
            plane["c"] = 0
        n, shard_level = geometry.array_of_level(level, len(self.arrays))
        array = self.arrays[n]
        parts = geometry.shards_under(
            region, shard_level, (array.shape[-2], array.shape[-1]), (array.chunks[-2], array.chunks[-1])
        )
        leading = [plane[a] for a in self.axes[:-2]]
        return [
            ShardRef(self.shard_key(n, [*leading, p.row, p.column]), n, shard_level, p.region, p.y, p.x) for p in parts
        ]

    # -- JSON ------------------------------------------------------------------------------------------------------

    def array_json(self, array: int) -> JSON:
        """The `zarr.json` of one array, keys in zarr-python's order."""
        a = self.arrays[array]
        return {
            "shape": list(a.shape),
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(a.chunks)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [
                {
                    "name": CODEC,
                    "configuration": {"version": FORMAT_VERSION, "codec": "wavelet", "head_bytes": a.head_bytes},
                }
            ],
            "attributes": {},
            "dimension_names": list(self.axes),
            "zarr_format": 3,
            "node_type": "array",
            "storage_transformers": [],
        }

    def to_json(self) -> JSON:
        """The root `zarr.json`, the metadata of all arrays inside."""
        own: JSON = {"version": FORMAT_VERSION}
        if self.thumbnail is not None:
            own["thumbnail"] = self.thumbnail
        if self.source is not None:
            own["source"] = self.source
        if self.stored_bytes is not None:
            own["stored_bytes"] = self.stored_bytes
        return {
            "attributes": {
                "ome": {
                    "version": OME_VERSION,
                    "multiscales": [
                        {
                            "name": self.name,
                            "axes": [self._axis_json(a) for a in self.axes],
                            "datasets": [self._dataset_json(n) for n in range(len(self.arrays))],
                        }
                    ],
                    "omero": {
                        "channels": [_channel_json(c) for c in self.channels],
                        "rdefs": {"model": "color"},
                    },
                },
                "firstlight": own,
            },
            "zarr_format": 3,
            "consolidated_metadata": {
                "kind": "inline",
                "must_understand": False,
                "metadata": {a.path: self.array_json(n) for n, a in enumerate(self.arrays)},
            },
            "node_type": "group",
        }

    def _axis_json(self, axis: str) -> JSON:
        unit = self.pixel_size.get(axis, (1.0, ""))[1]
        return {"name": axis, "type": AXIS_TYPES[axis], **({"unit": unit} if unit else {})}

    def _dataset_json(self, array: int) -> JSON:
        # Only scales: OME-Zarr's coordinates are those of sample centres, and sample i of a coarser level sits on a
        # sample of the finer one (geometry.py), so the translation is zero.
        step = geometry.ARRAY_STEP**array
        scale = [self.pixel_size.get(a, (1.0, ""))[0] * (step if a in "yx" else 1) for a in self.axes]
        return {"path": self.arrays[array].path, "coordinateTransformations": [{"type": "scale", "scale": scale}]}

    @classmethod
    def from_json(cls, document: object, path: str = METADATA_KEY) -> "ImageLayout":
        """The layout that a root `zarr.json` describes.

        Parameters
        ----------
        document
            The parsed JSON.
        path : str
            Where it came from, for error messages.

        Raises
        ------
        LayoutError
            Names `path`, the field, what was expected and what was found.
        """
        return _parse(_Field(document, path, ""))


def default_channels(count: int, dtype: str, rgb: bool) -> tuple[Channel, ...]:
    """Channels for an image that says nothing of them: the data type's whole range; the first eight shown."""
    limits = DTYPE_LIMITS[dtype]
    if rgb:
        return tuple(Channel(label, color, limits, limits) for label, color in _RGB)
    if count == 1:
        return (Channel("0", "#ffffff", limits, limits),)
    colours = _CHANNEL_COLOURS
    return tuple(Channel(str(n), colours[n % len(colours)], limits, limits, n < len(colours)) for n in range(count))


def _number(value: float) -> float:
    """Whole numbers are written without a decimal point."""
    return int(value) if float(value).is_integer() else float(value)


def _channel_json(channel: Channel) -> JSON:
    (lo, hi), (least, greatest) = channel.window, channel.limits
    return {
        "label": channel.label,
        "color": channel.color[1:].upper(),
        "active": channel.active,
        "window": {"min": _number(least), "max": _number(greatest), "start": _number(lo), "end": _number(hi)},
    }


def _check(layout: ImageLayout) -> None:
    """The rules that hold for every layout, written or read."""

    def refuse(field: str, expected: str, found: object) -> NoReturn:
        raise LayoutError(f"{layout.name}: {field}: expected {expected}, found {found}")

    axes = layout.axes
    if axes[-2:] != ("y", "x") or axes != tuple(a for a in AXES if a in axes):
        refuse("axes", "a subset of t, c, z, y, x in this order with y and x", axes)
    if layout.dtype not in DTYPES:
        refuse("data type", f"one of {', '.join(DTYPES)}", layout.dtype)
    if not layout.arrays:
        refuse("arrays", "at least one", "none")
    if layout.rgb and layout.size("c") != 3:
        refuse("shape", "3 components in c for a colour image", layout.shape)
    if any(n < 1 for n in layout.shape):
        refuse("shape", "at least 1 sample along every axis", layout.shape)
    if len(layout.channels) != layout.size("c"):
        refuse("channels", f"{layout.size('c')}, one for each c", len(layout.channels))
    for n, channel in enumerate(layout.channels):
        if not _COLOUR.fullmatch(channel.color):
            refuse(f"channels[{n}].color", "#rrggbb", channel.color)
        if not all(map(math.isfinite, (*channel.window, *channel.limits))):
            refuse(f"channels[{n}].window", "finite numbers", (channel.window, channel.limits))
        if channel.window[0] >= channel.window[1] or channel.limits[0] > channel.limits[1]:
            refuse(f"channels[{n}].window", "lo < hi", (channel.window, channel.limits))
    for axis, (size, _) in layout.pixel_size.items():
        if axis not in axes or axis == "c":
            refuse("pixel_size", f"axes among {axes} other than c", axis)
        if not (math.isfinite(size) and size > 0):
            refuse(f"pixel_size[{axis}]", "a finite number > 0", size)
    if layout.thumbnail is not None and not layout.thumbnail.startswith("data:image/"):
        refuse("thumbnail", "a data URI of an image", layout.thumbnail[:20])
    _check_pyramid(layout, refuse)


def _check_pyramid(layout: ImageLayout, refuse: Any) -> None:
    previous: tuple[int, int] | None = None
    sides = layout.arrays[0].chunks[-2:]
    for n, array in enumerate(layout.arrays):
        field = f"array {array.path}"
        if array.path != str(n):
            refuse(field, f"name {n}", array.path)
        if len(array.shape) != len(layout.axes) or len(array.chunks) != len(layout.axes):
            refuse(field, f"{len(layout.axes)} axes", f"shape {array.shape}, chunks {array.chunks}")
        height, width = array.shape[-2:]
        wanted = (height, width) if previous is None else geometry.level_size(*previous, geometry.LEVELS_PER_ARRAY)
        if array.shape != (*layout.shape[:-2], *wanted):
            refuse(f"{field} shape", str((*layout.shape[:-2], *wanted)), array.shape)
        for axis, length, chunk in zip(layout.axes, array.shape, array.chunks, strict=True):
            if axis in "yx":
                joins = chunk >= length or chunk % geometry.ARRAY_STEP == 0
                if not 1 <= chunk <= geometry.MAX_SHARD_SIDE or not joins:
                    refuse(f"{field} chunks", f"a multiple of {geometry.ARRAY_STEP} or all of {axis}", array.chunks)
            elif chunk != (3 if axis == "c" and layout.rgb else 1):
                refuse(f"{field} chunks", f"{3 if axis == 'c' and layout.rgb else 1} in {axis}", array.chunks)
        if array.head_bytes < 1:
            refuse(f"{field} head_bytes", "at least 1", array.head_bytes)
        previous = (height, width)
    last = layout.arrays[-1]
    if last.grid[-2:] != (1, 1):
        refuse("arrays", "a last array of one shard in y and x", f"{last.grid[-2:]} shards of {sides}")


# -- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Field:
    """A value in a JSON document that knows where it is."""

    value: object
    path: str
    at: str

    def refuse(self, expected: str) -> NoReturn:
        found = json.dumps(self.value, default=str)
        where = f"{self.path}: {self.at}" if self.at else self.path
        raise LayoutError(f"{where}: expected {expected}, found {found[:60]}{'...' if len(found) > 60 else ''}")

    def get(self, key: str) -> "_Field":
        """A member; a missing one has the value None."""
        if not isinstance(self.value, dict):
            self.refuse("an object")
        return _Field(self.value.get(key), self.path, f"{self.at}.{key}" if self.at else key)

    def items(self) -> "list[_Field]":
        if not isinstance(self.value, list):
            self.refuse("a list")
        return [_Field(value, self.path, f"{self.at}[{n}]") for n, value in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str):
            self.refuse("a string")
        return self.value

    def number(self) -> float:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not math.isfinite(self.value):
            self.refuse("a finite number")
        return self.value

    def integer(self) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            self.refuse("an integer")
        return self.value

    def integers(self) -> tuple[int, ...]:
        return tuple(f.integer() for f in self.items())

    def optional_text(self) -> str | None:
        return None if self.value is None else self.text()

    def expect(self, value: object) -> None:
        if self.value != value or isinstance(self.value, bool) != isinstance(value, bool):
            self.refuse(json.dumps(value))


def _parse(root: _Field) -> ImageLayout:
    root.get("zarr_format").expect(3)
    root.get("node_type").expect("group")
    attributes = root.get("attributes")
    own = attributes.get("firstlight")
    if own.value is None:
        own.refuse("the metadata of a firstlight image")
    own.get("version").expect(FORMAT_VERSION)
    ome = attributes.get("ome")
    ome.get("version").expect(OME_VERSION)
    multiscales = ome.get("multiscales").items()
    if len(multiscales) != 1:
        ome.get("multiscales").refuse("one multiscale")
    axes, units = _parse_axes(multiscales[0].get("axes"))
    metadata = root.get("consolidated_metadata").get("metadata")
    arrays, dtypes, scales = [], [], []
    datasets = multiscales[0].get("datasets").items()
    if not datasets:
        multiscales[0].get("datasets").refuse("at least one dataset")
    for dataset in datasets:
        name = dataset.get("path").text()
        array, dtype = _parse_array(metadata.get(name), name, axes)
        arrays.append(array)
        dtypes.append(dtype)
        if dtype != dtypes[0]:
            metadata.get(name).get("data_type").refuse(dtypes[0])
        scales.append(_parse_scale(dataset, len(axes)))
    stored = own.get("stored_bytes")
    rgb = "c" in axes and arrays[0].chunks[axes.index("c")] == 3
    pixel_size = {a: (s, u) for a, s, u in zip(axes, scales[0], units, strict=True) if a != "c"}
    try:
        return ImageLayout(
            name=multiscales[0].get("name").optional_text() or "image",
            axes=axes,
            dtype=dtypes[0],
            rgb=rgb,
            arrays=tuple(arrays),
            channels=tuple(_parse_channel(c) for c in ome.get("omero").get("channels").items()),
            pixel_size=pixel_size,
            thumbnail=own.get("thumbnail").optional_text(),
            source=own.get("source").optional_text(),
            stored_bytes=None if stored.value is None else stored.integer(),
        )
    except LayoutError as error:
        # The rules between fields know the image's name only.
        message = str(error)
        raise (error if message.startswith(root.path) else LayoutError(f"{root.path}: {message}")) from None


def _parse_axes(field: _Field) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names, units = [], []
    for axis in field.items():
        name = axis.get("name")
        if name.value not in AXES:
            name.refuse("one of t, c, z, y, x")
        axis.get("type").expect(AXIS_TYPES[name.text()])
        names.append(name.text())
        units.append(axis.get("unit").optional_text() or "")
    return tuple(names), tuple(units)


def _parse_scale(dataset: _Field, axes: int) -> tuple[float, ...]:
    transforms = dataset.get("coordinateTransformations").items()
    if not transforms:
        dataset.get("coordinateTransformations").refuse("a scale")
    transforms[0].get("type").expect("scale")
    scale = transforms[0].get("scale")
    numbers = tuple(f.number() for f in scale.items())
    if len(numbers) != axes:
        scale.refuse(f"{axes} numbers")
    return numbers


def _parse_array(field: _Field, name: str, axes: tuple[str, ...]) -> tuple[ArrayLayout, str]:
    field.get("zarr_format").expect(3)
    field.get("node_type").expect("array")
    dtype = field.get("data_type")
    if dtype.value not in DTYPES:
        dtype.refuse(f"one of {', '.join(DTYPES)}")
    grid, keys = field.get("chunk_grid"), field.get("chunk_key_encoding")
    grid.get("name").expect("regular")
    keys.get("name").expect("default")
    if keys.get("configuration").value is not None:
        separator = keys.get("configuration").get("separator")
        if separator.value not in ("/", None):
            separator.refuse('"/"')
    field.get("fill_value").expect(0)
    field.get("dimension_names").expect(list(axes))
    codecs = field.get("codecs").items()
    if len(codecs) != 1:
        field.get("codecs").refuse(f"only {CODEC}")
    codecs[0].get("name").expect(CODEC)
    configuration = codecs[0].get("configuration")
    configuration.get("version").expect(FORMAT_VERSION)
    shape, chunks = field.get("shape").integers(), grid.get("configuration").get("chunk_shape").integers()
    if len(shape) != len(axes):
        field.get("shape").refuse(f"{len(axes)} numbers")
    if len(chunks) != len(axes):
        grid.get("configuration").get("chunk_shape").refuse(f"{len(axes)} numbers")
    head_bytes = configuration.get("head_bytes")
    count = DEFAULT_HEAD_BYTES if head_bytes.value is None else head_bytes.integer()
    return ArrayLayout(name, shape, chunks, count), dtype.text()


def _parse_channel(field: _Field) -> Channel:
    window = field.get("window")
    active, color = field.get("active"), field.get("color").text()
    if active.value not in (None, True, False):
        active.refuse("true or false")
    if not re.fullmatch(r"[0-9A-Fa-f]{6}", color):
        field.get("color").refuse("six hexadecimal digits")
    return Channel(
        label=field.get("label").optional_text() or "",
        color="#" + color.lower(),
        window=(window.get("start").number(), window.get("end").number()),
        limits=(window.get("min").number(), window.get("max").number()),
        active=active.value is not False,
    )
