"""C kernels: shard heads and the wavelet segment codec (see kernels/firstlight.h, SPEC.md)."""

from collections.abc import Sequence
from typing import Any

# Everything that takes bytes takes any C-contiguous buffer. A status other than FL_OK raises: FL_INSUFFICIENT
# InsufficientData, FL_CORRUPT CorruptData, FL_INVALID InvalidArgument, FL_UNSUPPORTED UnsupportedFormat, each from
# firstlight.codecs.errors. The GIL is released while kernels run.

def parse_head(data: Any) -> tuple[bytes, bytes, bytes]:
    """(raw fl_info, raw uint32 offsets[segments + 1], raw uint16 value table) of a shard that begins with `data`."""

def head_size(data: Any) -> int:
    """Bytes of the head that starts with `data` (12 bytes are enough to tell); 0 when it can't be told yet."""

def plan_head(
    width: int, height: int, components: int, bits: int, is_signed: bool, colour: int, transform: int, values: int
) -> bytes:
    """Raw fl_info with the encoder's defaults (cuts and errors zero)."""

def write_head(info: Any, values: Any, lengths: Any) -> bytes:
    """A head from raw fl_info, its uint16 value table (None where there is none) and uint32 lengths[segments]."""

def crc32c(data: Any) -> int: ...
def set_cuts(info: Any, cuts: bytes) -> bytes:
    """Raw fl_info with cut[component][level][layer] = cuts, uint8, components x levels x layers (levels 0 .. L-1)."""

def forward(info: Any, samples: Any, stride_c: int, stride_y: int, stride_x: int, planes: Any) -> None:
    """Colour and wavelet transform of a whole shard; strides in samples; planes: int32 (c, height, width), written."""

def level_errors(info: Any, planes: Any, values: Any) -> bytes:
    """Raw fl_info with the error table set from its cuts, the transformed planes and the value table, if any."""

def encode_tile(info: Any, component: int, level: int, tile_x: int, tile_y: int, planes: Any) -> tuple[bytes, ...]:
    """The tile's segments, one a layer."""

def tile_size(info: Any, level: int, tile_x: int, tile_y: int) -> int:
    """int32 coefficients of the tile (one component)."""

def decode_tile(
    info: Any, component: int, level: int, tile_x: int, tile_y: int, segments: Sequence[Any], coefs: Any
) -> None:
    """Decode the first len(segments) layers of a tile into coefs (int32, tile_size)."""

def synthesize(
    info: Any,
    level: int,
    x: int,
    y: int,
    width: int,
    height: int,
    tiles: Sequence[Any],
    values: Any,
    samples: Any,
    offset: int,
    stride_c: int,
    stride_y: int,
    stride_x: int,
) -> None:
    """Inverse transform of a region of a level into `samples` (a writable buffer; offset and strides in samples).

    tiles[component + components * (level.first_tile + tile)]: int32 coefficients, or None where unknown.
    """
