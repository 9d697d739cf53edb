"""Where samples are: levels, arrays, shards and regions of an image, as integers.

Owns the rules that map an image level to an array and a level inside its shards, and a region to the shards under it.
Knows nothing of axes other than y and x, of metadata, of codecs or of I/O.

Rules:
 - level k of an image is 1/2**k of it, ceil(n / 2**k) samples a side. Sample i of level k sits on sample i * 2**k of
   level 0: the wavelet's low-pass is symmetric about the even samples, so centres do not shift between levels;
 - array a of the pyramid is level 3 * a; a shard also holds the coarser levels of its own samples, so level k is read
   from array min(k // 3, last), at level k - 3 * array of its shards;
 - an array is one shard when its samples fit into one by their number, whatever its sides (`chunk_shape`);
 - arrays are added until the last one is one shard: a deeper level is always in one shard;
 - a region is (y, x, height, width), in samples of the level that is asked for.
"""

from dataclasses import dataclass
from typing import TypeAlias

Region: TypeAlias = tuple[int, int, int, int]
"""(y, x, height, width) in samples of one level."""

LEVELS_PER_ARRAY = 3
ARRAY_STEP = 1 << LEVELS_PER_ARRAY
BASE_SIDE = 4
"""A shard's coarsest level has at most this many samples a side."""
MAX_SHARD_SIDE = 65536
DEFAULT_CHUNK = 4096
ZOOM_SLACK = 1e-3
"""Magnification that nobody sees: keeps a zoom of 0.5000001 from fetching the next finer level."""


def ceil_shift(n: int, shift: int) -> int:
    """ceil(n / 2**shift) for n >= 0."""
    return -(-n >> shift)


def level_size(height: int, width: int, level: int) -> tuple[int, int]:
    """(height, width) of `level` of an image or shard whose level 0 is `height` x `width`."""
    return ceil_shift(height, level), ceil_shift(width, level)


def shard_levels(height: int, width: int) -> int:
    """How often a shard of this size is halved: the least L for which ceil(max(height, width) / 2**L) <= 4."""
    level = 0
    while ceil_shift(max(height, width), level) > BASE_SIDE:
        level += 1
    return level


def chunk_shape(height: int, width: int, chunk: int) -> tuple[int, int]:
    """(height, width) of the shards of an array of this size.

    Parameters
    ----------
    chunk : int
        A shard holds at most chunk x chunk samples. An array of no more than that is one shard, unless a side is more
        than a shard may have; others are cut at every `chunk` samples of y and of x.

    Raises
    ------
    ValueError
        When `chunk` is out of 8..65536 or no multiple of 8 (shards must meet on samples of their level 3).
    """
    if not ARRAY_STEP <= chunk <= MAX_SHARD_SIDE or chunk % ARRAY_STEP:
        raise ValueError(
            f"chunk: expected a multiple of {ARRAY_STEP} from {ARRAY_STEP} to {MAX_SHARD_SIDE}, not {chunk}"
        )
    if height * width <= chunk * chunk and max(height, width) <= MAX_SHARD_SIDE:
        return height, width
    return min(height, chunk), min(width, chunk)


def pyramid(height: int, width: int, chunk: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of every array of an image, finest first: level 0, 3, 6 ... until one shard holds it all."""
    sizes = [(height, width)]
    while chunk_shape(*sizes[-1], chunk) != sizes[-1]:
        sizes.append(level_size(*sizes[-1], LEVELS_PER_ARRAY))
    return tuple(sizes)


def array_of_level(level: int, arrays: int) -> tuple[int, int]:
    """(array, level inside its shards) that hold `level` of an image of `arrays` arrays."""
    array = min(level // LEVELS_PER_ARRAY, arrays - 1)
    return array, level - LEVELS_PER_ARRAY * array


def level_count(height: int, width: int, arrays: int) -> int:
    """Levels of an image (level 0 included) whose arrays are `pyramid(height, width, chunk)`."""
    last = LEVELS_PER_ARRAY * (arrays - 1)
    return last + shard_levels(*level_size(height, width, last)) + 1


def level_for_zoom(zoom: float, levels: int) -> int:
    """The coarsest level that still has a sample for every screen pixel.

    Parameters
    ----------
    zoom : float
        Screen pixels per sample of level 0, > 0.
    levels : int
        Levels of the image.
    """
    level = 0
    while level + 1 < levels and zoom * (2 << level) <= 1 + ZOOM_SLACK:
        level += 1
    return level


def clip_region(region: Region, height: int, width: int) -> Region:
    """The part of `region` inside 0..height, 0..width; height or width 0 where nothing is."""
    y, x, h, w = region
    y0, x0 = min(max(y, 0), height), min(max(x, 0), width)
    y1, x1 = max(min(y + h, height), y0), max(min(x + w, width), x0)
    return y0, x0, y1 - y0, x1 - x0


def scale_region(region: Region, level: int, to_level: int) -> Region:
    """The least region of `to_level` whose samples cover those of `region` of `level`.

    Finer levels are multiplied (and may pass the image's edge by less than a sample of `level`: clip), coarser ones
    rounded outwards.
    """
    y, x, h, w = region
    if to_level <= level:
        up = level - to_level
        return y << up, x << up, h << up, w << up
    down = to_level - level
    y0, x0 = y >> down, x >> down
    return y0, x0, ceil_shift(y + h, down) - y0, ceil_shift(x + w, down) - x0


@dataclass(frozen=True, slots=True)
class ShardPart:
    """What one shard contributes to a region of a level.

    Attributes
    ----------
    row, column : int
        The shard's place in its array's chunk grid, in y and x.
    region : Region
        Samples of the shard's level, from the shard's own corner.
    y, x : int
        Where the region's first sample lands, from the asked region's corner.
    """

    row: int
    column: int
    region: Region
    y: int
    x: int


def shards_under(region: Region, level: int, size: tuple[int, int], chunk: tuple[int, int]) -> list[ShardPart]:
    """The shards of one array that hold `region`, row-major.

    Parameters
    ----------
    region : Region
        In samples of `level`; what lies outside the array is left out.
    level : int
        Level inside the array's shards. 0..3, or any where one shard spans the array.
    size, chunk : (int, int)
        (height, width) of the array and of its shards, in samples of level 0.
    """
    y, x, h, w = clip_region(region, *level_size(*size, level))
    if h == 0 or w == 0:
        return []
    # A shard that spans the axis has no neighbour to meet, so its side need not divide.
    step_y = ceil_shift(chunk[0], level)
    step_x = ceil_shift(chunk[1], level)
    parts = []
    for row in range(y // step_y, (y + h - 1) // step_y + 1):
        y0, y1 = max(y, row * step_y), min(y + h, (row + 1) * step_y)
        for column in range(x // step_x, (x + w - 1) // step_x + 1):
            x0, x1 = max(x, column * step_x), min(x + w, (column + 1) * step_x)
            local = (y0 - row * step_y, x0 - column * step_x, y1 - y0, x1 - x0)
            parts.append(ShardPart(row, column, local, y0 - region[0], x0 - region[1]))
    return parts
