"""Stored images as arrays: exact, or as good as asked for by the fewest bytes.

An `Image` looks like a numpy array whose samples are fetched when they are indexed. Reading goes

    selection -> parts (one for each plane and shard under it)
    part: head of the shard -> the planner's requests -> Decoder -> its place in the result

and many parts are on their way at once, within a limit on memory. The API is synchronous; the work runs on one event
loop in a background thread, shared by all images of the process, and decoding on a pool of threads. So it works alike
in scripts, in notebooks and inside other event loops.
"""

import asyncio
import json
import math
import operator
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firstlight import plan
from firstlight.background import Allowance, run, stream_from, together
from firstlight.codecs.errors import CodecError, InsufficientData
from firstlight.codecs.shard import CACHE_BYTES as DECODER_BYTES
from firstlight.codecs.shard import Decoder
from firstlight.errors import FirstlightError, NotFound
from firstlight.layout import DTYPE_LIMITS, METADATA_KEY, Channel, ImageLayout, ShardRef
from firstlight.selection import Part, PartedView, resolve
from firstlight.shards import Shard, ShardReader
from firstlight.store import Store, open_store

Selection: TypeAlias = Any
"""What may stand in `image[...]`: integers, slices and one ellipsis, as numpy takes them."""
Place: TypeAlias = Callable[[NDArray[Any]], object]
"""Takes the samples of a part; called from a decoding thread."""

MEMORY_BYTES = 512 << 20
"""Roughly what all parts that are on their way may take, beside the result."""
CACHE_BYTES = 256 << 20
CONNECTIONS = 16
IMAGE_OPTIONS = ("threads", "connections", "memory_bytes", "cache_bytes")


@dataclass(frozen=True, slots=True)
class Picture:
    """One step of a refinement.

    Attributes
    ----------
    data : ndarray
        The samples, as `Image.read` would give them.
    level : int
    error : int
        No sample is off by more, in data units: a guarantee. 0: exact.
    rms : float
        Root-mean-square error to expect, in data units: an estimate, of the worst part of the picture.
    bytes : int
        Fetched for this stream so far.
    """

    data: NDArray[Any]
    level: int
    error: int
    rms: float
    bytes: int


def open(location: "str | os.PathLike[str] | Store", **options: Any) -> "Image":
    """Open a stored image; reads its metadata, no samples.

    Parameters
    ----------
    location : str or path
        The image's directory or URL: a path, `https://host/scan.zarr`, `s3://bucket/scan.zarr` ...
    **options
        Of `Image` (`threads`, `connections`, `memory_bytes`, `cache_bytes`); the rest is for the store (see
        `firstlight.store.open_store`).

    Raises
    ------
    StoreError
        No such place, unreachable, not permitted.
    LayoutError
        Something else than a firstlight image.
    """
    own = {key: options.pop(key) for key in IMAGE_OPTIONS if key in options}
    store = open_store(location, **options)
    try:
        raw = run(store.get(METADATA_KEY))
    except NotFound as error:
        raise NotFound(f"{store.url}: not a stored image: it has no {METADATA_KEY}") from error
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise FirstlightError(f"{store.where(METADATA_KEY)}: expected JSON, found something else ({error})") from error
    return Image(store, ImageLayout.from_json(document, store.where(METADATA_KEY)), metadata_bytes=len(raw), **own)


class Image:
    """A stored image, with the indexing of a numpy array.

    Use `firstlight.open` to get one. All methods may be called from several threads at once.

    Parameters
    ----------
    store : Store
    layout : ImageLayout
    metadata_bytes : int
        What reading the layout took.
    threads : int, optional
        Threads that decode; default: one per processor.
    connections : int
        Requests under way at once.
    memory_bytes : int
        Limit on what reading takes beside its result. One part (at most a shard) is always let through.
    cache_bytes : int
        Compressed bytes kept for later reads.
    """

    def __init__(
        self,
        store: Store,
        layout: ImageLayout,
        *,
        metadata_bytes: int = 0,
        threads: int | None = None,
        connections: int = CONNECTIONS,
        memory_bytes: int = MEMORY_BYTES,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.store = store
        self.layout = layout
        self.metadata_bytes = metadata_bytes
        self.dtype = np.dtype(layout.dtype)
        self.axes = layout.axes
        self.shape = layout.shape
        self.levels = layout.levels
        self._threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="firstlight-decode")
        self._reader = ShardReader(store, layout, connections=connections, cache_bytes=cache_bytes)
        self._memory = Allowance(memory_bytes)

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.layout.name

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Label, colour and contrast limits of every c."""
        return self.layout.channels

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Samples of full resolution."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of full resolution, uncompressed."""
        return self.size * self.dtype.itemsize

    @property
    def bytes_stored(self) -> int | None:
        """Bytes of all shards together, as recorded when the image was made; None where it was not."""
        return self.layout.stored_bytes

    @property
    def bytes_fetched(self) -> int:
        """Bytes received since the image was opened, metadata included."""
        return self.store.stats.bytes

    @property
    def requests(self) -> int:
        """Requests sent since the image was opened."""
        return self.store.stats.requests

    def __repr__(self) -> str:
        sizes = ", ".join(f"{a}={n}" for a, n in zip(self.axes, self.shape, strict=True))
        return f"<firstlight.Image {self.name!r} ({sizes}) {self.dtype}, {len(self.levels)} levels, {self.store.url}>"

    def __len__(self) -> int:
        return self.shape[0]

    # -- samples -----------------------------------------------------------------------------------------------------

    def __getitem__(self, selection: Selection) -> NDArray[Any]:
        return self.read(selection)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("an image is read into a new array: copy=False is not possible")
        return self.read().astype(dtype or self.dtype, copy=False)

    def read(self, selection: Selection = ..., *, level: int = 0, max_error: int | str = 0) -> NDArray[Any]:
        """Samples of a level.

        Parameters
        ----------
        selection
            As numpy's basic indexing, along `axes`, in samples of `level`: integers, slices, an ellipsis.
            `numpy.s_[0, 10:20]` writes one down.
        level : int
            0 is full resolution, k is 1/2^k; its shape is `levels[k]`.
        max_error : int or str
            No sample of the result is off by more, in data units; what is not needed for that is not fetched.
            0: exact. Or a policy, whose error is an expectation, not a guarantee (see `firstlight.plan.PRECISIONS`):
            "visual": what a screen can't show through the channel's contrast limits; "fast": a quick look.

        Returns
        -------
        ndarray
            Of `dtype`, shaped as numpy would. A shard that is missing from the store reads as 0.

        Raises
        ------
        IndexError
            As numpy, for a selection that does not fit; or no such level.
        StoreError, CodecError
            Bytes that do not come, or are damaged; the message names the object.
        """
        view = self._view(selection, level, max_error)
        result = view.empty()
        run(self._fill(list(view.parts(result))))
        return view.finish(result)

    def stream(self, selection: Selection = ..., *, level: int = 0, max_error: int | str = 0) -> AsyncIterator[Picture]:
        """The same as `read`, in steps: a cheap first picture, then better ones, none worse than the one before.

        Every picture is an array of its own; the last is within `max_error`. All that is needed of the selection is
        held in memory while it refines: this is for views, not for whole slides. Leaving the loop early stops fetching.

        Raises
        ------
        IndexError
            At once; the rest as `read`, while iterating.
        """
        return stream_from(self._refine(self._view(selection, level, max_error), level))

    def read_shard(self, ref: ShardRef, *, max_error: int = 0) -> NDArray[Any]:
        """A region of one shard at one of its levels, whatever array the image would read that level from.

        Returns
        -------
        ndarray, (height, width) or (height, width, 3)
            Less than the region where the shard ends before it.

        Raises
        ------
        NotFound
            The shard is missing.
        StoreError, CodecError
        """

        async def read() -> NDArray[Any]:
            shard = await self._reader.open(ref)
            if shard is None:
                raise NotFound(f"{self.store.where(ref.key)}: not found")
            samples: list[NDArray[Any]] = []
            wish = plan.ViewPart(0, plan.Tolerance(max_error=max_error), ref, 0, (0, 0))
            await self._read_part(shard, wish, self._threads, samples.append)
            return samples[0] if samples else np.zeros((0, 0, 3) if self.layout.rgb else (0, 0), self.dtype)

        return run(read())

    # -- on the background loop --------------------------------------------------------------------------------------

    def _view(self, selection: Selection, level: int, max_error: int | str) -> PartedView:
        if not 0 <= level < len(self.levels):
            raise IndexError(f"level {level}: the image has levels 0 to {len(self.levels) - 1}")
        windows = [channel.window for channel in self.channels]
        if self.layout.rgb:
            windows = [min(windows, key=lambda window: window[1] - window[0])]
        if isinstance(max_error, str):
            tolerances = [plan.tolerance(max_error, window, self.layout.dtype, self.layout.rgb) for window in windows]
        else:
            tolerances = [plan.Tolerance(max_error=operator.index(max_error))] * len(windows)
        return PartedView(self.layout, level, resolve(selection, self.levels[level], self.axes), tolerances)

    def _plan(self, shard: Shard, wish: plan.ViewPart) -> plan.ShardPlan | None:
        """What it takes to see a shard's part; None where the shard has nothing there."""
        if plan.fit_region(shard.index, wish.ref.level, wish.ref.region) is None:
            return None
        return plan.plan_part(wish, shard.index, shard.segments, alone=True)

    async def _read_part(self, shard: Shard, wish: plan.ViewPart, threads: int, place: Place) -> None:
        """Fetch, decode and place what a shard has of a part."""
        planned = self._plan(shard, wish)
        if planned is not None:
            await together(self._reader.fetch(shard, request) for _, request in planned.requests)
            await self._decode(shard, self._reader.decoder(shard, planned.wanted, threads), wish.ref, place)

    async def _decode(self, shard: Shard, decoder: Decoder, ref: ShardRef, place: Place) -> None:
        def work() -> None:
            place(self._reader.picture(shard, decoder, ref))

        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except InsufficientData:
            raise
        except CodecError:
            self._reader.forget(shard.key)  # what is damaged may have been so on its way only
            raise

    async def _fill(self, parts: list[Part]) -> None:
        threads = max(1, self._threads // max(len(parts), 1))

        async def fill(part: Part) -> None:
            async with self._memory.of(self._cost(part)):
                shard = await self._reader.open(part.wish.ref)
                if shard is not None:
                    await self._read_part(shard, part.wish, threads, part.place)

        await together(map(fill, parts))

    def _cost(self, part: Part) -> int:
        """Bytes, roughly, that a part takes while it is read: samples and segments, and the decoder's coefficients."""
        _, _, height, width = part.wish.ref.region
        samples = height * width * self.layout.components
        return 2 * samples * self.dtype.itemsize + min(4 * samples, 2 * DECODER_BYTES)

    async def _refine(self, view: PartedView, level: int) -> AsyncGenerator[Picture, None]:
        result = view.empty()
        parts = list(view.parts(result))
        threads = max(1, self._threads // max(len(parts), 1))
        fetched = 0
        known = [self._reader.knows(part.wish.ref.key) for part in parts]
        shards = await together(self._reader.open(part.wish.ref) for part in parts)
        growing = []
        steps: dict[int, list[tuple[plan.Rank, plan.Request, _Growing]]] = {}
        for part, shard, was_known in zip(parts, shards, known, strict=True):
            fetched += 0 if shard is None or was_known else shard.head_bytes
            planned = None if shard is None else self._plan(shard, part.wish)
            if shard is None or planned is None:
                continue
            grown = _Growing(part, shard, self._reader.decoder(shard, planned.wanted, threads), planned.wanted)
            growing.append(grown)
            for rank, request in planned.requests:
                steps.setdefault(rank[0], []).append((rank, request, grown))

        async def fetch(step: int) -> None:
            ranked = sorted(steps[step], key=lambda item: item[0])
            await together(self._reader.fetch(grown.shard, request) for _, request, grown in ranked)

        least, greatest = DTYPE_LIMITS[self.layout.dtype]

        async def picture() -> Picture:
            # Pictures are clipped to the data type: early bounds may be wider than that.
            error = min(max((g.bound() for g in growing), default=0), greatest - least)
            rms = math.sqrt(max((g.mse() for g in growing), default=0.0))
            await together(self._decode(g.shard, g.decoder, g.part.wish.ref, g.part.place) for g in growing)
            return Picture(view.finish(result.copy()), level, error, min(rms, error), fetched)

        # A head may be too long to bring a picture along: then the first one takes a step.
        if all(grown.has_base() for grown in growing):
            yield await picture()
        order = sorted(steps)
        ahead: asyncio.Task[None] | None = None
        try:
            for number, step in enumerate(order):
                await (ahead or fetch(step))
                for _, request, grown in steps[step]:
                    grown.take(request)
                    fetched += request.length
                # What comes next is on its way while this is decoded and looked at.
                ahead = None if number + 1 == len(order) else asyncio.create_task(fetch(order[number + 1]))
                yield await picture()
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)


class _Growing:
    """A part of a stream: its decoder takes segments as they come."""

    def __init__(self, part: Part, shard: Shard, decoder: Decoder, wanted: Iterable[int]) -> None:
        self.part = part
        self._missing = {segment for segment in wanted if not decoder.has(segment)}
        self.shard = shard
        self.decoder = decoder
        fitted = plan.fit_region(shard.index, part.wish.ref.level, part.wish.ref.region)
        assert fitted is not None
        self._level, self._region = fitted

    def take(self, request: plan.Request) -> None:
        for segment in self._missing.intersection(request.segments):
            self._missing.discard(segment)
            self.decoder.add(segment, self.shard.segments[segment])

    def bound(self) -> int:
        """Of what the decoder would give now: never more than it was before."""
        decoder = self.decoder
        return (decoder.bound if self._missing else decoder.exact_bound)(self._level, self._region)

    def mse(self) -> float:
        """As `bound`: the mean squared error to expect."""
        return self.decoder.mse(self._level, self._region)

    def has_base(self) -> bool:
        return self.decoder.layers(len(self.shard.index.levels) - 1, 0, 0) > 0
