"""A plane as firstlight stores it, in shards, and reading a view of it segment by segment, counting bytes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from firstlight import codecs, geometry
from firstlight.codecs import Decoder, Index, Region

from .planes import Plane, Samples


@dataclass(frozen=True, slots=True)
class Shard:
    """Where a shard lies in the plane, and what it is."""

    y: int
    x: int
    data: memoryview
    index: Index

    def part(self, level: int, region: Region) -> tuple[Region, tuple[slice, slice]] | None:
        """What of `region` of a level lies in the shard: in its own samples, and where in the region's picture."""
        at = self.index.levels[level]
        y, x = self.y >> level, self.x >> level
        y0, x0 = max(region[0], y), max(region[1], x)
        y1, x1 = min(region[0] + region[2], y + at.height), min(region[1] + region[3], x + at.width)
        if y0 >= y1 or x0 >= x1:
            return None
        place = slice(y0 - region[0], y1 - region[0]), slice(x0 - region[1], x1 - region[1])
        return (y0 - y, x0 - x, y1 - y0, x1 - x0), place


class Stored:
    """All shards of a plane.

    Attributes
    ----------
    shards : list of Shard
        Of array 0.
    size : int
        Bytes of all shards, those of the overview arrays too.
    """

    def __init__(self, plane: Plane) -> None:
        self.shards = _cut(plane.samples)
        self.size = sum(len(shard.data) for shard in self.shards)
        shards, samples = self.shards, plane.samples
        while len(shards) > 1:
            level = geometry.LEVELS_PER_ARRAY
            height, width = geometry.level_size(samples.shape[0], samples.shape[1], level)
            samples = _picture(shards, samples, level, (0, 0, height, width))
            shards = _cut(samples)
            self.size += sum(len(shard.data) for shard in shards)
        self._like = plane.samples[:1, :1]

    def picture(self, level: int, region: Region) -> Samples:
        """The exact picture of a region of a level."""
        return _picture(self.shards, self._like, level, region)


def _cut(samples: Samples) -> list[Shard]:
    height, width = samples.shape[:2]
    tall, wide = geometry.chunk_shape(height, width, geometry.DEFAULT_CHUNK)
    shards = []
    for y in range(0, height, tall):
        for x in range(0, width, wide):
            data = codecs.encode(samples[y : y + tall, x : x + wide])
            shards.append(Shard(y, x, memoryview(data), Index.parse(data)))
    return shards


def _picture(shards: list[Shard], like: Samples, level: int, region: Region) -> Samples:
    out = np.empty((*region[2:], *like.shape[2:]), like.dtype)
    for shard in shards:
        if part := shard.part(level, region):
            out[part[1]] = codecs.decode(shard.data, level=level, region=part[0])
    return out


@dataclass(slots=True)
class _Part:
    """One shard's share of a view: the segments still to read, in order, and what they cost."""

    number: int
    decoder: Decoder
    shard: Shard
    region: Region
    place: tuple[slice, slice]
    order: list[int]
    ends: list[int]
    done: int = 0


Cache = frozenset[tuple[int, int]]
"""Segments that a reader has: (number of the shard, segment)."""


class View:
    """Reading one region of one level, the most worthwhile bytes first.

    Parameters
    ----------
    cached : set of (shard, segment)
        What an earlier view has read, heads included: costs nothing.

    Attributes
    ----------
    total : int
        Bytes that an exact picture costs: heads, and all segments that are not cached.
    """

    def __init__(self, stored: Stored, level: int, region: Region, cached: Cache = frozenset()) -> None:
        self._stored, self._level, self._region, self._cached = stored, level, region, cached
        self._parts: list[_Part] = []
        self._heads = 0
        for number, shard in enumerate(stored.shards):
            found = shard.part(level, region)
            if not found:
                continue
            decoder = Decoder(shard.index)
            known = {segment for owner, segment in cached if owner == number}
            for segment in known:
                decoder.add(segment, _bytes(shard, segment))
            every = codecs.within_budget(shard.index, level, found[0], shard.index.size)
            order = [segment for segment, _ in every if segment not in known]
            ends = np.cumsum([shard.index.length(segment) for segment in order], dtype=int).tolist()
            self._parts.append(_Part(number, decoder, shard, *found, order, ends))
            self._heads += 0 if known else shard.index.head_size
        self.total = self._heads + sum(part.ends[-1] for part in self._parts if part.ends)

    def read(self, part_of_all: float) -> None:
        """Read on until this part of all segments' bytes is there; never less than the base, of every shard alike."""
        for part in self._parts:
            base = len(part.shard.index.levels) - 1
            budget = part_of_all * part.ends[-1] if part.ends else 0
            while part.done < len(part.order):
                segment = part.order[part.done]
                if part.ends[part.done] > budget and part.shard.index.locate(segment).level != base:
                    break
                part.decoder.add(segment, _bytes(part.shard, segment))
                part.done += 1

    @property
    def bytes(self) -> int:
        """Read so far, heads included."""
        return self._heads + sum(part.ends[part.done - 1] for part in self._parts if part.done)

    @property
    def segments(self) -> Cache:
        """All that is there now."""
        return self._cached | set(self._read())

    def picture(self) -> Samples:
        like = self._stored.shards[0].index
        shape = self._region[2:] if like.components == 1 else (*self._region[2:], like.components)
        out = np.empty(shape, like.dtype)
        for part in self._parts:
            out[part.place] = part.decoder.decode(self._level, part.region)
        return out

    def _read(self) -> Iterator[tuple[int, int]]:
        for part in self._parts:
            for segment in part.order[: part.done]:
                yield part.number, segment


def _bytes(shard: Shard, segment: int) -> memoryview:
    start, end = shard.index.offsets[segment : segment + 2].tolist()
    return shard.data[start:end]
