"""The Zarr v3 codec `firstlight_shard`: one chunk, one shard, read by byte ranges.

Only ranged gets are issued: one for the head (a second if it is longer than `head_bytes`), then the ranges that the
selection needs, together. zarr-python 3.1 and later.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
from zarr.abc.store import RangeByteRequest

from . import shard
from .errors import CodecError, CorruptData, InsufficientData
from .index import FIXED_BYTES, FORMAT_VERSION, Index, Region, head_size
from .select import choose_layers, merge_ranges, segments_for
from .wavelet import DTYPES

NAME = "firstlight_shard"
HEAD_BYTES = 65536

# Bytes between two ranges that are cheaper to read than another request is.
GAP = 16 << 10

MAX_SIDE = 65536


@dataclass(frozen=True)
class FirstlightShardCodec(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):  # type: ignore[misc, unused-ignore]
    """Array-to-bytes codec: every chunk is one shard.

    Chunks are (..., height, width) with leading axes of length 1, one of which may have length 3: colour. A shard may
    be smaller than its chunk; what lies outside is the fill value. Use no other codec with it: partial reads would stop
    working.

    Parameters
    ----------
    version : int
        Of the shard format.
    codec : str
        The segment codec for new chunks; a chunk that is read says itself how it was written.
    head_bytes : int
        How much to read at first, or 80 if that is more: ideally the longest head in the array.

    Examples
    --------
    >>> zarr.create_array(store, shape=(5000, 5000), chunks=(4096, 4096), dtype="uint16",
    ...                   serializer=FirstlightShardCodec(), filters=None, compressors=None)
    """

    version: int = FORMAT_VERSION
    codec: str = "wavelet"
    head_bytes: int = HEAD_BYTES

    is_fixed_size = False

    def __post_init__(self) -> None:
        if self.version != FORMAT_VERSION:
            raise ValueError(f"{NAME}: version {self.version!r}, this build reads and writes version {FORMAT_VERSION}")
        if self.codec not in shard.CODECS:
            raise ValueError(f"{NAME}: codec {self.codec!r}, expected one of {list(shard.CODECS)}")
        if not isinstance(self.head_bytes, int) or self.head_bytes < 1:
            raise ValueError(f"{NAME}: head_bytes {self.head_bytes!r}, expected a positive integer")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        configuration = dict(data.get("configuration") or {})
        unknown = configuration.keys() - {"version", "codec", "head_bytes"}
        if data.get("name") != NAME or unknown:
            raise ValueError(f"{NAME}: cannot read {dict(data)!r}: unknown {sorted(unknown) or 'name'}")
        return cls(**configuration)

    def to_dict(self) -> dict[str, Any]:
        configuration = {"version": self.version, "codec": self.codec, "head_bytes": self.head_bytes}
        return {"name": NAME, "configuration": configuration}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        native = dtype.to_native_dtype()
        if native.newbyteorder("=") not in DTYPES:
            raise ValueError(f"{NAME}: dtype {native}, expected one of {', '.join(map(str, DTYPES))}")
        # A grid of another kind has chunks of many shapes: each is checked as it comes.
        if chunk := getattr(chunk_grid, "chunk_shape", None):
            _component_axis(tuple(chunk))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        raise NotImplementedError(f"{NAME}: the size of a shard depends on its contents")

    # ---- whole chunks --------------------------------------------------------------------------------------------

    async def _encode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        planes = _planes(chunk_data.as_numpy_array())
        data = await asyncio.to_thread(shard.encode_planes, _trimmed(planes, _fill(chunk_spec)), self.codec)
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        data = memoryview(chunk_data.as_numpy_array()).cast("B")
        index = Index.parse(data)
        decoder = shard.Decoder(index)
        decoder.feed(0, data)
        box = tuple(slice(0, n) for n in chunk_spec.shape)
        picture = await asyncio.to_thread(_decode_box, decoder, box, chunk_spec)
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(picture)

    # ---- parts of chunks -----------------------------------------------------------------------------------------

    async def _decode_partial_single(self, byte_getter: Any, selection: Any, chunk_spec: Any) -> Any:
        name = f"chunk {byte_getter}"
        prototype = chunk_spec.prototype

        async def fetch(offset: int, length: int) -> bytes | None:
            """Up to `length` bytes; None when there is no such object."""
            request = RangeByteRequest(offset, offset + length)
            found = await byte_getter.get(prototype=prototype, byte_range=request)
            return None if found is None else found.to_bytes()

        asked = max(self.head_bytes, FIXED_BYTES)
        head = await fetch(0, asked)
        if head is None:
            return None
        try:
            missing = head_size(head) - len(head)
            if missing > 0 and len(head) == asked:
                head += await fetch(len(head), missing) or b""
            index = Index.parse(head)
            decoder = shard.Decoder(index)
            decoder.feed(0, head)
            box, inside = _bounding_box(selection, chunk_spec.shape)
            region = _region(index, box, chunk_spec)
            if region:
                wanted = segments_for(index, 0, region, choose_layers(index, 0, region, 0))
                ranges = merge_ranges(
                    ((int(index.offsets[s]), index.length(s)) for s in wanted if not decoder.has(s)), GAP
                )
                for (offset, length), data in zip(
                    ranges, await asyncio.gather(*(fetch(*byte_range) for byte_range in ranges)), strict=True
                ):
                    if data is None or len(data) != length:
                        came = "nothing" if data is None else f"{len(data)} bytes"
                        raise InsufficientData(f"bytes {offset} to {offset + length}: {length} expected, {came} came")
                    decoder.feed(offset, data)
            picture = await asyncio.to_thread(_decode_box, decoder, box, chunk_spec)
        except CodecError as error:
            raise type(error)(f"{name}: {error}") from error
        return prototype.nd_buffer.from_ndarray_like(np.asarray(picture[inside]))


def _component_axis(chunk: tuple[int, ...]) -> int | None:
    """The axis of length 3 among the leading ones; None for a single component."""
    if len(chunk) < 2:
        raise ValueError(f"{NAME}: chunks of shape {chunk}, expected at least (height, width)")
    if not all(1 <= n <= MAX_SIDE for n in chunk[-2:]):
        raise ValueError(f"{NAME}: chunks of shape {chunk}: height and width must be 1 to {MAX_SIDE}")
    long = [axis for axis, n in enumerate(chunk[:-2]) if n != 1]
    if not long:
        return None
    if len(long) > 1 or chunk[long[0]] != 3:
        raise ValueError(
            f"{NAME}: chunks of shape {chunk}: before height and width all axes must have length 1, "
            "or all but one of length 3 (colour)"
        )
    return long[0]


def _planes(chunk: NDArray[Any]) -> NDArray[Any]:
    """A chunk as (components, height, width): only axes of length 1 vanish."""
    _component_axis(chunk.shape)
    return chunk.reshape(-1, *chunk.shape[-2:])


def _fill(chunk_spec: Any) -> Any:
    """The fill value; Zarr's default is 0."""
    return 0 if chunk_spec.fill_value is None else chunk_spec.fill_value


def _trimmed(planes: NDArray[Any], fill: Any) -> NDArray[Any]:
    """Without the trailing rows and columns that hold nothing but the fill value; at least 1 x 1."""
    used = (planes != fill).any(axis=0)
    rows, columns = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
    if not len(rows):
        return planes[:, :1, :1]
    return planes[:, : rows[-1] + 1, : columns[-1] + 1]


def _region(index: Index, box: Sequence[slice], chunk_spec: Any) -> Region | None:
    """The part of `box` that the shard itself holds."""
    chunk = chunk_spec.shape
    components = 1 if _component_axis(chunk) is None else 3
    dtype = chunk_spec.dtype.to_native_dtype().newbyteorder("=")
    if index.components != components or index.dtype != dtype or index.height > chunk[-2] or index.width > chunk[-1]:
        raise CorruptData(
            f"a shard of {index.components} x {index.height} x {index.width} {index.dtype}, "
            f"expected {components} x at most {chunk[-2]} x {chunk[-1]} {dtype}"
        )
    y, x = box[-2:]
    height, width = min(y.stop, index.height) - y.start, min(x.stop, index.width) - x.start
    if height < 1 or width < 1 or any(part.start == part.stop for part in box):
        return None
    return y.start, x.start, height, width


def _decode_box(decoder: shard.Decoder, box: Sequence[slice], chunk_spec: Any) -> NDArray[Any]:
    """The samples of a box of the chunk, padded with the fill value, in the array's dtype."""
    region = _region(decoder.index, box, chunk_spec)
    shape = tuple(part.stop - part.start for part in box)
    native = chunk_spec.dtype.to_native_dtype()
    picture = np.full(shape, _fill(chunk_spec), native.newbyteorder("="))
    if region:
        part = picture.reshape(-1, *shape[-2:])[:, : region[2], : region[3]]
        axis = _component_axis(chunk_spec.shape)
        if axis is None:
            decoder.decode(0, region, out=part[0])
        elif len(part) == 3:
            decoder.decode(0, region, out=np.moveaxis(part, 0, 2))
        else:  # colour is decoded whole: its components depend on each other
            part[...] = np.moveaxis(decoder.decode(0, region), 2, 0)[box[axis]]
    return picture.astype(native, copy=False)


def _bounding_box(selection: Any, shape: Sequence[int]) -> tuple[tuple[slice, ...], tuple[Any, ...]]:
    """The smallest box that contains ``chunk[selection]``, and the selection within it.

    Takes what numpy takes, but for np.newaxis: slices with any step, integers, arrays of integers or booleans.
    """
    parts: list[Any] = []
    for part in selection if isinstance(selection, tuple) else (selection,):
        if part is not Ellipsis and not isinstance(part, slice):
            array = np.asarray(part)
            parts += array.nonzero() if array.dtype == bool else [part]
        else:
            parts.append(part)
    at = next((n for n, part in enumerate(parts) if part is Ellipsis), len(parts))
    missing = len(shape) - len(parts) + (at < len(parts))
    parts[at : at + 1] = [slice(None)] * missing

    box, inside = [], []
    for part, length in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            chosen = range(*part.indices(length))
            low, high = (min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1) if chosen else (0, 0)
            # A descending range that ends at the box's first sample has no number for its stop.
            stop = chosen.stop - low
            moved: Any = slice(chosen.start - low, None if stop < 0 else stop, chosen.step) if chosen else slice(0, 0)
        else:
            indices = np.asarray(part)
            indices = np.where(indices < 0, indices + length, indices)
            low, high = (int(indices.min()), int(indices.max()) + 1) if indices.size else (0, 0)
            if low < 0 or high > length:
                raise IndexError(f"{NAME}: selection {part!r} leaves an axis of length {length}")
            moved = indices - low if indices.ndim else int(indices) - low
        box.append(slice(low, high))
        inside.append(moved)
    return tuple(box), tuple(inside)
