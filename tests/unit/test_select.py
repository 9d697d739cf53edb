"""`select` on made-up heads: the cheapest choice is the cheapest, budgets are kept, steps come in their order."""

from bisect import bisect_right
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.codecs import Index, InvalidArgument, _native, select
from support.heads import (
    ERRORS_AT,
    LEVEL_WORDS,
    LEVELS_AT,
    MAX_GROUPS,
    MEASURED_LEVELS,
    PARTS_AT,
    measured,
    tables,
    words_of,
)


@st.composite
def indices(draw: st.DrawFn, most_layers: int = 24, side: int = 700) -> Index:
    """Any geometry, any sizes of segments, errors and mean squared errors that fall with each layer."""
    width, height = draw(st.integers(1, side)), draw(st.integers(1, side))
    layers = draw(st.integers(1, most_layers))
    most_groups = min(MAX_GROUPS, layers) - 1
    starts = sorted(draw(st.sets(st.integers(1, max(layers - 1, 1)), max_size=most_groups)))
    raw = _native.plan_head(width, height, draw(st.integers(1, 4)), 8, False, 0, 0, 0, layers, tuple(starts))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    plan = Index(raw, np.zeros(np.frombuffer(raw, np.uint32)[12] + 1, np.uint32))
    words = words_of(raw)
    for k, at in enumerate(plan.levels):
        for table in tables(words, k):
            table[: at.layers] = np.sort(rng.integers(1, draw(st.sampled_from([4, 50])), at.layers))[::-1]
            table[at.layers] = 0
        if k < min(len(plan.levels) - 1, MEASURED_LEVELS):
            for n in range(1, layers):
                measured(words, k)[n] = rng.integers(1, 30) if n % 2 else 0xFFFFFFFF
    lengths = rng.integers(0, draw(st.sampled_from([2, 100])), plan.segments)
    parts = np.cumsum(rng.integers(5, draw(st.sampled_from([10, 1000])), MAX_GROUPS))[: len(plan.groups)]
    words[PARTS_AT:][: len(parts)] = parts
    return Index(words.tobytes(), np.cumsum([parts[-1], *lengths]).astype(np.uint32))


def pick(data: st.DataObject, index: Index) -> tuple[int, tuple[int, int, int, int]]:
    level = data.draw(st.integers(0, len(index.levels) - 1))
    at = index.levels[level]
    y, x = data.draw(st.integers(0, at.height - 1)), data.draw(st.integers(0, at.width - 1))
    return level, (y, x, data.draw(st.integers(1, at.height - y)), data.draw(st.integers(1, at.width - x)))


def size(index: Index, segments: list[int]) -> int:
    return sum(map(index.length, segments))


def head_bytes(index: Index, layer: int) -> int:
    """Of the parts that tell of the groups up to that of a layer."""
    return index.parts[bisect_right(index.groups, layer) - 1]


def steps(index: Index, level: int) -> list[tuple[int, int]]:
    """(layer, level): by layers, then from coarse to fine."""
    base = len(index.levels) - 1
    every = [(n, -j) for j in range(level, base) for n in range(index.levels[j].layers)]
    return [(n, -j) for n, j in sorted(every)]


@given(st.data())
def test_the_cheapest_choice_is_the_cheapest(data: st.DataObject) -> None:
    index = data.draw(indices(most_layers=3, side=40))
    level, region = pick(data, index)
    priced = []
    for tail in product(*(range(at.layers + 1) for at in index.levels[level:-1])):
        layers = (0,) * level + tail + (1,)
        segments = select.segments_for(index, level, region, layers)
        priced.append((size(index, segments), select.bound(index, level, layers), layers))
    for max_error in data.draw(st.lists(st.integers(0, 100), min_size=1, max_size=5)):
        expected = min(priced_one for priced_one in priced if priced_one[1] <= max_error)
        assert select.choose_layers(index, level, region, max_error, exactly=False) == expected[2]
        known = [n for n, error in index.levels[level].measured.items() if error <= max_error]
        for equal in known[:1] and [select.uniform(index, level, known[0])]:
            if 8 * size(index, select.segments_for(index, level, region, equal)) <= 9 * expected[0]:
                expected = (0, 0, equal)
        assert select.choose_layers(index, level, region, max_error) == expected[2]


@given(st.data(), st.integers(0, 100000))
def test_large_errors_are_kept_too(data: st.DataObject, max_error: int) -> None:
    index = data.draw(indices())
    level, region = pick(data, index)
    for exactly, bound in ((True, select.exact_bound), (False, select.bound)):
        layers = select.choose_layers(index, level, region, max_error, exactly=exactly)
        assert bound(index, level, layers) <= max_error
        assert layers[:level] == (0,) * level


@given(st.data())
def test_segments_are_those_of_the_tiles(data: st.DataObject) -> None:
    index = data.draw(indices())
    level, region = pick(data, index)
    layers = [data.draw(st.integers(0, at.layers)) for at in index.levels]
    expected = [
        index.segment(j, n, tile_y, tile_x)
        for j in range(level, len(index.levels))
        for rect in [index.tiles(j, level, region)]
        for tile_y in range(rect.y0, rect.y1)
        for tile_x in range(rect.x0, rect.x1)
        for n in range(layers[j])
    ]
    assert select.segments_for(index, level, region, layers) == sorted(filter(index.length, expected))


@given(st.data())
def test_layers_for_a_mean_error_are_whole_steps(data: st.DataObject) -> None:
    index = data.draw(indices())
    level, _ = pick(data, index)
    base = len(index.levels) - 1
    for max_mse in (0.0, data.draw(st.floats(0, 200)), 1e9):
        layers = select.choose_for_mse(index, level, max_mse)
        order = steps(index, level)
        count = sum(layers[level:base])
        have = [0] * base + [1]
        for n, j in order[:count]:
            assert select.mse(index, level, have) > max_mse
            have[j] = n + 1
        assert tuple(have) == layers
        assert select.mse(index, level, layers) <= max_mse


@given(st.data())
def test_a_budget_is_kept_and_used(data: st.DataObject) -> None:
    index = data.draw(indices())
    level, region = pick(data, index)
    base = len(index.levels) - 1
    last = max(at.layers for at in index.levels[level:]) - 1
    everything = size(index, select.segments_for(index, level, region, [at.layers for at in index.levels]))
    everything += head_bytes(index, last)
    budget = data.draw(st.integers(0, everything + 1))
    chosen = select.within_budget(index, level, region, budget)
    if chosen:
        known = head_bytes(index, max(index.locate(segment).layer for segment, _ in chosen))
        assert known + sum(count for _, count in chosen) <= budget
    assert all(0 < count <= index.length(segment) for segment, count in chosen)
    segments = [segment for segment, _ in chosen]
    assert len(set(segments)) == len(segments)
    if budget < index.parts[0] + index.length(0):
        assert segments == []
        return
    if budget >= everything:
        assert sorted(segments) == select.segments_for(index, level, region, [at.layers for at in index.levels])
    # A layer comes after the one that it refines.
    taken: set[int] = set()
    for segment in segments:
        at = index.locate(segment)
        before = index.segment(at.level, at.layer - 1, at.tile_y, at.tile_x) if at.layer else -1
        assert before < 0 or before in taken or index.length(before) == 0
        taken.add(segment)
    # One at most is cut, in the last step; then nothing is left.
    cut = [segment for segment, count in chosen if count < index.length(segment)]
    assert len(cut) <= 1
    if cut:
        assert index.locate(cut[0])[:2] == index.locate(segments[-1])[:2]
        assert known + sum(count for _, count in chosen) == budget
    # Whole steps first, as many as there is room for.
    whole = [0] * base + [1]
    for n, j in steps(index, level):
        whole[j] = n + 1
        fitting = select.segments_for(index, level, region, whole)
        if head_bytes(index, n) + size(index, fitting) > budget:
            break
        assert set(segments[: len(fitting)]) == set(fitting)


@given(st.data())
def test_a_budget_stops_at_a_precision(data: st.DataObject) -> None:
    index = data.draw(indices())
    level, region = pick(data, index)
    limit = data.draw(st.floats(0.5, 300))
    segments = [segment for segment, _ in select.within_budget(index, level, region, 1 << 31, max_mse=limit)]
    layers = select.choose_for_mse(index, level, limit)
    assert sorted(segments) == select.segments_for(index, level, region, layers)
    error = data.draw(st.integers(0, 100))
    segments = [segment for segment, _ in select.within_budget(index, level, region, 1 << 31, max_error=error)]
    have = [0] * (len(index.levels) - 1) + [1]
    for n, j in steps(index, level):
        if select.exact_bound(index, level, tuple(have)) <= error:
            break
        have[j] = n + 1
    assert sorted(segments) == select.segments_for(index, level, region, have)


def test_the_last_step_is_filled_from_the_centre() -> None:
    raw = _native.plan_head(1024, 1024, 1, 8, False, 0, 0, 0, 1)
    plan = Index(raw, np.zeros(np.frombuffer(raw, np.uint32)[12] + 1, np.uint32))
    words = words_of(raw)
    words[LEVELS_AT + ERRORS_AT :: LEVEL_WORDS][: len(plan.levels)] = 9  # error[0] of every level
    index = Index(words.tobytes(), np.arange(plan.segments + 1, dtype=np.uint32) * 10)
    coarser = 10 * (plan.segments - 16)
    chosen = select.within_budget(index, 0, (0, 0, 1024, 1024), coarser + 45)
    tiles = {index.locate(s)[2:]: count for s, count in chosen if index.locate(s).level == 0}
    # The four in the middle; then the upper ones of those around them, as far as there are bytes.
    assert tiles == {(1, 1): 10, (1, 2): 10, (2, 1): 10, (2, 2): 10, (0, 1): 5}


@given(indices(most_layers=2, side=40))
def test_wrong_numbers_are_named(index: Index) -> None:
    for call in (
        lambda: select.choose_layers(index, 0, index.region(0), -1),
        lambda: select.within_budget(index, 0, index.region(0), -1),
        lambda: select.within_budget(index, 0, index.region(0), 1, -1),
        lambda: select.within_budget(index, 0, index.region(0), 1, 0, -1.0),
        lambda: select.choose_for_mse(index, 99, 1.0),
    ):
        with pytest.raises(InvalidArgument):
            call()
