"""Which segments give a region, a precision, or the most for a number of bytes. Pure arithmetic on an `Index`.

The viewer has the same rules in TypeScript; tests/data/plan_cases.json binds the two together. Divisions of integers
are the only floating-point operations, so that both choose alike.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidArgument
from .index import Index, Region, TileRect


def bound(index: Index, level: int, layers: Sequence[int]) -> int:
    """Bound on the absolute error, in sample units, of a picture of `level`.

    Parameters
    ----------
    layers : sequence of int
        ``layers[j]``: how many layers every tile of level j has (those below `level` do not matter).
    """
    return sum(index.levels[j].errors[layers[j]] for j in range(level, len(index.levels)))


def choose_layers(index: Index, level: int, region: Region, max_error: int) -> tuple[int, ...]:
    """The fewest bytes that give `region` of `level` with an error of at most `max_error`.

    Parameters
    ----------
    max_error : int
        Absolute error allowed, in sample units; 0 asks for the exact picture.

    Returns
    -------
    tuple of int
        For every level 0 .. L the number of layers to have (0 for levels finer than `level`). Of several choices with
        the fewest bytes, the one with the smallest bound; of several of those, the one with fewer layers at level
        `level`, then at the next coarser one, and so on. All layers when not even those suffice.
    """
    if max_error < 0:
        raise InvalidArgument(f"max_error {max_error}: expected 0 or more, in sample units")
    region = index.region(level, region)
    base = len(index.levels) - 1
    # Pareto front over (bytes, error), from the coarsest level to ever finer ones. layers[0] is of the finest level so
    # far: comparing tuples breaks ties as documented. Errors only add up: what exceeds max_error once is out.
    front: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, ())]
    for j in range(base, level - 1, -1):
        at = index.levels[j]
        costs = _layer_bytes(index, j, index.tiles(j, level, region))
        # Without the base there is no picture at all, however small its error bound.
        options = [(sum(costs[:n]), at.errors[n], n) for n in range(1 if j == base else 0, at.layers + 1)]
        grown = sorted(
            (size + more, error + remains, (n, *layers))
            for size, error, layers in front
            for more, remains, n in options
            if error + remains <= max_error
        )
        front = []
        for candidate in grown:
            if not front or candidate[1] < front[-1][1]:
                front.append(candidate)
        if not front:
            return (0,) * level + tuple(at.layers for at in index.levels[level:])
    return (0,) * level + front[0][2]


def segments_for(index: Index, level: int, region: Region, layers: Sequence[int]) -> list[int]:
    """The segments, in their order in the shard, of the first ``layers[j]`` layers of every tile under `region`.

    Empty segments are left out: there is nothing to fetch.
    """
    region = index.region(level, region)
    chosen: list[int] = []
    for j in range(len(index.levels) - 1, level - 1, -1):
        rect = index.tiles(j, level, region)
        for layer in range(layers[j]):
            chosen += _in_rect(index, j, layer, rect)
    return chosen


def within_budget(index: Index, level: int, region: Region, max_bytes: int, max_error: int = 0) -> list[int]:
    """The segments that are worth most for `region` of `level` and together have at most `max_bytes` bytes.

    Greedy by the fall of the squared error bound per byte. Layers are taken whole over the region; only the last is
    filled up tile by tile, from the region's centre outwards.

    Parameters
    ----------
    max_bytes : int
        Bytes of segments (the head is not counted).
    max_error : int
        Stop as soon as the bound, in sample units, is this small.

    Returns
    -------
    list of int
        Non-empty segments in the order in which they should be read: the base first, a tile's layers in their order.
        Empty if not even the base fits.
    """
    if max_bytes < 0 or max_error < 0:
        raise InvalidArgument(f"max_bytes {max_bytes}, max_error {max_error}: expected 0 or more")
    region = index.region(level, region)
    base = len(index.levels) - 1
    rects = [index.tiles(j, level, region) if j >= level else TileRect(0, 0, 0, 0) for j in range(base + 1)]
    costs = [_layer_bytes(index, j, rects[j]) for j in range(base + 1)]
    have = [0] * base + [index.levels[base].layers]
    left = max_bytes - sum(costs[base])
    if left < 0:
        return []
    chosen = [s for layer in range(have[base]) for s in _in_rect(index, base, layer, rects[base])]
    while True:
        for j in range(level, base):
            while have[j] < index.levels[j].layers and costs[j][have[j]] == 0:
                have[j] += 1
        if bound(index, level, have) <= max_error:
            return chosen
        # max() keeps the first of equals: the coarsest level.
        best = max(range(base - 1, level - 1, -1), key=lambda j: _slope(index.levels[j].errors, costs[j], have[j]))
        if have[best] == index.levels[best].layers:
            return chosen
        cost = costs[best][have[best]]
        if cost > left:
            return chosen + _from_centre(index, best, have[best], level, region, left)
        chosen += _in_rect(index, best, have[best], rects[best])
        have[best] += 1
        left -= cost


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


def _rows(index: Index, level: int, layer: int, rect: TileRect) -> tuple[NDArray[np.int64], int]:
    """First segment of every row of tiles, and how many segments follow one another in each."""
    firsts = [index.segment(level, layer, y, rect.x0, 0) for y in range(rect.y0, rect.y1)]
    return np.array(firsts, np.int64), (rect.x1 - rect.x0) * index.components


def _layer_bytes(index: Index, level: int, rect: TileRect) -> list[int]:
    """Bytes of every layer of a level over a rectangle of tiles."""
    costs = []
    for layer in range(index.levels[level].layers):
        first, count = _rows(index, level, layer, rect)
        # uint32 differences are right modulo 2^32, and a shard is smaller than that.
        costs.append(int((index.offsets[first + count] - index.offsets[first]).sum(dtype=np.int64)))
    return costs


def _in_rect(index: Index, level: int, layer: int, rect: TileRect) -> list[int]:
    """The non-empty segments of a layer over a rectangle of tiles, in their order."""
    first, count = _rows(index, level, layer, rect)
    segments = (first[:, None] + np.arange(count)).ravel()
    result: list[int] = segments[index.offsets[segments + 1] != index.offsets[segments]].tolist()
    return result


def _slope(errors: Sequence[int], costs: Sequence[int], have: int) -> float:
    """Fall of the squared bound per byte of the best run of next layers; -1 when there is none.

    A run, because the first of two layers may gain little alone and much together with the second.
    """
    best, size = -1.0, 0
    for n in range(have, len(costs)):
        size += costs[n]
        best = max(best, (errors[have] * errors[have] - errors[n + 1] * errors[n + 1]) / size)
    return best


def _from_centre(index: Index, level: int, layer: int, asked: int, region: Region, budget: int) -> list[int]:
    """One layer's segments tile by tile, nearest to the region's centre first, while they fit."""
    rect = index.tiles(level, asked, region)
    tile = index.levels[level].tile
    y, x, height, width = region
    shift = level - asked
    # In halves of a sample of the asked level, so that all is integer.
    centre_y, centre_x = 2 * y + height, 2 * x + width

    def distance(at: tuple[int, int]) -> tuple[int, int, int]:
        dy = (((2 * at[0] + 1) * tile) << shift) - centre_y
        dx = (((2 * at[1] + 1) * tile) << shift) - centre_x
        return dy * dy + dx * dx, at[0], at[1]

    chosen: list[int] = []
    tiles = ((ty, tx) for ty in range(rect.y0, rect.y1) for tx in range(rect.x0, rect.x1))
    for ty, tx in sorted(tiles, key=distance):
        segments = _in_rect(index, level, layer, TileRect(ty, tx, ty + 1, tx + 1))
        size = sum(index.length(s) for s in segments)
        if size > budget:
            break
        budget -= size
        chosen += segments
    return chosen
