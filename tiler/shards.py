"""Shards of a store as a reader sees them: heads, the segments fetched so far, and pictures of them.

All of this runs on one event loop; only decoding leaves it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight import plan
from firstlight.codecs.errors import CodecError, CorruptData
from firstlight.codecs.index import FIXED_BYTES, Index, head_size
from firstlight.codecs.shard import Decoder
from firstlight.errors import NotFound, ObjectReplaced
from firstlight.layout import ImageLayout, ShardRef
from firstlight.store import Store


class Shard:
    """One shard: its index, and the segments that have been fetched.

    Attributes
    ----------
    key : str
    index : Index
    etag : str or None
        The version that all segments are of.
    head_bytes : int
        Bytes that opening it took.
    segments : dict[int, memoryview]
    size : int
        Bytes held: the index and all segments that are here.
    """

    __slots__ = ("etag", "head_bytes", "index", "key", "segments", "size")

    def __init__(self, key: str, index: Index, etag: str | None, head_bytes: int) -> None:
        self.key = key
        self.head_bytes = head_bytes
        self.index = index
        self.etag = etag
        self.segments: dict[int, memoryview] = {}
        self.size = index.offsets.nbytes

    def feed(self, offset: int, data: memoryview) -> int:
        """Take all segments that lie completely in `data`, the shard's bytes from `offset`; by how much `size` grew."""
        before = self.size
        ends = self.index.offsets
        for segment in self.index.within(offset, len(data)):
            start, end = int(ends[segment]), int(ends[segment + 1])
            if start < end and segment not in self.segments:
                self.segments[segment] = data[start - offset : end - offset]
                self.size += end - start
        return self.size - before


class ShardReader:
    """Opens shards and fetches their segments; keeps what was fetched, up to a limit.

    Parameters
    ----------
    store : Store
    layout : ImageLayout
    connections : int
        Requests under way at once.
    cache_bytes : int
        What is kept of shards that nobody reads at the moment, the least recently used going first.
    """

    def __init__(self, store: Store, layout: ImageLayout, *, connections: int, cache_bytes: int) -> None:
        self._store = store
        self._layout = layout
        self._requests = asyncio.Semaphore(connections)
        self._cache_bytes = cache_bytes
        self._cached: OrderedDict[str, Shard] = OrderedDict()
        self._held = 0  # bytes of all that is cached

    def knows(self, key: str) -> bool:
        """Whether opening the shard takes no request."""
        return key in self._cached

    async def open(self, ref: ShardRef) -> Shard | None:
        """The shard with its head read, or None where the store has no such object.

        Raises
        ------
        StoreError
        CodecError
            The head is damaged, or of another array than the metadata describes.
        """
        shard = self._cached.get(ref.key)
        if shard is not None:
            self._cached.move_to_end(ref.key)
            return shard
        asked = max(self._layout.arrays[ref.array].head_bytes, FIXED_BYTES)
        try:
            async with self._requests:
                data, etag = await self._store.get_range(ref.key, 0, asked, may_be_short=True)
                try:
                    needed = head_size(data)
                    if needed > len(data) == asked:
                        rest = await self._store.get_range(ref.key, len(data), needed - len(data), etag)
                        data = memoryview(bytes(data) + bytes(rest.data))
                    index = Index.parse(data)
                except CodecError as error:
                    raise self._named(ref.key, error) from error
        except NotFound:
            return None
        self._check(ref, index)
        shard = Shard(ref.key, index, etag, len(data))
        shard.feed(0, data)
        self.forget(ref.key)  # two readers may have opened it at once
        self._cached[ref.key] = shard
        self._grow(shard.size)
        return shard

    async def fetch(self, shard: Shard, request: plan.Request) -> None:
        """Fetch what the planner asked for.

        Raises
        ------
        StoreError
            Among them ObjectReplaced; the shard is forgotten then.
        """
        async with self._requests:
            try:
                data, _ = await self._store.get_range(shard.key, request.offset, request.length, shard.etag)
            except ObjectReplaced:
                self.forget(shard.key)
                raise
        grown = shard.feed(request.offset, data)
        if self._cached.get(shard.key) is shard:
            self._grow(grown)

    def forget(self, key: str) -> None:
        """Keep nothing of a shard: what is damaged or outdated must not be served again."""
        shard = self._cached.pop(key, None)
        if shard is not None:
            self._held -= shard.size

    def decoder(self, shard: Shard, segments: Iterable[int], threads: int) -> Decoder:
        """A decoder that has those of `segments` that are here."""
        decoder = Decoder(shard.index, threads=threads)
        for segment in segments:
            if segment in shard.segments:
                decoder.add(segment, shard.segments[segment])
        return decoder

    def picture(self, shard: Shard, decoder: Decoder, ref: ShardRef) -> NDArray[Any]:
        """What a decoder knows of a shard's region, from its corner; less than all of it where the shard ends.

        Called from decoding threads.

        Raises
        ------
        CodecError
            Naming the object.
        """
        fitted = plan.fit_region(shard.index, ref.level, ref.region)
        assert fitted is not None, "only called for regions that the shard has"
        level, region = fitted
        try:
            samples = decoder.decode(level, region)
        except CodecError as error:
            raise self._named(shard.key, error) from error
        # A shard too small to have the level has each of its samples in a finer one: every 2nd, 4th ...
        step = 1 << (ref.level - level)
        return samples[::step, ::step]

    def _check(self, ref: ShardRef, index: Index) -> None:
        """A shard that is sound in itself may still not be the one that the metadata speak of."""
        array = self._layout.arrays[ref.array]
        height, width = array.chunks[-2:]
        if index.dtype != np.dtype(self._layout.dtype) or index.components != self._layout.components:
            raise CorruptData(
                f"shard {self._store.where(ref.key)}: expected {self._layout.components} components of "
                f"{self._layout.dtype}, found {index.components} of {index.dtype}"
            )
        if index.height > height or index.width > width:
            raise CorruptData(
                f"shard {self._store.where(ref.key)}: expected at most {height} x {width} samples, "
                f"found {index.height} x {index.width}"
            )

    def _named(self, key: str, error: CodecError) -> CodecError:
        return type(error)(f"shard {self._store.where(key)}: {error}")

    def _grow(self, size: int) -> None:
        self._held += size
        while self._held > self._cache_bytes and len(self._cached) > 1:
            self._held -= self._cached.popitem(last=False)[1].size
