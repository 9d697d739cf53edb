"""C kernels: shard heads and the wavelet segment codec (see kernels/firstlight.h, SPEC.md)."""

from typing import Any

# Everything that takes bytes takes any C-contiguous buffer. A status other than FL_OK raises: FL_INSUFFICIENT
# InsufficientData, FL_CORRUPT CorruptData, FL_INVALID InvalidArgument, FL_UNSUPPORTED UnsupportedFormat, each from
# firstlight.codecs.errors. The GIL is released while kernels run.

class Tile:
    """Coefficients of a tile, component after component: a read-only buffer."""

    @property
    def wide(self) -> bool:
        """Whether they are int32; else int16."""
    @property
    def nbytes(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

def parse_head(data: Any, groups: int = 5) -> tuple[bytes, bytes, bytes]:
    """(raw fl_info, raw uint32 offsets[segments + 1], raw uint16 value table) of a shard that begins with `data`."""

def head_size(data: Any) -> int:
    """Bytes of the head that starts with `data` (12 bytes are enough to tell); 0 when it can't be told yet."""

def plan_head(
    width: int,
    height: int,
    components: int,
    bits: int,
    is_signed: bool,
    colour: int,
    transform: int,
    values: int,
    layers: int = 1,
    group_starts: tuple[int, ...] = (),
) -> bytes:
    """Raw fl_info with the encoder's geometry (errors zero); group_starts: first layers of groups 1, 2, ..."""

def write_head(info: Any, values: Any, lengths: Any) -> bytes:
    """A head from raw fl_info, its uint16 value table (None where there is none) and uint32 lengths[segments]."""

def crc32c(data: Any) -> int: ...
def set_mse(info: Any, mse: Any) -> bytes:
    """Raw fl_info with level[k].mse[n] = the code of float64 mse[k][n], (levels + 1) x 25."""

def set_errors(info: Any, planes: Any, reports: Any, values: Any) -> bytes:
    """Raw fl_info with the error table set from transformed planes, all tiles' reports and the value table, if any."""

def set_measured(info: Any, layers: Any, apart: Any, values: Any) -> bytes:
    """Raw fl_info with level[k].measured[layers[i]] = apart[i][k] (uint32, (layers, 3)), in units of samples."""

def forward(info: Any, samples: Any, strides: tuple[int, ...], planes: Any) -> None:
    """Colour and wavelet transform of a whole shard; strides in samples; planes: int32 (c, height, width), written."""

# Of samples: a buffer that begins with the first one, bytes of one, whether they are signed, (components, height,
# width), and their strides in samples, none negative. Item i of `seen`, `counts`, `places` is of the value low + i;
# others are passed over.

def mark_values(
    samples: Any,
    size: int,
    is_signed: bool,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    low: int,
    seen: Any,
    enough: int,
) -> int:
    """Set bytes of `seen` to 1 where a value occurs; how many are 1, or `enough` + 1 as soon as they are more."""

def count_values(
    samples: Any, size: int, is_signed: bool, shape: tuple[int, ...], strides: tuple[int, ...], low: int, counts: Any
) -> None:
    """Add to the uint32 `counts` how often each value occurs."""

def place_values(
    samples: Any,
    size: int,
    is_signed: bool,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    low: int,
    places: Any,
    out: Any,
) -> None:
    """Write the uint16 `places` of all samples into `out`, one after the other, as large as samples are."""

def details(info: Any, samples: Any, strides: tuple[int, ...], starts: Any) -> bytes:
    """How large the details of blocks are that begin at the uint64 `starts`, in samples; a head planned for one block.

    Raw uint32 counts of cells by code (fl_wavelet_details of kernels/firstlight.h).
    """

def encode_tiles(info: Any, layering: Any, planes: Any, tiles: Any) -> tuple[bytes, bytes, bytes]:
    """Encode many tiles: uint32 rows (level, tile in raster order), by a raw fl_layering.

    (the segments, tile after tile and layer after layer; their lengths, uint32 tiles x 24; raw fl_tile_report[tiles])
    """

def decode_tiles(
    info: Any, tiles: Any, offsets: Any, where: Any, at: Any, buffers: list[memoryview]
) -> list[Tile | None]:
    """Decode many tiles: uint32 rows (level, tile in raster order, number of layers, bytes of the next). None: corrupt.

    offsets: uint32[segments + 1]. Segment s is in buffers[where[s]] (int32) from at[s] (uint32) on; empty ones are not
    looked for.
    """

def trim_tile(info: Any, level: int, tile: int, columns: int, rows: int, decoded: Tile) -> Tile:
    """A copy without the first columns and rows of each band; itself where none would be left, or some are missing."""

def synthesize(
    info: Any,
    level: int,
    x: int,
    y: int,
    width: int,
    height: int,
    tiles: list[Tile | None],
    values: Any,
    samples: Any,
    place: tuple[int, ...],
) -> None:
    """Inverse transform of a region of a level into `samples` (a writable buffer).

    tiles[level.first_tile + tile]: coefficients, or None where nothing is known. place: offset of the first sample,
    strides from component to component, row to row, sample to sample; in samples.
    """

def measure(
    info: Any,
    planes: Any,
    reports: Any,
    samples: Any,
    strides: tuple[int, ...],
    layers: Any,
    first: int,
    height: int,
) -> bytes:
    """How far pictures of the three finest levels are off, in `height` rows of level 0 from `first` on.

    They have of every level the first layers[i] (uint32) layers and no others: raw uint32 (layers, 3), in units of
    coded samples.
    samples, strides, planes: as for `forward`. The layering has these numbers of layers whole.
    """
