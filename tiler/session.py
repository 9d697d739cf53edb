"""What to ask for next while someone looks around in an image. Sans-IO: the caller fetches, decodes and shows.

Owns what is known of every shard, what is on its way, and what may be forgotten; the order of loading is plan's.
web/viewer/src/plan/session.ts is its twin; tests/data/plan_cases.json binds the two together.

States of a request, each exclusive:

    (planned) -- next --> in flight -- receive --> done
        ^                    |-- failed ---> planned again, given up after ATTEMPTS
        |                    |-- replaced -> the shard starts afresh
        +-- looked at again -+-- look -----> aborted: listed for the caller, an answer that still comes is ignored

Invariants:
 - no segment is fetched, in whole or in part, while it is there or on its way;
 - all bytes of a shard belong to one version of it: the first ETag is pinned, another one makes the shard start afresh,
   and only that shard;
 - requests of a view come before those of the views that are looked at in advance;
 - after an answer, what is kept outside of what is looked at has at most `cache_bytes` bytes: shards out of view go
   first, least recently looked at first; then what lies farthest from the view in the shards that are in it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from firstlight import plan
from firstlight.codecs.errors import CodecError
from firstlight.codecs.index import FIXED_BYTES, Index, head_size
from firstlight.codecs.select import bound, mse, segments_for
from firstlight.geometry import Region
from firstlight.layout import DTYPE_LIMITS, ImageLayout
from firstlight.plan import Rank, Request, View, ViewPart

ATTEMPTS = 3
"""How often a request may fail, a segment be rejected, or a shard be replaced, before it is given up."""
CACHE_BYTES = 128 << 20

HeadParser: TypeAlias = Callable[[bytes], "Index | int"]
"""From the first bytes of a shard: its index, or how many bytes it takes. Raises CodecError."""


def parse_head(data: bytes) -> "Index | int":
    """The index of the shard that begins with `data`, or how many bytes of it are needed first.

    Raises
    ------
    CodecError
        When `data` begins no shard.
    """
    size = head_size(data) or FIXED_BYTES
    return Index.parse(data) if size <= len(data) else size


@dataclass(frozen=True, slots=True)
class Improved:
    """A part of the view whose picture is better now: decode `region` of `part.ref.level` again."""

    part: ViewPart
    region: Region


@dataclass(frozen=True, slots=True)
class Received:
    """Segments that have arrived.

    Attributes
    ----------
    key : str
    index : Index
    is_new : bool
        The shard's head came with this answer: nothing has been said about the shard before.
    segments : tuple[tuple[int, memoryview], ...]
        For the shard's decoder. The views share the memory of the answer.
    improved : tuple[Improved, ...]
        Of the view, not of what is looked at in advance.
    """

    key: str
    index: Index
    is_new: bool
    segments: tuple[tuple[int, memoryview], ...]
    improved: tuple[Improved, ...]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Release the memory of a shard (`segments` is None) or of these segments of it: they are not held any more."""

    key: str
    segments: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Restarted:
    """The object was replaced while it was read: drop all that came from it, and these requests."""

    key: str
    aborted: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """The shard's head is no head, or the shard could not be fetched: it stays as it is until `retry`."""

    key: str
    error: str


Event: TypeAlias = Received | Forgotten | Restarted | Broken


@dataclass(slots=True)
class _Shard:
    """What is known of one object."""

    key: str
    index: Index | None = None
    prefix: bytes = b""  # of a head that is longer than what was asked for
    head_bytes: int = 0  # how long that head is
    absent: bool = False
    broken: bool = False
    etag: str | None = None
    restarts: int = 0
    have: set[int] = field(default_factory=set)
    taken: set[int] = field(default_factory=set)  # have, in flight, or given up
    bytes: int = 0
    wanted: set[int] = field(default_factory=set)  # by what is looked at now
    queue: list[tuple[int, Rank, Request]] = field(default_factory=list)  # (tier, rank, request)


class Session:
    """Looks at one image.

    Parameters
    ----------
    layout : ImageLayout
    cache_bytes : int
        How many bytes outside of what is looked at to keep.
    parse : callable
        How heads are parsed.

    Attributes
    ----------
    bytes_received, requests_made : int
    """

    def __init__(self, layout: ImageLayout, *, cache_bytes: int = CACHE_BYTES, parse: HeadParser = parse_head) -> None:
        self.layout = layout
        self.bytes_received = 0
        self.requests_made = 0
        self._parse = parse
        self._cache_bytes = cache_bytes
        self._shards: OrderedDict[str, _Shard] = OrderedDict()  # least recently looked at first
        self._parts: dict[str, list[tuple[int, ViewPart]]] = {}  # key -> (tier, part), the view's own first
        self._flying: dict[Request, None] = {}
        self._failures: dict[tuple[str, int], int] = {}
        self._dirty: dict[str, None] = {}  # keys whose queue must be made anew
        self._queue: list[tuple[int, Rank, Request]] = []  # all shards' queues, most urgent last
        self._check_memory_at = 0

    # -- looking -----------------------------------------------------------------------------------------------------

    def look(self, view: View, ahead: Iterable[View] = ()) -> list[Request]:
        """Look at `view` from now on.

        Parameters
        ----------
        ahead : iterable of View
            What may be looked at next, most likely first: fetched when the view itself is complete.

        Returns
        -------
        list of Request
            In flight, but not needed any more: abort them. They count as never made.

        Raises
        ------
        LayoutError, ValueError
            As `plan.view_parts`; nothing has changed then.
        """
        parts: dict[str, list[tuple[int, ViewPart]]] = {}
        for tier, looked_at in enumerate((view, *ahead)):
            for part in plan.view_parts(self.layout, looked_at):
                parts.setdefault(part.ref.key, []).append((tier, part))
        for key in self._parts:
            if key not in parts:
                self._shards[key].wanted = set()
                self._shards[key].queue = []
        self._parts = parts
        for key in parts:
            shard = self._shards.setdefault(key, _Shard(key))
            self._shards.move_to_end(key)
            self._plan(shard)
        aborted = [request for request in self._flying if not self._is_needed(request)]
        for request in aborted:
            self._land(request)
        self._dirty = dict.fromkeys(parts)
        self._check_memory_at = 0
        return aborted

    def next(self, count: int) -> list[Request]:
        """The most urgent requests, at most `count`; they are in flight from now on."""
        self._refresh()
        requests: list[Request] = []
        while self._queue and len(requests) < count:
            item = self._queue.pop()
            request = item[2]
            shard = self._shards[request.key]
            shard.queue.remove(item)
            shard.taken.update(request.segments)
            self._flying[request] = None
            requests.append(request)
        self.requests_made += len(requests)
        return requests

    # -- answers -----------------------------------------------------------------------------------------------------

    def receive(self, request: Request, data: bytes | memoryview, etag: str | None = None) -> list[Event]:
        """Take the answer to a request.

        Parameters
        ----------
        data
            The bytes asked for; fewer only for a head, when the whole object is shorter. Kept, not copied.
        etag : str, optional
            Of the answer.

        Returns
        -------
        list of Event
            What to do about it, in order. [] for a request that is not in flight (any more).
        """
        if request not in self._flying:
            return []
        shard = self._shards[request.key]
        if etag is not None and shard.etag is not None and etag != shard.etag:
            usable = not request.segments and request.offset == 0
            if usable:
                del self._flying[request]
            events = self._restart(shard)
            if not usable or shard.broken:
                return events
            return events + self._accept(shard, request, memoryview(data), etag)
        del self._flying[request]
        return self._accept(shard, request, memoryview(data), etag)

    def failed(self, request: Request) -> list[Event]:
        """The request brought no bytes: it will be made again, or given up after ATTEMPTS."""
        if request not in self._flying:
            return []
        self._land(request)
        self._dirty[request.key] = None
        attempts = self._failures.get((request.key, request.offset), 0) + 1
        self._failures[request.key, request.offset] = attempts
        if attempts < ATTEMPTS:
            return []
        shard = self._shards[request.key]
        if request.segments:
            shard.taken.update(request.segments)
            what = f"{request.length} bytes at {request.offset}"
        else:
            shard.broken = True
            what = "its head"
        return [Broken(request.key, f"{request.key}: {what} could not be fetched in {ATTEMPTS} attempts")]

    def replaced(self, request: Request) -> list[Event]:
        """The object is not the one whose ETag is pinned (412): begin again with it."""
        return self._restart(self._shards[request.key]) if request in self._flying else []

    def absent(self, request: Request) -> list[Event]:
        """There is no such object: its samples are the fill value."""
        if request not in self._flying:
            return []
        self._land(request)
        shard = self._shards[request.key]
        if shard.index is not None:
            return self._restart(shard)
        shard.absent = True
        self._dirty[request.key] = None
        return []

    def reject(self, key: str, segments: Iterable[int]) -> None:
        """Segments that have arrived turned out to be damaged: fetch them again, at most ATTEMPTS times."""
        shard = self._shards.get(key)
        if shard is None or shard.index is None:
            return
        for segment in shard.have.intersection(segments):
            attempts = self._failures.get((key, -segment - 1), 0) + 1
            self._failures[key, -segment - 1] = attempts
            shard.have.discard(segment)
            shard.bytes -= shard.index.length(segment)
            if attempts < ATTEMPTS:
                shard.taken.discard(segment)
        if key in self._parts:
            self._dirty[key] = None

    def retry(self) -> None:
        """Try again what was given up."""
        self._failures.clear()
        for key, shard in self._shards.items():
            shard.broken = False
            shard.restarts = 0
            shard.taken = set(shard.have)
            if key in self._parts:
                self._dirty[key] = None
        for request in self._flying:
            self._shards[request.key].taken.update(request.segments)

    # -- what is known -----------------------------------------------------------------------------------------------

    @property
    def parts(self) -> list[ViewPart]:
        """The shards of the view, in its order."""
        own = [part for parts in self._parts.values() for tier, part in parts if tier == 0]
        return sorted(own, key=lambda part: part.order)

    @property
    def in_flight(self) -> tuple[Request, ...]:
        return tuple(self._flying)

    @property
    def bytes_held(self) -> int:
        """Bytes of the segments and heads that are kept."""
        return sum(shard.bytes for shard in self._shards.values())

    def index(self, key: str) -> Index | None:
        """The index of a shard whose head is known."""
        shard = self._shards.get(key)
        return shard.index if shard else None

    def etag(self, key: str) -> str | None:
        """The version of an object that further answers must belong to (If-Match)."""
        shard = self._shards.get(key)
        return shard.etag if shard else None

    def has(self, key: str, segment: int) -> bool:
        shard = self._shards.get(key)
        return shard is not None and segment in shard.have

    def is_absent(self, key: str) -> bool:
        """Whether the shard is known not to exist."""
        shard = self._shards.get(key)
        return shard is not None and shard.absent

    def part_errors(self, part: ViewPart) -> tuple[int, float]:
        """(bound on the error, mean squared error by estimate) of what is there of a part, in data units.

        Before its head is known: of the data type's whole range.
        """
        shard = self._shards.get(part.ref.key)
        if shard is not None and shard.absent:
            return 0, 0.0
        if shard is None or shard.index is None:
            least, greatest = DTYPE_LIMITS[self.layout.dtype]
            return greatest - least, float((greatest - least) ** 2)
        fitted = plan.fit_region(shard.index, part.ref.level, part.ref.region)
        if fitted is None:
            return 0, 0.0
        layers = plan.complete_layers(shard.index, *fitted, shard.have)
        return bound(shard.index, fitted[0], layers), mse(shard.index, fitted[0], layers)

    def errors(self) -> tuple[int, float]:
        """As `part_errors`, of the view as it is now: the worst of its parts."""
        each = [self.part_errors(part) for part in self.parts]
        return max((error for error, _ in each), default=0), max((squared for _, squared in each), default=0.0)

    @property
    def exact(self) -> bool:
        """Every sample of the view is there to the last bit."""
        return self.errors()[0] == 0

    @property
    def complete(self) -> bool:
        """The view has the precision that was asked for."""
        return all(part.tolerance.allows(*self.part_errors(part)) for part in self.parts)

    @property
    def idle(self) -> bool:
        """Nothing is in flight and nothing is left to ask for."""
        self._refresh()
        return not self._flying and not self._queue

    # -- inside ------------------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Plan again where something has changed."""
        if self._dirty:
            for key in self._dirty:
                self._plan(self._shards[key])
            self._dirty = {}
            queued = [item for key in self._parts for item in self._shards[key].queue]
            self._queue = sorted(queued, key=lambda item: item[:2], reverse=True)

    def _plan(self, shard: _Shard) -> None:
        """Make a shard's queue anew."""
        shard.queue, shard.wanted = [], set()
        if shard.absent or shard.broken:
            return
        taken = shard.taken
        for tier, part in self._parts.get(shard.key, ()):
            if shard.index is None:
                if not any(request.key == shard.key for request in self._flying):
                    rank, request = plan.head_request(self.layout, part)
                    if shard.prefix:
                        rest = shard.head_bytes - len(shard.prefix)
                        request = Request(shard.key, len(shard.prefix), rest)
                    shard.queue.append((tier, rank, request))
                return
            planned = plan.plan_part(part, shard.index, taken)
            shard.wanted.update(planned.wanted)
            for rank, request in planned.requests:
                shard.queue.append((tier, rank, request))
                taken = taken.union(request.segments)

    def _is_needed(self, request: Request) -> bool:
        if not request.segments:
            return request.key in self._parts
        return not self._shards[request.key].wanted.isdisjoint(request.segments)

    def _land(self, request: Request) -> None:
        """A request is in flight no more, and brought nothing."""
        del self._flying[request]
        self._shards[request.key].taken.difference_update(request.segments)

    def _restart(self, shard: _Shard) -> list[Event]:
        """Forget everything of a shard whose object was replaced."""
        aborted = tuple(request for request in self._flying if request.key == shard.key)
        for request in aborted:
            del self._flying[request]
        restarts = shard.restarts + 1
        fresh = _Shard(shard.key, restarts=restarts, broken=restarts >= ATTEMPTS)
        for name in _Shard.__slots__:
            setattr(shard, name, getattr(fresh, name))
        if shard.key in self._parts:
            self._dirty[shard.key] = None
        events: list[Event] = [Restarted(shard.key, aborted)]
        if shard.broken:
            events.append(Broken(shard.key, f"{shard.key}: was replaced {restarts} times while it was read"))
        return events

    def _accept(self, shard: _Shard, request: Request, data: memoryview, etag: str | None) -> list[Event]:
        """An answer of the right version, to a request that has just left the air."""
        whole = len(data) == request.length
        if len(data) > request.length or (request.segments and not whole):
            self._flying[request] = None
            return self.failed(request)
        self.bytes_received += len(data)
        if etag is not None:
            shard.etag = etag
        self._failures.pop((request.key, request.offset), None)
        if request.segments:
            assert shard.index is not None
            received = self._keep(shard, shard.index, request.offset, data, False)
        else:
            prefix = shard.prefix + data
            try:
                parsed = self._parse(prefix)
                expected = parsed if isinstance(parsed, int) else parsed.size
                if not whole and len(prefix) < expected:
                    raise CodecError(f"the object ends after {len(prefix)} bytes, expected {expected} or more")
            except CodecError as error:
                shard.broken = True
                self._dirty[shard.key] = None
                return [Broken(shard.key, f"{shard.key}: {error}")]
            self._dirty[shard.key] = None
            if isinstance(parsed, int):
                shard.prefix, shard.head_bytes = prefix, parsed
                return []
            shard.index, shard.prefix = parsed, b""
            shard.bytes = parsed.head_size
            received = self._keep(shard, parsed, 0, memoryview(prefix), True)
        return [received, *self._forget()]

    def _keep(self, shard: _Shard, index: Index, offset: int, data: memoryview, is_new: bool) -> Received:
        segments = []
        for segment in index.within(offset, len(data)):
            start, end = int(index.offsets[segment]) - offset, int(index.offsets[segment + 1]) - offset
            if end > start and segment not in shard.have:
                segments.append((segment, data[start:end]))
                shard.have.add(segment)
                shard.bytes += end - start
        shard.taken.update(shard.have)
        numbers = [segment for segment, _ in segments]
        improved = []
        for tier, part in self._parts.get(shard.key, ()):
            region = improved_region(index, part, numbers) if tier == 0 else None
            if region:
                improved.append(Improved(part, region))
        return Received(shard.key, index, is_new, tuple(segments), tuple(improved))

    def _forget(self) -> list[Event]:
        """Keep memory within its bound."""
        held = self.bytes_held
        if held <= self._check_memory_at:
            return []
        # Enumerating what is looked at takes time: wait until as many bytes have come as might matter.
        protected = {key: self._protected(self._shards[key]) for key in self._parts}
        outside = held - sum(size for _, size in protected.values())
        events: list[Event] = []
        if outside > self._cache_bytes:
            # A little more than necessary, so that it is not for every answer.
            target = self._cache_bytes - self._cache_bytes // 8
            for key, shard in list(self._shards.items()):
                if outside > target and key not in self._parts and not any(r.key == key for r in self._flying):
                    outside -= shard.bytes
                    if shard.index is not None:
                        events.append(Forgotten(key))
                    del self._shards[key]
            for key in self._parts:
                if outside > target:
                    dropped, size = self._trim(self._shards[key], protected[key][0], outside - target)
                    outside -= size
                    if dropped:
                        events.append(Forgotten(key, dropped))
        self._check_memory_at = self.bytes_held + max(self._cache_bytes - outside, 0)
        return events

    def _protected(self, shard: _Shard) -> tuple[set[int], int]:
        """What of a shard belongs to what is looked at: (segments, bytes with the head)."""
        segments: set[int] = set()
        if shard.index is None:
            return segments, 0
        everything = [level.layers for level in shard.index.levels]
        for _, part in self._parts[shard.key]:
            fitted = plan.fit_region(shard.index, part.ref.level, part.ref.region)
            if fitted is not None:
                segments.update(segments_for(shard.index, *fitted, everything))
        segments &= shard.have
        return segments, shard.index.head_size + sum(map(shard.index.length, segments))

    def _trim(self, shard: _Shard, protected: set[int], excess: int) -> tuple[tuple[int, ...], int]:
        """Forget `excess` bytes of a shard in view: the finest level first, there the farthest from the view."""
        index = shard.index
        if index is None:
            return (), 0
        part = self._parts[shard.key][0][1]

        def priority(segment: int) -> tuple[int, int, int]:
            at = index.locate(segment)
            tile = index.levels[at.level].tile << at.level
            dy = (2 * at.tile_y + 1) * tile - (part.centre[0] << part.ref.level)
            dx = (2 * at.tile_x + 1) * tile - (part.centre[1] << part.ref.level)
            return at.level, -(dy * dy + dx * dx), -segment

        dropped, size = [], 0
        for segment in sorted(shard.have - protected, key=priority):
            if size >= excess:
                break
            dropped.append(segment)
            size += index.length(segment)
        shard.have.difference_update(dropped)
        shard.taken.difference_update(dropped)
        shard.bytes -= size
        return tuple(dropped), size


def improved_region(index: Index, part: ViewPart, segments: Iterable[int]) -> Region | None:
    """The least region of a part's level that holds all of it that `segments` change; None if they change nothing."""
    y, x, height, width = part.ref.region
    y0, x0, y1, x1 = y + height, x + width, y, x
    level = part.ref.level
    for segment in segments:
        at = index.locate(segment)
        if at.level == len(index.levels) - 1:
            return part.ref.region
        if at.level < level:
            continue
        # The reverse of Index.tiles: samples whose decoding reads this tile.
        tile, scale = index.levels[at.level].tile, 1 << (at.level - level)
        y0 = min(y0, (at.tile_y * tile - index.margin) * scale)
        x0 = min(x0, (at.tile_x * tile - index.margin) * scale)
        y1 = max(y1, ((at.tile_y + 1) * tile + index.margin) * scale)
        x1 = max(x1, ((at.tile_x + 1) * tile + index.margin) * scale)
    y0, x0, y1, x1 = max(y0, y), max(x0, x), min(y1, y + height), min(x1, x + width)
    return (y0, x0, y1 - y0, x1 - x0) if y1 > y0 and x1 > x0 else None
