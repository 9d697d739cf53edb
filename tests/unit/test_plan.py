"""The planner: the shared cases, what its requests cover, and their order."""

import json
from bisect import bisect_right
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight import geometry, plan
from firstlight.codecs import Decoder, Index, encode, select
from firstlight.layout import ImageLayout
from firstlight.plan import EXACT, Request, Tolerance, View
from support import plan_cases

CASES = json.loads(plan_cases.PATH.read_text())
INDEXES = [plan_cases.make_index(description) for description in plan_cases.INDEXES]


def test_the_cases_are_up_to_date() -> None:
    assert plan_cases.PATH.read_text() == plan_cases.dumps(plan_cases.make_cases()), (
        "run `python -m support.plan_cases` in tests/"
    )


@pytest.mark.parametrize("call", sorted({case["call"] for case in CASES["calls"]}))
def test_shared_cases(call: str) -> None:
    for case in CASES["calls"]:
        if case["call"] == call:
            assert plan_cases.evaluate(call, case["args"]) == case["gives"], case["args"]


@st.composite
def asks(draw: st.DrawFn) -> tuple[Index, int, geometry.Region, Tolerance, set[int]]:
    """(index, level, region, tolerance, have)"""
    index = INDEXES[draw(st.sampled_from([plan_cases.SMALL, plan_cases.MEDIUM, plan_cases.COLOUR, plan_cases.EDGE]))]
    level = draw(st.integers(0, len(index.levels) - 1))
    at = index.levels[level]
    y, x = draw(st.integers(0, at.height - 1)), draw(st.integers(0, at.width - 1))
    region = y, x, draw(st.integers(1, at.height - y)), draw(st.integers(1, at.width - x))
    have = draw(st.sets(st.integers(0, index.segments - 1), max_size=60))
    have = draw(st.sampled_from([have, set()]))
    guarantees = [Tolerance(max_error=error) for error in (0, 10, 50, 200)]
    return index, level, region, draw(st.sampled_from([*guarantees, Tolerance(mse=0.5), Tolerance(mse=20.0)])), have


@given(asks())
def test_requests_cover_what_is_wanted_and_no_byte_that_is_there(
    ask: tuple[Index, int, geometry.Region, Tolerance, set[int]],
) -> None:
    index, level, region, tolerance, have = ask
    layers = plan.choose(index, level, region, tolerance)
    wanted = set(select.segments_for(index, level, region, layers))
    covered = np.zeros(index.size, np.int8)
    got: set[int] = set()
    waste = 0
    requests = plan.plan_shard("s", index, level, region, tolerance, have)
    for request in requests:
        covered[request.offset : request.offset + request.length] += 1
        assert request.length == sum(map(index.length, request.segments))
        assert request.segments[0] in wanted
        assert request.segments[-1] in wanted
        assert request.length <= plan.LARGE or len(request.segments) == 1
        waste += request.length - sum(index.length(s) for s in request.segments if s in wanted)
        got.update(request.segments)
    assert covered.max(initial=0) <= 1
    assert not got & have
    assert wanted <= got | have
    # A gap is fetched only where that saves a request.
    assert waste <= plan.GAP * sum(len(request.segments) - 1 for request in requests)
    complete = plan.complete_layers(index, level, region, got | have)
    assert all(a >= b for a, b in zip(complete, layers, strict=True))
    assert tolerance.allows(select.bound(index, level, complete), select.mse(index, level, complete))


@given(asks())
def test_coarse_comes_before_fine(ask: tuple[Index, int, geometry.Region, Tolerance, set[int]]) -> None:
    index, level, region, tolerance, have = ask
    layers = plan.choose(index, level, region, tolerance)
    wanted = set(select.segments_for(index, level, region, layers)) - have
    first: dict[int, int] = {}  # level -> the request that begins its first group
    bounds = []
    there = set(have)
    for n, request in enumerate(plan.plan_shard("s", index, level, region, tolerance, have)):
        for segment in wanted.intersection(request.segments):
            at = index.locate(segment)
            if at.layer < plan_cases.GROUPS[1]:
                first.setdefault(at.level, n)
        there.update(request.segments)
        bounds.append(select.bound(index, level, plan.complete_layers(index, level, region, there)))
    assert bounds == sorted(bounds, reverse=True)
    if not have:  # a coarse level whose first group is there may well have its second fetched late
        order = [first[j] for j in sorted(first, reverse=True)]
        assert order == sorted(order)


def test_groups_come_one_after_the_other() -> None:
    """A large shard: the first group of all the view is asked for before any of the next."""
    index = INDEXES[plan_cases.BIG]
    seen = []
    for request in plan.plan_shard("s", index, 0, (1000, 1000, 1500, 1500)):
        ids = [index.locate(segment) for segment in request.segments]
        seen += [(i.level, bisect_right(plan_cases.GROUPS, i.layer) - 1) for i in ids if i.level < 2]
    firsts = [n for n, each in enumerate(seen) if each == (0, 0)]
    for finer in [(1, 1), (0, 1), (1, 2), (0, 2)]:
        later = [n for n, each in enumerate(seen) if each == finer]
        assert max(firsts) < min(later)
        firsts = later


def test_a_tile_s_part_of_a_group_comes_at_once() -> None:
    """No request ends inside what is wanted of a group of a tile, so that a tile is decoded once a group."""
    index = INDEXES[plan_cases.BIG]
    for tolerance in (EXACT, Tolerance(mse=6.25)):
        pieces: dict[tuple[int, int, int, int], set[int]] = {}
        for n, request in enumerate(plan.plan_shard("s", index, 0, (900, 900, 768, 1024), tolerance)):
            for segment in request.segments:
                at = index.locate(segment)
                group = bisect_right(plan_cases.GROUPS, at.layer)
                pieces.setdefault((at.level, at.tile_y, at.tile_x, group), set()).add(n)
        assert {len(requests) for requests in pieces.values()} == {1}


def test_a_group_wanted_in_part_leaves_gaps_that_are_worth_it() -> None:
    """The rest of a group is fetched along where it is small, and skipped where it is large."""
    index = INDEXES[plan_cases.BIG]
    region = (900, 900, 768, 1024)
    layers = select.choose_for_mse(index, 0, 13.0)
    assert layers[0] in range(plan_cases.GROUPS[1] + 1, plan_cases.GROUPS[2])
    wanted = set(select.segments_for(index, 0, region, layers))
    requests = plan.plan_shard("s", index, 0, region, Tolerance(mse=13.0))
    unwanted = [s for request in requests for s in request.segments if s not in wanted]
    assert all(request.segments[0] in wanted and request.segments[-1] in wanted for request in requests)
    waste = sum(map(index.length, unwanted))
    assert waste < 0.5 * sum(map(index.length, wanted))


def test_the_centre_comes_first() -> None:
    index = INDEXES[plan_cases.BIG]
    requests = plan.plan_shard("s", index, 0, (0, 0, 4096, 4096))
    first = next(r for r in requests if index.locate(r.segments[0]).level == 0)
    rows = {index.locate(segment).tile_y for segment in first.segments}
    assert rows & {7, 8}


@pytest.mark.parametrize("level", range(8))
def test_a_cold_viewport_takes_few_requests(level: int) -> None:
    index = INDEXES[plan_cases.BIG]
    at = index.levels[level]
    h, w = min(768, at.height), min(1024, at.width)
    region = (at.height - h) // 2, (at.width - w) // 2, h, w
    assert len(plan.plan_shard("s", index, level, region)) <= 50
    assert len(plan.plan_shard("s", index, level, region, Tolerance(mse=70.0))) <= 20  # the first group whole
    assert len(plan.plan_shard("s", index, level, region, Tolerance(mse=6.5))) <= 40  # the first and the second
    assert len(plan.plan_shard("s", index, level, region, Tolerance(mse=13.0))) <= 40  # and the second in part


def test_a_view_asks_for_unknown_heads_first_nearest_to_its_centre() -> None:
    layout = plan_cases.LAYOUTS["slide"]
    view = View((4096 - 700, 4096 - 100, 768, 1024), 0)
    keys = {part.ref.key for part in plan.view_parts(layout, view)}
    assert keys == {"0/c/0/0/0", "0/c/0/0/1", "0/c/0/1/0", "0/c/0/1/1"}
    requests = plan.plan_view(layout, view, {}, {})
    assert [r.key for r in requests] == ["0/c/0/0/1", "0/c/0/1/1", "0/c/0/0/0", "0/c/0/1/0"]
    assert {(r.offset, r.length, r.segments) for r in requests} == {(0, layout.arrays[0].head_bytes, ())}
    # A shard that does not exist needs nothing.
    assert plan.plan_view(layout, view, dict.fromkeys(keys), {}) == []
    index = INDEXES[plan_cases.BIG]
    requests = plan.plan_view(layout, view, {"0/c/0/0/0": index, "0/c/0/0/1": None}, {})
    assert [r.segments for r in requests[:2]] == [(), ()]
    assert {r.key for r in requests[2:]} == {"0/c/0/0/0"}


def test_a_view_is_checked() -> None:
    layout = plan_cases.LAYOUTS["cells"]
    with pytest.raises(ValueError, match="expected 2 tolerances, found 1"):
        plan.view_parts(layout, View((0, 0, 9, 9), 0, channels=(0, 1), tolerance=(EXACT,)))
    with pytest.raises(ValueError, match="cells: c: expected 0 to 1, found 2"):
        plan.view_parts(layout, View((0, 0, 9, 9), 0, channels=(2,)))
    with pytest.raises(ValueError, match="precision"):
        plan.tolerance("good", (0, 1), "uint8")
    with pytest.raises(ValueError, match="expected max_error or mse"):
        Tolerance(max_error=0, mse=1.0)


@given(
    st.tuples(st.integers(1, 200000), st.integers(1, 200000)),
    st.floats(1 / 256, 4),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
@settings(max_examples=50)
def test_any_viewport_of_a_colour_slide_takes_at_most_nine_first_requests(
    size: tuple[int, int], zoom: float, centre: tuple[float, float]
) -> None:
    layout = ImageLayout.build("a", ("c", "y", "x"), (3, *size), "uint8", rgb=True)
    level = geometry.level_for_zoom(zoom, len(layout.levels))
    scale = zoom * 2**level
    h, w = int(768 / scale) + 1, int(1024 / scale) + 1
    height, width = layout.level_size(level)
    view = View((int(centre[0] * height) - h // 2, int(centre[1] * width) - w // 2, h, w), level)
    assert 1 <= len(plan.plan_view(layout, view, {}, {})) <= 9


# ---- with the real codec -------------------------------------------------------------------------------------------


def picture(seed: int, height: int, width: int, dtype: str, rgb: bool) -> np.ndarray[Any, Any]:
    """Smooth shapes and noise, over much of the data type's range."""
    rng = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    y, x = np.mgrid[:height, :width]
    planes = []
    for _ in range(3 if rgb else 1):
        waves = np.sin(y / rng.uniform(5, 80)) + np.cos(x / rng.uniform(5, 80)) + rng.normal(0, 0.05, (height, width))
        planes.append((waves + 2.3) / 4.6)
    values = np.stack(planes, axis=-1).clip(0, 1) * (int(info.max) - int(info.min)) + int(info.min)
    result = values.astype(dtype)
    return result if rgb else result[..., 0]


SHARDS = {
    (dtype, rgb): encode(picture(seed, 300, 420, dtype, rgb))
    for seed, (dtype, rgb) in enumerate([("uint8", True), ("uint16", False), ("int16", False), ("uint8", False)])
}
WHOLE: dict[tuple[Any, int], np.ndarray[Any, Any]] = {}


def whole(kind: tuple[str, bool], level: int) -> np.ndarray[Any, Any]:
    """A level of a shard, from all of its bytes."""
    if (kind, level) not in WHOLE:
        decoder = Decoder(Index.parse(SHARDS[kind]))
        decoder.feed(0, SHARDS[kind])
        WHOLE[kind, level] = decoder.decode(level)
    return WHOLE[kind, level]


def fed(index: Index, shard: bytes, requests: list[Request]) -> Decoder:
    decoder = Decoder(index)
    for request in requests:
        decoder.feed(request.offset, shard[request.offset : request.offset + request.length])
    return decoder


@given(st.sampled_from(sorted(SHARDS)), st.data())
@settings(deadline=None)
def test_what_is_planned_suffices(kind: tuple[str, bool], data: st.DataObject) -> None:
    """A region decodes from the planned ranges alone as it does from the whole shard."""
    shard = SHARDS[kind]
    index = Index.parse(shard)
    level = data.draw(st.integers(0, len(index.levels) - 1))
    at = index.levels[level]
    y, x = data.draw(st.integers(0, at.height - 1)), data.draw(st.integers(0, at.width - 1))
    h, w = data.draw(st.integers(1, at.height - y)), data.draw(st.integers(1, at.width - x))
    max_error = data.draw(st.sampled_from([0, 0, 1, 5, 40, 1000, 20000]))
    requests = plan.plan_shard("s", index, level, (y, x, h, w), Tolerance(max_error=max_error))
    decoder = fed(index, shard, requests)
    assert decoder.bound(level, (y, x, h, w)) <= max_error
    found = decoder.decode(level, (y, x, h, w)).astype(np.int64)
    error = int(np.abs(found - whole(kind, level)[y : y + h, x : x + w]).max())
    assert error <= max_error


def test_every_prefix_of_a_plan_decodes() -> None:
    kind = ("uint8", True)
    shard = SHARDS[kind]
    index = Index.parse(shard)
    region = (100, 50, 130, 200)
    requests = plan.plan_shard("s", index, 0, region)
    assert len(requests) >= 1
    errors = []
    for n in range(1, len(requests) + 1):
        found = fed(index, shard, requests[:n]).decode(0, region).astype(int)
        errors.append(int(np.abs(found - whole(kind, 0)[100:230, 50:250]).max()))
    assert errors[-1] == 0
