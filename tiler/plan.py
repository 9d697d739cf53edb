"""Which byte ranges to fetch, and in which order, for what someone looks at. Pure: no I/O, no state, no samples.

Owns the order of loading and the shape of requests; which layers of which tiles are worth fetching is decided by
`firstlight.codecs.select`. web/viewer/src/plan/plan.ts holds the same rules for the viewer; tests/data/plan_cases.json
binds the two together, so everything here but the tolerances is integer arithmetic.

Order, over all shards of the view at once:
 1. heads that are not known yet (a head read also brings the coarsest levels);
 2. the first group of layers: what is wanted of it in the levels that are at least two coarser than the view's (step
    0), in the level above, then in the view's own level;
 3. then the other groups, one after the other: what is wanted of a group in all coarser levels, then in the view's own.
Inside a step coarser levels come first, then what is nearest to the centre of the view. Levels lie in this order in a
group, so that small ones are fetched together.

A group's layers of one tile lie together, and so do the tiles of a row: where a group is wanted whole, a row of tiles
is one run of bytes. Where only its first layers are, each tile leaves a gap, which is fetched along if it is small.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from firstlight import geometry
from firstlight.codecs.index import Index
from firstlight.codecs.select import choose_for_mse, choose_layers, segments_for
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

DISPLAY_STEPS = 255
"""Grey values of a display between the contrast limits."""
PRECISIONS = {"exact": (0.0, 0.0), "visual": (2.5, 0.3), "fast": (7.0, 7.0)}
"""Root-mean-square error of a policy in display steps: of pictures, and of measurements (grey samples of 16 bits).

Pictures are made for the eye: 2.5 steps are 40 dB, a JPEG of quality 85 to 90. Of measurements the screen should show
all that it can: with 0.3 steps, normally distributed, 99.9 % of the pixels are within one step of the exact picture.
7 steps, 31 dB, are good enough to find one's way."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far off samples may be: one of two statements.

    Attributes
    ----------
    max_error : int or None
        No sample is off by more, in data units: a guarantee. 0: exact.
    mse : float or None
        Mean of the squared error of all samples, in squared data units: an expectation.
    """

    max_error: int | None = None
    mse: float | None = None

    def __post_init__(self) -> None:
        if (self.max_error is None) == (self.mse is None):
            raise ValueError(f"tolerance: expected max_error or mse, found {self.max_error} and {self.mse}")

    def allows(self, max_error: int, mse: float) -> bool:
        """Whether a picture of these errors will do."""
        return mse <= self.mse if self.mse is not None else max_error <= (self.max_error or 0)


EXACT = Tolerance(max_error=0)


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
    tolerance : Tolerance or tuple[Tolerance, ...]
        For all channels, or one for each of `channels`.
    """

    region: Region
    level: int
    t: int = 0
    z: int = 0
    channels: tuple[int, ...] = (0,)
    tolerance: Tolerance | tuple[Tolerance, ...] = EXACT


@dataclass(frozen=True, slots=True)
class ViewPart:
    """One shard of a view.

    Attributes
    ----------
    channel : int
    tolerance : Tolerance
    ref : ShardRef
        The shard, its level, the region of that level, and where that lies in the view.
    order : int
        Its place among the parts of the view.
    centre : (int, int)
        The view's centre (y, x) from the shard's corner, in halves of a sample of the shard's level.
    """

    channel: int
    tolerance: Tolerance
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


def tolerance(precision: str, window: tuple[float, float], dtype: str, rgb: bool = False) -> Tolerance:
    """The error allowed by a policy.

    Parameters
    ----------
    precision : {"exact", "visual", "fast"}
        To the last bit; an error that the screen can't show; a quick look.
    window : (float, float)
        The contrast limits through which the data are seen.
    dtype : str
    rgb : bool
        The samples are colours.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, found {precision}")
    steps = PRECISIONS[precision][1 if dtype.endswith("16") and not rgb else 0]
    rms = steps * max(window[1] - window[0], 0) / DISPLAY_STEPS
    return Tolerance(mse=rms * rms) if steps else EXACT


def view_parts(layout: ImageLayout, view: View) -> list[ViewPart]:
    """The shards under a view, channel by channel, row-major.

    Raises
    ------
    LayoutError
        When the view names a level, channel or plane that does not exist.
    ValueError
        When there is not one tolerance for each channel.
    """
    allowed = view.tolerance if isinstance(view.tolerance, tuple) else (view.tolerance,) * len(view.channels)
    if len(allowed) != len(view.channels):
        raise ValueError(f"view: expected {len(view.channels)} tolerances, found {len(allowed)}")
    parts: list[ViewPart] = []
    for channel, each in zip(view.channels, allowed, strict=True):
        for ref in layout.shards(view.level, view.region, t=view.t, z=view.z, c=channel):
            centre_y = 2 * (ref.region[0] - ref.y) + view.region[2]
            centre_x = 2 * (ref.region[1] - ref.x) + view.region[3]
            parts.append(ViewPart(channel, each, ref, len(parts), (centre_y, centre_x)))
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


def plan_part(part: ViewPart, index: Index, have: Container[int], *, alone: bool = False) -> ShardPlan:
    """What a view still needs of a shard whose head is known.

    Parameters
    ----------
    have : container of int
        Segments that are there or on their way: no request covers a byte of them.
    alone : bool
        The picture will be made of `ShardPlan.wanted` alone, and not of others that are there too.
    """
    fitted = fit_region(index, part.ref.level, part.ref.region)
    if fitted is None:
        return ShardPlan([], [])
    level, region = fitted
    layers = choose(index, level, region, part.tolerance, alone=alone)
    scale = 1 << (part.ref.level - level)
    centre = (part.centre[0] * scale, part.centre[1] * scale)
    runs = _join_steps(index, _steps(index, level, region, layers, have, centre), have)
    requests = []
    for run in runs:
        offset = int(index.offsets[run.first])
        request = Request(part.ref.key, offset, _size(index, run.first, run.end), _filled(index, run.first, run.end))
        requests.append(((run.step, -run.level, run.distance, part.order, offset), request))
    return ShardPlan(segments_for(index, level, region, layers), sorted(requests, key=lambda item: item[0]))


def choose(index: Index, level: int, region: Region, tolerance: Tolerance, *, alone: bool = False) -> tuple[int, ...]:
    """How many layers of every level of a shard to have for a tolerance, by the fewest bytes. `alone`: no others."""
    if tolerance.mse is not None:
        return choose_for_mse(index, level, tolerance.mse)
    return choose_layers(index, level, region, tolerance.max_error or 0, exactly=alone)


def complete_layers(index: Index, level: int, region: Region, have: Container[int]) -> tuple[int, ...]:
    """For every level of a shard, how many layers all tiles have that `region` of `level` needs (0 below `level`).

    `select.bound` of it is the precision of the picture that `have` gives.
    """
    layers = [0] * len(index.levels)
    for j in range(level, len(index.levels)):
        at = index.levels[j]
        rect = index.tiles(j, level, region)
        tiles = [(y, x) for y in range(rect.y0, rect.y1) for x in range(rect.x0, rect.x1)]
        while layers[j] < at.layers:
            segments = (index.segment(j, layers[j], y, x) for y, x in tiles)
            if not all(s in have or index.length(s) == 0 for s in segments):
                break
            layers[j] += 1
    return tuple(layers)


def plan_shard(
    key: str, index: Index, level: int, region: Region, tolerance: Tolerance = EXACT, have: Container[int] = frozenset()
) -> list[Request]:
    """Requests, in order, for a region of one shard by itself.

    Parameters
    ----------
    level, region
        Of the shard.
    tolerance : Tolerance
    have : container of int
        Segments that are there already.
    """
    centre = (2 * region[0] + region[2], 2 * region[1] + region[3])
    part = ViewPart(0, tolerance, ShardRef(key, 0, level, region, 0, 0), 0, centre)
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
    region: Region,
    layers: Sequence[int],
    have: Container[int],
    centre: tuple[int, int],
) -> list[_Run]:
    """The runs of every step."""
    base = len(index.levels) - 1
    steps: dict[int, list[_Run]] = {}  # the pieces of a step, ascending
    spans = [index.layer_groups(j) for j in range(base + 1)]
    for group in range(len(index.groups)):
        for j in range(base, level - 1, -1):
            at = index.levels[j]
            rect = index.tiles(j, level, region)
            begin, end = spans[j][group]
            count = min(end, layers[j]) - begin
            if count <= 0:
                continue
            # Without the base there is no picture. Coarser levels come before finer ones in the first group, where they
            # matter most; in the others they are worth as much, and few bytes.
            step = 0 if j == base else 2 * group + max(level + 2 - j, min(group, 1))
            pieces = steps.setdefault(step, [])
            for tile_y in range(rect.y0, rect.y1):
                for tile_x in range(rect.x0, rect.x1):
                    # Tile centres in halves of a sample of the view's level.
                    dy = (((2 * tile_y + 1) * at.tile) << (j - level)) - centre[0]
                    dx = (((2 * tile_x + 1) * at.tile) << (j - level)) - centre[1]
                    first = index.segment(j, begin, tile_y, tile_x)
                    for start, stop in _missing(index, first, first + count, have):
                        pieces.append(_Run(start, stop, step, j, dy * dy + dx * dx))
    return [run for pieces in steps.values() for run in _join_pieces(index, pieces, have)]


def _missing(index: Index, first: int, end: int, have: Container[int]) -> list[tuple[int, int]]:
    """The segments first .. end - 1 that are not there, as runs; empty ones may lie inside, not at the ends."""
    runs: list[tuple[int, int]] = []
    offsets = index.offsets[first : end + 1].tolist()
    for segment, (start, stop) in enumerate(pairwise(offsets), first):
        if start != stop and segment not in have:
            if runs and offsets[runs[-1][1] - first] == start:
                runs[-1] = (runs[-1][0], segment + 1)
            else:
                runs.append((segment, segment + 1))
    return runs


def _join_pieces(index: Index, pieces: Sequence[_Run], have: Container[int]) -> list[_Run]:
    """Join the pieces of one step, each of one tile, over small gaps."""
    size = sum(_size(index, piece.first, piece.end) for piece in pieces)
    # Where pieces are large a request more matters little and the bytes of a gap would add up.
    gap = min(GAP, GAP * GAP * len(pieces) // max(size, 1))
    runs: list[_Run] = []
    for piece in pieces:
        if runs and _joinable(index, runs[-1].end, piece.first, gap, have):
            run = runs[-1]
            if _size(index, run.first, piece.end) <= LARGE:
                level, distance = max(run.level, piece.level), min(run.distance, piece.distance)
                runs[-1] = _Run(run.first, piece.end, run.step, level, distance)
                continue
        runs.append(piece)
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
    ends = index.offsets[first : end + 1].tolist()
    return tuple(s for s, (start, stop) in enumerate(pairwise(ends), first) if start != stop)
