"""Which segments give a region, a precision, or the most for a number of bytes. Pure arithmetic on an `Index`.

The viewer has the same rules in TypeScript; tests/data/plan_cases.json binds the two together. All numbers are integers
but for `Level.mse`, whose values are exact in floating point and are summed from the coarsest level on; so both choose
alike.

**Steps.** After the base, which every picture needs, a picture is refined by whole layers of a level: layer 0 of level
L - 1, L - 2, ..., then layer 1 of these levels, and so on. A layer holds what lowers the squared error by at least so
much a bit, as much in every level: the order of steps is the order of what bytes are worth.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidArgument
from .index import MOST_LAYERS, Index, Region, TileRect

# `choose_layers` tells apart so many errors up to the one that is allowed.
_ERROR_UNITS = 1024


def bound(index: Index, level: int, layers: Sequence[int]) -> int:
    """Bound on the absolute error, in sample units, of a picture of `level`.

    Parameters
    ----------
    layers : sequence of int
        ``layers[j]``: how many layers every tile of level j has at least (those below `level` do not matter).
    """
    return sum(index.levels[j].errors[layers[j]] for j in range(level, len(index.levels)))


def exact_bound(index: Index, level: int, layers: Sequence[int]) -> int:
    """As `bound`, and often much less, if every tile has exactly so many layers, and no part of another."""
    found = bound(index, level, layers)
    for n, measured in index.levels[level].measured.items():
        if measured < found and layers[level:] == uniform(index, level, n)[level:]:
            found = measured
    return found


def uniform(index: Index, level: int, n: int) -> tuple[int, ...]:
    """The first n layers of every level from `level` on, or all if there are fewer."""
    return tuple(min(n, at.layers) if j >= level else 0 for j, at in enumerate(index.levels))


def mse(index: Index, level: int, layers: Sequence[int]) -> float:
    """Mean squared error, in squared sample units, of a picture of `level`: an estimate. `layers` as for `bound`."""
    return sum((index.levels[j].mse[layers[j]] for j in range(len(index.levels) - 1, level - 1, -1)), 0.0)


def choose_layers(index: Index, level: int, region: Region, max_error: int, *, exactly: bool = True) -> tuple[int, ...]:
    """The fewest bytes that give `region` of `level` with an error of at most `max_error`.

    Parameters
    ----------
    max_error : int
        Absolute error allowed, in sample units; 0 asks for the exact picture. Where errors of levels are added up, it
        is what it says up to 1024; above, each level's error counts in units of ceil(max_error / 1024), rounded up.
    exactly : bool
        The picture will be made of exactly these layers, so that what was measured of them holds. False: of these at
        least.

    Returns
    -------
    tuple of int
        For every level 0 .. L the number of layers to have (0 for levels finer than `level`). Of several choices with
        the fewest bytes, the one with the smallest sum of errors; of several of those, the one with fewer layers at
        level `level`, then at the next coarser one, and so on. The same number of layers of every level, after which
        errors were measured, if that has at most an eighth more bytes: of it the error is known, and not only a
        bound on it. All layers when not even those suffice.
    """
    if max_error < 0:
        raise InvalidArgument(f"max_error {max_error}: expected 0 or more, in sample units")
    region = index.region(level, region)
    base = len(index.levels) - 1
    unit = max(-(-max_error // _ERROR_UNITS), 1)
    limit = max_error // unit
    # fewest[e]: bytes of the cheapest choice for the levels so far whose errors sum up to e units; -1: there is none.
    fewest = np.full(limit + 1, -1, np.int64)
    fewest[0] = 0
    sizes: dict[int, list[int]] = {}  # of the layers of each level
    chosen: list[NDArray[np.int64]] = []  # the layers of each level in those choices
    for j in range(base, level - 1, -1):
        at = index.levels[j]
        sizes[j] = _layer_bytes(_lengths(index, j, index.tiles(j, level, region)))
        upto = np.cumsum([0, *sizes[j]]).tolist()
        grown, layers = np.full_like(fewest, -1), np.zeros_like(fewest)
        # Without the base there is no picture at all, however small its error bound.
        for n in range(1 if j == base else 0, at.layers + 1):
            error = -(-at.errors[n] // unit)
            if error <= limit:
                before, after, which = fewest[: limit + 1 - error], grown[error:], layers[error:]
                better = (before >= 0) & ((after < 0) | (before + upto[n] < after))
                after[better] = before[better] + upto[n]
                which[better] = n
        fewest = grown
        chosen.append(layers)
    least = int(fewest[fewest >= 0].min()) if fewest.max() >= 0 else None
    for n, error in index.levels[level].measured.items():
        if exactly and error <= max_error:
            equal = uniform(index, level, n)
            size = sum(sum(sizes[j][: equal[j]]) for j in range(level, base + 1))
            if least is None or 8 * size <= 9 * least:
                return equal
            break
    if least is None:
        return uniform(index, level, MOST_LAYERS)
    left = int(np.flatnonzero(fewest == least)[0])
    result = [0] * level
    for j in range(level, base + 1):
        result.append(int(chosen[base - j][left]))
        left -= -(-index.levels[j].errors[result[j]] // unit)
    return tuple(result)


def choose_for_mse(index: Index, level: int, max_mse: float) -> tuple[int, ...]:
    """The fewest steps after which a picture of `level` has a mean squared error of at most `max_mse` (an estimate).

    Parameters
    ----------
    max_mse : float
        In squared sample units.

    Returns
    -------
    tuple of int
        As of `choose_layers`. All layers when not even those suffice.
    """
    index.region(level)
    base = len(index.levels) - 1
    have = [0] * base + [index.levels[base].layers]
    for j, n in _steps(index, level):
        if mse(index, level, have) <= max_mse:
            break
        have[j] = n + 1
    return tuple(have)


def segments_for(index: Index, level: int, region: Region, layers: Sequence[int]) -> list[int]:
    """The segments, in their order in the shard, of the first ``layers[j]`` layers of every tile under `region`.

    Empty segments are left out: there is nothing to fetch.
    """
    region = index.region(level, region)
    chosen = [
        numbers(index, j, n, index.tiles(j, level, region)).ravel()
        for j in range(len(index.levels) - 1, level - 1, -1)
        for n in range(layers[j])
    ]
    segments = np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)
    result: list[int] = segments[index.offsets[segments + 1] != index.offsets[segments]].tolist()
    return result


def within_budget(
    index: Index, level: int, region: Region, max_bytes: int, max_error: int = 0, max_mse: float = 0.0
) -> list[tuple[int, int]]:
    """What is worth most for `region` of `level` and has at most `max_bytes` bytes.

    The base, then whole steps over the region, while they fit. The first step that does not is filled tile by tile,
    from the region's centre outwards, up to the last byte: the first bytes of a segment hold its first passes. (The
    same part of every tile's segment would be fairer, but loses 0.2 to 0.5 dB: in each tile a pass is cut in two.)

    Parameters
    ----------
    max_bytes : int
        Bytes of segments, and of the parts of the head that tell of them.
    max_error : int
        Stop before a step if the bound, in sample units, is this small.
    max_mse : float
        Stop before a step if the mean squared error, in squared sample units, is this small by estimate. 0: never.

    Returns
    -------
    list of (int, int)
        Segments, and how many of their first bytes, in the order in which they should be read: the base first, a tile's
        layers in their order. No empty ones. Empty if not even the base fits.
    """
    if max_bytes < 0 or max_error < 0 or max_mse < 0:
        raise InvalidArgument(f"max_bytes {max_bytes}, max_error {max_error}, max_mse {max_mse}: expected 0 or more")
    region = index.region(level, region)
    base = len(index.levels) - 1
    rects = {j: index.tiles(j, level, region) for j in range(level, base + 1)}
    lengths = {j: _lengths(index, j, rects[j]) for j in rects}
    costs = {j: _layer_bytes(lengths[j]) for j in rects}
    have = [0] * base + [index.levels[base].layers]
    parts = [0, *index.parts]
    known = 1
    left = max_bytes - parts[known] - sum(costs[base])
    if left < 0:
        return []
    chosen = [(base, n, lengths[base][n]) for n in range(have[base])]
    for j, n in _steps(index, level):
        if exact_bound(index, level, tuple(have)) <= max_error or mse(index, level, have) <= max_mse > 0:
            break
        while known < len(index.groups) and index.groups[known] <= n:
            known += 1
            left -= parts[known] - parts[known - 1]
        if left <= 0:
            break
        if costs[j][n] > left:
            chosen.append((j, n, _filled(index, j, rects[j], lengths[j][n], level, region, left)))
            break
        chosen.append((j, n, lengths[j][n]))
        have[j] = n + 1
        left -= costs[j][n]
    found = np.concatenate([numbers(index, j, n, rects[j]).ravel() for j, n, _ in chosen])
    sizes = np.concatenate([each.ravel() for _, _, each in chosen])
    return list(zip(found[sizes > 0].tolist(), sizes[sizes > 0].tolist(), strict=True))


def merge_ranges(ranges: Iterable[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """Byte ranges (offset, length), in any order, as few ranges in ascending order.

    Ranges are joined that overlap, touch, or leave at most `gap` bytes between them. Empty ranges vanish.
    """
    merged: list[tuple[int, int]] = []
    for offset, length in sorted(r for r in ranges if r[1] > 0):
        if merged and offset - sum(merged[-1]) <= gap:
            start, before = merged[-1]
            merged[-1] = (start, max(before, offset + length - start))
        else:
            merged.append((offset, length))
    return merged


def _steps(index: Index, level: int) -> Iterator[tuple[int, int]]:
    """(level, layer) of every step of a picture of `level`, in their order."""
    base = len(index.levels) - 1
    for layer in range(max((at.layers for at in index.levels[level:base]), default=0)):
        for j in range(base - 1, level - 1, -1):
            if layer < index.levels[j].layers:
                yield j, layer


def numbers(index: Index, level: int, layer: int, rect: TileRect) -> NDArray[np.int64]:
    """Segments of a layer over a rectangle of tiles, (rows, columns)."""
    first, step = index.layer_run(level, layer)
    rows, columns = np.ogrid[rect.y0 : rect.y1, rect.x0 : rect.x1]
    numbers: NDArray[np.int64] = first + (rows * index.levels[level].tiles_x + columns) * step
    return numbers


def _filled(
    index: Index, level: int, rect: TileRect, lengths: NDArray[np.int64], asked: int, region: Region, left: int
) -> NDArray[np.int64]:
    """What of each segment of a layer fits into `left` bytes, the nearest tile to the middle of `region` first.

    Distances are those of the tiles' middles, in halves of a sample of level `asked`, squared; of equals the first in
    raster order.
    """
    y, x, height, width = region
    tile, shift = index.levels[level].tile, level - asked
    rows, columns = np.ogrid[rect.y0 : rect.y1, rect.x0 : rect.x1]
    dy = (((2 * rows + 1) * tile) << shift) - (2 * y + height)
    dx = (((2 * columns + 1) * tile) << shift) - (2 * x + width)
    order = np.argsort((dy * dy + dx * dx).ravel(), kind="stable")
    ends = np.minimum(np.cumsum(lengths.ravel()[order]), left)
    parts = np.zeros(lengths.size, np.int64)
    parts[order] = np.diff(ends, prepend=0)
    return parts.reshape(lengths.shape)


def _lengths(index: Index, level: int, rect: TileRect) -> NDArray[np.int64]:
    """Bytes of every segment of a level over a rectangle of tiles, (layers, rows, columns)."""
    runs = np.array([index.layer_run(level, layer) for layer in range(index.levels[level].layers)])
    rows, columns = np.ogrid[rect.y0 : rect.y1, rect.x0 : rect.x1]
    numbers = runs[:, 0, None, None] + (rows * index.levels[level].tiles_x + columns) * runs[:, 1, None, None]
    # uint32 differences are right modulo 2^32, and a shard is smaller than that.
    lengths: NDArray[np.int64] = (index.offsets[numbers + 1] - index.offsets[numbers]).astype(np.int64)
    return lengths


def _layer_bytes(lengths: NDArray[np.int64]) -> list[int]:
    sizes: list[int] = lengths.sum(axis=(1, 2)).tolist()
    return sizes
