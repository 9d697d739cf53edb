"""Sessions: the shared scripts, the invariants under random use, and each state by itself."""

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight import plan
from firstlight.codecs import Decoder, Index, encode
from firstlight.layout import ImageLayout
from firstlight.plan import EXACT, Request, Tolerance, View
from firstlight.session import ATTEMPTS, Broken, Event, Forgotten, Received, Restarted, Session
from support import plan_cases
from support.plan_cases import CELLS_OBJECTS, LAYOUTS, STACK_OBJECTS, Replay, answer, fake_head, make_index

CASES = json.loads(plan_cases.PATH.read_text())
INDEXES = [make_index(description) for description in plan_cases.INDEXES]
CELLS = LAYOUTS["cells"]
WHOLE_VIEW = View((0, 0, 1044, 1500), 0, channels=(0, 1))


@pytest.mark.parametrize("script", CASES["sessions"], ids=lambda script: script["layout"])
def test_shared_scripts(script: Any) -> None:
    session = Session(LAYOUTS[script["layout"]], cache_bytes=script["cache_bytes"], parse=fake_head)
    replay = Replay(session, script["objects"])
    for n, step in enumerate(script["steps"]):
        assert replay.run(step) == step["gives"], (n, step)


def open_cells(**options: Any) -> Session:
    return Session(CELLS, parse=fake_head, **options)


def serve(session: Session, request: Request, etag: str | None = "v") -> list[Event]:
    return session.receive(request, answer(request, {**CELLS_OBJECTS, **STACK_OBJECTS}[request.key]), etag)


def finish(session: Session) -> list[Event]:
    """Answer everything."""
    events = []
    while not session.idle:
        for request in session.next(6):
            events += serve(session, request)
    return events


# ---- invariants ------------------------------------------------------------------------------------------------------


class Watch:
    """Whoever drives a session: knows what it was given, and checks what it is asked for."""

    def __init__(self, session: Session, objects: dict[str, int]) -> None:
        self.session = session
        self.objects = objects
        self.have: dict[str, set[int]] = {key: set() for key in objects}
        self.heads: set[str] = set()
        self.flying: list[Request] = []

    def look(self, view: View, ahead: list[View]) -> None:
        aborted = self.session.look(view, ahead)
        assert len(set(aborted)) == len(aborted)
        for request in aborted:
            self.flying.remove(request)
        needed = {part.ref.key for each in (view, *ahead) for part in plan.view_parts(self.session.layout, each)}
        assert {request.key for request in self.flying} <= needed

    def next(self, count: int) -> None:
        for request in self.session.next(count):
            on_its_way = {s for other in self.flying if other.key == request.key for s in other.segments}
            assert not set(request.segments) & (self.have[request.key] | on_its_way)
            assert request.segments or request.key not in self.heads
            assert request.segments or all(other.key != request.key for other in self.flying)
            self.flying.append(request)
        assert sorted(map(repr, self.session.in_flight)) == sorted(map(repr, self.flying))

    def take(self, request: Request, events: list[Event], landed: bool = True) -> None:
        if landed:
            self.flying.remove(request)
        for event in events:
            match event:
                case Received():
                    assert event.is_new == (event.key not in self.heads)
                    self.heads.add(event.key)
                    for segment, data in event.segments:
                        assert len(data) == event.index.length(segment)
                        assert segment not in self.have[event.key]
                        self.have[event.key].add(segment)
                    for improved in event.improved:
                        y, x, h, w = improved.part.ref.region
                        a, b, c, d = improved.region
                        assert y <= a < a + c <= y + h
                        assert x <= b < b + d <= x + w
                case Forgotten(key, None):
                    self.have[key] = set()
                    self.heads.discard(key)
                case Forgotten(key, segments):
                    assert segments is not None
                    assert set(segments) <= self.have[key]
                    self.have[key] -= set(segments)
                case Restarted(key, aborted):
                    assert key == request.key
                    self.have[key] = set()
                    self.heads.discard(key)
                    for each in aborted:
                        if each in self.flying:
                            self.flying.remove(each)
        held = sum(INDEXES[self.objects[key]].length(s) for key, segments in self.have.items() for s in segments)
        held += sum(INDEXES[self.objects[key]].head_size for key in self.heads)
        assert self.session.bytes_held == held


@pytest.mark.parametrize(("name", "objects"), [("cells", CELLS_OBJECTS), ("stack", STACK_OBJECTS)])
@given(seed=st.integers(0, 1 << 32), cache_bytes=st.sampled_from([0, 10_000, 200_000, 10**9]))
@settings(max_examples=40, deadline=None)
def test_invariants(name: str, objects: dict[str, int], seed: int, cache_bytes: int) -> None:
    rng = random.Random(seed)
    session = Session(LAYOUTS[name], cache_bytes=cache_bytes, parse=fake_head)
    watch = Watch(session, objects)
    etags = dict.fromkeys(objects, 0)
    for step in range(60):
        chance = rng.random()
        if step == 0 or chance < 0.1:
            views = [plan_cases.random_view(rng, name) for _ in range(rng.choice([1, 1, 2]))]
            watch.look(views[0], views[1:])
        elif chance < 0.4 or not watch.flying:
            watch.next(rng.randint(1, 5))
        else:
            request = rng.choice(watch.flying)
            mishap = rng.random()
            if mishap < 0.05:
                watch.take(request, session.failed(request))
            elif mishap < 0.08:
                etags[request.key] += 1
                watch.take(request, session.replaced(request), landed=False)
            else:
                changed = session.etag(request.key) not in (None, f"v{etags[request.key]}")
                data = answer(request, objects[request.key])
                events = session.receive(request, data, f"v{etags[request.key]}")
                usable = not changed or not request.segments
                watch.take(request, events, landed=usable)
    session.retry()
    while not session.idle:
        watch.next(5)
        for request in list(watch.flying):
            if request in watch.flying:
                data = answer(request, objects[request.key])
                etag = session.etag(request.key)
                watch.take(request, session.receive(request, data, etag))
    assert session.complete
    if all(part.tolerance == EXACT for part in session.parts):
        assert session.exact


@given(seed=st.integers(0, 1 << 32), cache_bytes=st.sampled_from([0, 5_000, 100_000]))
@settings(max_examples=25, deadline=None)
def test_memory_outside_the_view_is_bounded(seed: int, cache_bytes: int) -> None:
    rng = random.Random(seed)
    session = open_cells(cache_bytes=cache_bytes)
    for _ in range(5):
        session.look(plan_cases.random_view(rng, "cells"))
        if not finish(session):
            continue  # memory is released when something arrives
        inside = 0
        for key in {part.ref.key for part in session.parts}:
            index = session.index(key)
            assert index is not None
            inside += index.head_size
            needed: set[int] = set()
            for part in session.parts:
                fitted = plan.fit_region(index, part.ref.level, part.ref.region)
                if part.ref.key == key and fitted:
                    for j in range(fitted[0], len(index.levels)):
                        rect = index.tiles(j, *fitted)
                        for layer in range(index.levels[j].layers):
                            for y in range(rect.y0, rect.y1):
                                needed.update(index.segment(j, layer, y, x) for x in range(rect.x0, rect.x1))
            inside += sum(index.length(s) for s in needed if session.has(key, s))
        assert session.bytes_held - inside <= cache_bytes


# ---- states ---------------------------------------------------------------------------------------------------------


def test_visible_comes_before_what_is_looked_at_ahead() -> None:
    session = Session(LAYOUTS["stack"], parse=fake_head)
    session.look(View((0, 0, 200, 300), 0, z=0), [View((0, 0, 200, 300), 0, z=1), View((0, 0, 200, 300), 0, z=2)])
    order: list[str] = []
    while not session.idle:
        for request in session.next(1):
            order.append(request.key)
            serve(session, request)
    assert order == sorted(order)
    assert len(set(order)) == 3
    assert len(session.parts) == 1
    # What was fetched ahead is there when it is looked at.
    assert session.look(View((0, 0, 200, 300), 0, z=2)) == []
    assert session.idle
    assert session.exact


def test_a_new_view_aborts_what_it_does_not_need() -> None:
    session = open_cells()
    session.look(View((0, 0, 300, 300), 0))
    serve(session, session.next(1)[0])
    serve(session, session.next(1)[0])  # the rest of the head
    flying = session.next(50)
    assert flying
    # A part of the same region needs some of them.
    aborted = session.look(View((0, 0, 100, 100), 0))
    assert set(aborted) < set(flying)
    rest = set(flying) - set(aborted)
    assert set(session.in_flight) == rest
    # Another plane needs none.
    assert set(session.look(View((0, 0, 100, 100), 0, channels=(1,)))) == rest
    for request in flying:
        assert serve(session, request) == []
    assert session.bytes_received < 50_000
    # Back again: they are asked for once more.
    session.look(View((0, 0, 300, 300), 0))
    assert {s for r in session.next(50) for s in r.segments} == {s for r in flying for s in r.segments}


def test_a_head_in_flight_is_kept_while_its_shard_is_looked_at() -> None:
    session = open_cells()
    session.look(View((0, 0, 300, 300), 0))
    (head,) = session.next(9)
    assert session.look(View((200, 200, 50, 50), 2)) == []
    assert session.next(9) == []
    assert session.look(View((0, 0, 131, 188), 3)) == [head]


def test_a_head_longer_than_expected_takes_one_more_request() -> None:
    session = open_cells()
    session.look(View((0, 0, 300, 300), 0))
    (head,) = session.next(9)
    assert head == Request("0/c/0/0/0", 0, 3000)
    assert serve(session, head) == []
    (rest,) = session.next(9)
    assert rest == Request("0/c/0/0/0", 3000, 2000)
    (received,) = serve(session, rest)
    assert isinstance(received, Received)
    assert received.is_new
    assert session.index("0/c/0/0/0") is received.index


def test_an_etag_that_changes_resets_that_object_only() -> None:
    session = open_cells()
    session.look(WHOLE_VIEW)
    finish(session)
    assert session.exact
    held = {key: {s for s in range(5000) if session.has(key, s)} for key in CELLS_OBJECTS}
    assert {key for key in CELLS_OBJECTS if not held[key]} == {"1/c/0/0/0", "1/c/1/0/0"}
    # One object changes while the last of it is fetched.
    for key in ("0/c/0/0/0", "0/c/1/0/1"):
        session.reject(key, [max(held[key])])
    first, second = sorted(session.next(9), key=lambda r: r.key)
    (restarted,) = session.receive(first, answer(first, CELLS_OBJECTS[first.key]), "w")
    assert restarted == Restarted("0/c/0/0/0", (first,))
    assert session.index("0/c/0/0/0") is None
    assert session.in_flight == (second,)
    for key in CELLS_OBJECTS:
        if key not in (first.key, second.key):
            assert all(session.has(key, s) for s in held[key])
    serve(session, second)
    assert session.part_errors(session.parts[0]) == (65535, 65535.0**2)
    (head,) = session.next(9)
    assert head.segments == ()
    serve(session, head, "w")
    assert session.etag("0/c/0/0/0") == "w"
    while not session.idle:
        for request in session.next(9):
            serve(session, request, "w")
    assert session.exact


def test_a_new_head_of_another_version_is_used() -> None:
    """The first answer said one version, the rest of its head says another: begin again, with what has come."""
    session = open_cells()
    session.look(View((0, 0, 300, 300), 0))
    serve(session, session.next(1)[0], "v")
    (rest,) = session.next(9)
    assert serve(session, rest, "w") == [Restarted("0/c/0/0/0", (rest,))]
    (head,) = session.next(9)
    assert head.offset == 0


def test_an_object_that_never_stays_the_same_is_given_up() -> None:
    session = open_cells()
    session.look(View((0, 0, 300, 300), 0))
    events: list[Event] = []
    for version in range(99):
        requests = session.next(1)
        if not requests:
            break
        events += serve(session, requests[0], f"v{version}")
    assert isinstance(events[-1], Broken)
    assert "was replaced" in events[-1].error
    assert session.idle
    session.retry()
    assert not session.idle


def test_what_fails_is_tried_again_and_then_given_up() -> None:
    session = open_cells()
    session.look(View((0, 600, 10, 10), 0))
    for attempt in range(ATTEMPTS):
        (request,) = session.next(9)
        events = session.failed(request)
        assert (events == []) == (attempt + 1 < ATTEMPTS)
    assert events == [Broken("0/c/0/0/0", "0/c/0/0/0: its head could not be fetched in 3 attempts")]
    assert session.idle
    assert not session.complete
    session.retry()
    serve(session, session.next(1)[0])
    serve(session, session.next(1)[0])
    first = session.next(1)[0]
    for _ in range(ATTEMPTS - 1):
        assert session.failed(first) == []
        assert session.next(1) == [first]
    (broken,) = session.failed(first)
    assert isinstance(broken, Broken)
    finish(session)
    assert not session.complete
    assert not any(session.has(first.key, s) for s in first.segments)


@pytest.mark.parametrize("length", [0, 100, 9999])
def test_an_answer_of_another_length_is_a_failure(length: int) -> None:
    session = open_cells()
    session.look(View((0, 600, 10, 10), 0))
    serve(session, session.next(1)[0])
    serve(session, session.next(1)[0])
    request = session.next(1)[0]
    assert request.length not in (length, length - 1)
    assert session.receive(request, bytes(length if length < 9999 else request.length + 1)) == []
    assert request not in session.in_flight
    assert session.next(1) == [request]


def test_a_head_that_is_none_is_reported() -> None:
    session = open_cells()
    session.look(View((0, 600, 10, 10), 0))
    (broken,) = session.receive(session.next(1)[0], b"\xff" * 3000)
    assert broken == Broken("0/c/0/0/0", f"0/c/0/0/0: no shard has number {0xFFFFFFFF}")
    assert session.idle


def test_an_object_that_ends_too_early_is_reported() -> None:
    session = open_cells()
    session.look(View((0, 1400, 10, 10), 0))
    request = session.next(1)[0]
    data = answer(request, CELLS_OBJECTS[request.key])
    (broken,) = session.receive(request, data[:2000])
    assert isinstance(broken, Broken)
    assert "ends after 2000 bytes" in broken.error


def test_an_absent_shard_is_exact() -> None:
    session = open_cells()
    session.look(View((0, 600, 10, 10), 0))
    assert session.errors() == (65535, 65535.0**2)
    assert session.absent(session.next(1)[0]) == []
    assert session.is_absent("0/c/0/0/0")
    assert session.idle
    assert session.exact


def test_a_damaged_segment_is_fetched_again_a_few_times() -> None:
    session = open_cells()
    session.look(View((0, 600, 10, 10), 0))
    finish(session)
    assert session.exact
    damaged = next(s for s in range(5000) if session.has("0/c/0/0/0", s))
    for attempt in range(ATTEMPTS):
        session.reject("0/c/0/0/0", [damaged])
        assert not session.has("0/c/0/0/0", damaged)
        assert not session.complete
        requests = session.next(9)
        assert [r.segments for r in requests] == ([(damaged,)] if attempt + 1 < ATTEMPTS else [])
        for request in requests:
            serve(session, request)
    assert session.idle


def test_refining_fetches_only_what_is_missing() -> None:
    session = open_cells()
    view = View((100, 100, 400, 500), 0, tolerance=Tolerance(mse=13.0))
    session.look(view)
    finish(session)
    assert session.complete
    error, mse = session.errors()
    assert error > 0
    assert 0 < mse <= 13.0
    coarse = session.bytes_received
    session.look(View(view.region, 0))
    finish(session)
    assert session.exact
    cold = open_cells()
    cold.look(View(view.region, 0))
    finish(cold)
    # Apart from what lies in gaps.
    assert coarse < session.bytes_received <= cold.bytes_received + 4 * plan.GAP


def test_a_view_that_does_not_exist_changes_nothing() -> None:
    session = open_cells()
    session.look(View((0, 0, 10, 10), 0))
    requests = session.next(9)
    with pytest.raises(ValueError, match="level"):
        session.look(View((0, 0, 10, 10), 40))
    assert session.in_flight == tuple(requests)


# ---- with the real codec --------------------------------------------------------------------------------------------


def test_a_real_image_refines_to_exact() -> None:
    """What a session says improves is what changes, and in the end every sample is right."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:500, :640]
    samples = (20000 + 9000 * np.sin(y / 31) + 8000 * np.cos(x / 17) + rng.normal(0, 50, y.shape)).astype(np.uint16)
    layout = ImageLayout.build("a", ("y", "x"), samples.shape, "uint16", chunk=256).with_head_bytes([600, 600])
    objects = {
        f"0/c/{i}/{j}": encode(samples[i * 256 : i * 256 + 256, j * 256 : j * 256 + 256])
        for i in range(2)
        for j in range(3)
    }
    session = Session(layout)
    region = (100, 120, 330, 450)
    session.look(View(region, 0))
    shown = np.zeros(region[2:], np.uint16)
    decoders: dict[str, Decoder] = {}
    while not session.idle:
        for request in session.next(2):
            data = objects[request.key][request.offset : request.offset + request.length]
            for event in session.receive(request, data, "v"):
                assert isinstance(event, Received)
                if event.is_new:
                    decoders[event.key] = Decoder(event.index)
                decoder = decoders[event.key]
                for segment, segment_data in event.segments:
                    decoder.add(segment, segment_data)
                for improved in event.improved:
                    ref = improved.part.ref
                    if decoder.layers(len(event.index.levels) - 1, 0, 0):
                        a, b, h, w = improved.region
                        top, left = ref.y + a - ref.region[0], ref.x + b - ref.region[1]
                        shown[top : top + h, left : left + w] = decoder.decode(ref.level, improved.region)
                    errors = decoder.bound(ref.level, ref.region), decoder.mse(ref.level, ref.region)
                    assert session.part_errors(improved.part) == errors
    assert session.exact
    assert (shown == samples[100:430, 120:570]).all()
    # Apart from the segments that the first answers, of 600 bytes each, cut.
    assert session.bytes_received < sum(map(len, objects.values())) + 600 * len(objects)


def test_the_head_parser_asks_for_what_is_missing() -> None:
    from firstlight.session import parse_head

    shard = encode(np.arange(90000, dtype=np.uint16).reshape(300, 300))
    index = Index.parse(shard)
    assert parse_head(shard[:5]) == 80
    assert parse_head(shard[:80]) == index.head_size
    assert parse_head(shard[: index.head_size - 1]) == index.head_size
    parsed = parse_head(shard[: index.head_size])
    assert isinstance(parsed, Index)
    assert parsed.size == len(shard)
