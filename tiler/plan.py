"""Which byte ranges to fetch, and in which order, for what someone looks at. Pure: no I/O, no state, no samples.

Owns the order of loading and the shape of requests; which layers of which tiles are worth fetching is decided by
`firstlight.codecs.select`. web/viewer/src/plan/plan.ts holds the same rules for the viewer; tests/data/plan_cases.json
binds the two together, so everything here is integer arithmetic.

Order, over all shards of the view at once:
 1. heads that are not known yet (a head read also brings the coarsest levels);
 2. step 0: every wanted layer of the levels that are at least two coarser than the view's;
 3. then layer by layer: the next layer of the level above, the next layer of the view's own level.
Inside a step coarser levels come first, then what is nearest to the centre of the view.
"""

from bisect import bisect_left
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from firstlight import geometry
from firstlight.codecs.index import Index
from firstlight.codecs.select import choose_layers, segments_for
from firstlight.geometry import Region
from firstlight.layout import ImageLayout, ShardRef

Rank: TypeAlias = tuple[int, int, int, int, int]
"""(step, minus the coarsest level, squared distance to the view's centre, place of the shard in the view, offset):
requests are made in ascending order of it."""

GAP = 16384
"""Unwanted bytes that are fetched rather than made the reason of one more request: about what a request costs."""
SMALL = 65536
"""Requests of different steps become one while it is not longer than this."""
LARGE = 1 << 20
"""No request that holds several segments is longer: what is on its way can't be put behind something more urgent."""
HEAD_STEP = -1

PRECISIONS = {"exact": 0.0, "visual": 0.3, "fast": 0.75}
"""Error bound allowed, in contrast windows. A bound is a worst case: actual errors are several times smaller."""
COLOUR_SLACK = 2.2
"""How much more is allowed in colour: the bounds of three components add up, while their errors hardly ever do."""


@dataclass(frozen=True, slots=True)
class Request:
    """One ranged read of one object.

    Attributes
    ----------
    key : str
        The shard, from the image's root.
    offset, length : int
        Bytes. Reading a head may come back short: when the whole object is shorter.
    segments : tuple[int, ...]
        The segments inside, ascending, empty ones left out; () for a head.
    """

    key: str
    offset: int
    length: int
    segments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """What someone looks at.

    Attributes
    ----------
    region : Region
        In samples of `level`; may reach beyond the image.
    level : int
        Of the image.
    t, z : int
    channels : tuple[int, ...]
        Indices in c; (0,) for colour images and those without c.
    max_error : int or tuple[int, ...]
        Absolute error allowed, in data units: for all channels, or one number for each of `channels`.
    """

    region: Region
    level: int
    t: int = 0
    z: int = 0
    channels: tuple[int, ...] = (0,)
    max_error: int | tuple[int, ...] = 0


@dataclass(frozen=True, slots=True)
class ViewPart:
    """One shard of a view.

    Attributes
    ----------
    channel : int
    max_error : int
        In data units.
    ref : ShardRef
        The shard, its level, the region of that level, and where that lies in the view.
    order : int
        Its place among the parts of the view.
    centre : (int, int)
        The view's centre (y, x) from the shard's corner, in halves of a sample of the shard's level.
    """

    channel: int
    max_error: int
    ref: ShardRef
    order: int
    centre: tuple[int, int]


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What a view still needs of one shard.

    Attributes
    ----------
    wanted : list[int]
        All segments that give the view's precision, ascending, whether they are there already or not.
    requests : list[tuple[Rank, Request]]
        For those that are not, in ascending order of rank.
    """

    wanted: list[int]
    requests: list[tuple[Rank, Request]]


def max_error(precision: str, window: tuple[float, float], rgb: bool = False) -> int:
    """The error allowed by a policy, in data units.

    Parameters
    ----------
    precision : {"exact", "visual", "fast"}
        To the last bit; an error that the screen can't show; a quick look.
    window : (float, float)
        The contrast limits through which the data are seen.
    rgb : bool
        The samples are colours.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, found {precision}")
    return int(PRECISIONS[precision] * (COLOUR_SLACK if rgb else 1) * max(window[1] - window[0], 0))


def view_parts(layout: ImageLayout, view: View) -> list[ViewPart]:
    """The shards under a view, channel by channel, row-major.

    Raises
    ------
    LayoutError
        When the view names a level, channel or plane that does not exist.
    ValueError
        When `max_error` has not one number for each channel.
    """
    errors = view.max_error if isinstance(view.max_error, tuple) else (view.max_error,) * len(view.channels)
    if len(errors) != len(view.channels):
        raise ValueError(f"view: max_error: expected {len(view.channels)} numbers, found {len(errors)}")
    parts: list[ViewPart] = []
    for channel, error in zip(view.channels, errors, strict=True):
        for ref in layout.shards(view.level, view.region, t=view.t, z=view.z, c=channel):
            centre_y = 2 * (ref.region[0] - ref.y) + view.region[2]
            centre_x = 2 * (ref.region[1] - ref.x) + view.region[3]
            parts.append(ViewPart(channel, error, ref, len(parts), (centre_y, centre_x)))
    return parts


def fit_region(index: Index, level: int, region: Region) -> tuple[int, Region] | None:
    """(level, region) of a shard as far as it has them; None when it has nothing there.

    A shard may end before its chunk does (beyond, samples are the fill value), and be too small to have a level: then
    its coarsest is all there is, and every 2nd, 4th ... sample of it is one of the level that was asked for.
    """
    base = min(level, len(index.levels) - 1)
    if base < level:
        region = geometry.scale_region(region, level, base)
    region = geometry.clip_region(region, index.levels[base].height, index.levels[base].width)
    return (base, region) if region[2] and region[3] else None


def head_request(layout: ImageLayout, part: ViewPart) -> tuple[Rank, Request]:
    """The read of a shard's head."""
    ref = part.ref
    dy = 2 * ref.region[0] + ref.region[2] - part.centre[0]
    dx = 2 * ref.region[1] + ref.region[3] - part.centre[1]
    rank = (HEAD_STEP, 0, dy * dy + dx * dx, part.order, 0)
    return rank, Request(ref.key, 0, layout.arrays[ref.array].head_bytes)


def plan_part(part: ViewPart, index: Index, have: Container[int]) -> ShardPlan:
    """What a view still needs of a shard whose head is known.

    Parameters
    ----------
    have : container of int
        Segments that are there or on their way: no request covers a byte of them.
    """
    fitted = fit_region(index, part.ref.level, part.ref.region)
    if fitted is None:
        return ShardPlan([], [])
    level, region = fitted
    layers = choose_layers(index, level, region, part.max_error)
    scale = 1 << (part.ref.level - level)
    centre = (part.centre[0] * scale, part.centre[1] * scale)
    wanted = segments_for(index, level, region, layers)
    runs = _join_steps(index, _steps(index, level, layers, wanted, have, centre), have)
    requests = []
    for run in runs:
        offset = int(index.offsets[run.first])
        request = Request(part.ref.key, offset, _size(index, run.first, run.end), _filled(index, run.first, run.end))
        requests.append(((run.step, -run.level, run.distance, part.order, offset), request))
    return ShardPlan(wanted, sorted(requests, key=lambda item: item[0]))


def complete_layers(index: Index, level: int, region: Region, have: Container[int]) -> tuple[int, ...]:
    """For every level of a shard, how many layers all tiles have that `region` of `level` needs (0 below `level`).

    `select.bound` of it is the precision of the picture that `have` gives.
    """
    layers = [0] * len(index.levels)
    for j in range(level, len(index.levels)):
        at = index.levels[j]
        rect = index.tiles(j, level, region)
        while layers[j] < at.layers and all(
            segment in have
            for y in range(rect.y0, rect.y1)
            for segment in _filled(
                index, index.segment(j, layers[j], y, rect.x0, 0), index.segment(j, layers[j], y, rect.x1, 0)
            )
        ):
            layers[j] += 1
    return tuple(layers)


def plan_shard(
    key: str, index: Index, level: int, region: Region, max_error: int = 0, have: Container[int] = frozenset()
) -> list[Request]:
    """Requests, in order, for a region of one shard by itself.

    Parameters
    ----------
    level, region
        Of the shard.
    max_error : int
        Absolute error allowed, in data units.
    have : container of int
        Segments that are there already.
    """
    centre = (2 * region[0] + region[2], 2 * region[1] + region[3])
    part = ViewPart(0, max_error, ShardRef(key, 0, level, region, 0, 0), 0, centre)
    return [request for _, request in plan_part(part, index, have).requests]


def plan_view(
    layout: ImageLayout,
    view: View,
    heads: Mapping[str, Index | None],
    have: Mapping[str, Container[int]],
) -> list[Request]:
    """Everything that a view still needs, in order, as far as the known heads tell.

    Parameters
    ----------
    heads : mapping
        Shard key -> its index; None for a shard that does not exist (its samples are the fill value).
    have : mapping
        Shard key -> segments that are there already or on their way.

    Raises
    ------
    LayoutError, ValueError
        As `view_parts`.
    """
    ranked: list[tuple[Rank, Request]] = []
    for part in view_parts(layout, view):
        if part.ref.key not in heads:
            ranked.append(head_request(layout, part))
            continue
        index = heads[part.ref.key]
        if index is not None:
            ranked += plan_part(part, index, have.get(part.ref.key, frozenset())).requests
    return [request for _, request in sorted(ranked, key=lambda item: item[0])]


# -- runs of segments ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Run:
    """Segments first .. end - 1 of a shard, fetched together; the first and the last are wanted."""

    first: int
    end: int
    step: int
    level: int
    distance: int


def _steps(
    index: Index,
    level: int,
    layers: Sequence[int],
    wanted: Sequence[int],
    have: Container[int],
    centre: tuple[int, int],
) -> list[_Run]:
    """The runs of every step."""
    base = len(index.levels) - 1
    steps: dict[int, list[tuple[int, int, int]]] = {}  # step -> (segment, level, distance) ascending
    for j in range(base, level - 1, -1):
        at = index.levels[j]
        for layer in range(layers[j]):
            step = 0 if j == base or j >= level + 2 else 1 + 2 * layer + (level + 1 - j)
            first = index.segment(j, layer, 0, 0, 0)
            end = first + at.tiles * index.components
            found = steps.setdefault(step, [])
            for segment in wanted[bisect_left(wanted, first) : bisect_left(wanted, end)]:
                if segment not in have:
                    tile_y, tile_x = divmod((segment - first) // index.components, at.tiles_x)
                    # Tile centres in halves of a sample of the view's level.
                    dy = (((2 * tile_y + 1) * at.tile) << (j - level)) - centre[0]
                    dx = (((2 * tile_x + 1) * at.tile) << (j - level)) - centre[1]
                    found.append((segment, j, dy * dy + dx * dx))
    runs = []
    for step, segments in steps.items():
        if segments:
            runs += _runs(index, step, segments, have)
    return runs


def _runs(index: Index, step: int, segments: Sequence[tuple[int, int, int]], have: Container[int]) -> list[_Run]:
    """Join segments of one step over small gaps."""
    size = sum(index.length(segment) for segment, _, _ in segments)
    # Where segments are large a request more matters little and the bytes of a gap would add up.
    gap = min(GAP, GAP * GAP * len(segments) // size)
    runs: list[_Run] = []
    for segment, level, distance in segments:
        if runs and _joinable(index, runs[-1].end, segment, gap, have):
            run = runs[-1]
            if _size(index, run.first, segment + 1) <= LARGE:
                runs[-1] = _Run(run.first, segment + 1, step, max(run.level, level), min(run.distance, distance))
                continue
        runs.append(_Run(segment, segment + 1, step, level, distance))
    return runs


def _join_steps(index: Index, runs: Sequence[_Run], have: Container[int]) -> list[_Run]:
    """Join neighbours in the file, of whatever step, into small requests; each is as urgent as its most urgent part."""
    joined: list[_Run] = []
    for run in sorted(runs, key=lambda r: r.first):
        if joined and _size(index, joined[-1].first, run.end) <= SMALL:
            last = joined[-1]
            if _joinable(index, last.end, run.first, GAP, have):
                step, level, distance = min(
                    (last.step, -last.level, last.distance), (run.step, -run.level, run.distance)
                )
                joined[-1] = _Run(last.first, run.end, step, -level, distance)
                continue
        joined.append(run)
    return joined


def _joinable(index: Index, end: int, first: int, gap: int, have: Container[int]) -> bool:
    """Whether segments end .. first - 1 may be fetched along: few bytes, and none that is there already."""
    return _size(index, end, first) <= gap and not any(s in have for s in _filled(index, end, first))


def _size(index: Index, first: int, end: int) -> int:
    return int(index.offsets[end]) - int(index.offsets[first])


def _filled(index: Index, first: int, end: int) -> tuple[int, ...]:
    """The segments first .. end - 1 that are not empty."""
    return tuple(s for s in range(first, end) if index.offsets[s] != index.offsets[s + 1])
