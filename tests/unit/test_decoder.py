"""`Decoder`: segments in any order, nothing decoded twice, memory within its limit."""

from typing import Any

import numpy as np
import pytest

from firstlight import codecs
from firstlight.codecs.wavelet import WaveletCodec
from support.pictures import picture


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int, int, int]]:
    """(level, tile_y, tile_x, component, layers) of every tile that is decoded."""
    seen: list[tuple[int, int, int, int, int]] = []
    original = WaveletCodec.decode_tile

    def record(self: Any, index: Any, component: int, level: int, tile_y: int, tile_x: int, segments: Any) -> Any:
        seen.append((level, tile_y, tile_x, component, len(segments)))
        return original(self, index, component, level, tile_y, tile_x, segments)

    monkeypatch.setattr(WaveletCodec, "decode_tile", record)
    return seen


SAMPLES = picture("smooth", (600, 700, 3), "uint8", 1)
SHARD = codecs.encode(SAMPLES)
INDEX = codecs.Index.parse(SHARD)


def part(segment: int) -> bytes:
    return SHARD[INDEX.offsets[segment] : INDEX.offsets[segment + 1]]


def test_only_improved_tiles_are_decoded_again(decoded: list[tuple[int, int, int, int, int]]) -> None:
    decoder = codecs.Decoder(INDEX)
    last = [INDEX.segment(0, 2, 1, 1, c) for c in range(3)]
    for segment in range(INDEX.segments):
        if segment not in last:
            decoder.add(segment, part(segment))
    decoder.decode()
    assert len(decoded) == len(set(decoded))
    decoded.clear()
    decoder.decode()
    decoder.decode(0, (100, 100, 50, 50))
    decoder.decode(2)
    assert decoded == []
    for segment in last[:2]:
        decoder.add(segment, part(segment))
    decoder.decode()
    assert decoded == []  # colour comes whole: two components of a layer change nothing yet
    assert decoder.layers(0, 1, 1) == 2
    decoder.add(last[2], part(last[2]))
    assert decoder.layers(0, 1, 1) == 3
    assert np.array_equal(decoder.decode(), SAMPLES)
    assert sorted(decoded) == [(0, 1, 1, c, 3) for c in range(3)]


def test_only_what_a_region_needs_is_decoded(decoded: list[tuple[int, int, int, int, int]]) -> None:
    decoder = codecs.Decoder(INDEX)
    decoder.feed(0, SHARD)
    decoder.decode(1, (10, 20, 30, 40))
    assert {tile[:3] for tile in decoded if tile[0] < 3} == {(1, 0, 0), (2, 0, 0)}


def test_any_order_of_arrival_gives_the_same_picture() -> None:
    rng = np.random.default_rng(0)
    decoder = codecs.Decoder(INDEX, threads=1)
    for count, segment in enumerate(rng.permutation(INDEX.segments)):
        decoder.add(int(segment), part(int(segment)))
        if count % 50 == 0 and all(decoder.has(s) for s in range(3)):
            decoder.decode(int(rng.integers(3)))
    assert np.array_equal(decoder.decode(), SAMPLES)


def test_byte_ranges_feed_whole_segments_only() -> None:
    decoder = codecs.Decoder(INDEX)
    begin, end = int(INDEX.offsets[5]) - 1, int(INDEX.offsets[20]) + 1
    decoder.feed(begin, SHARD[begin:end])
    assert [s for s in range(INDEX.segments) if decoder.has(s) and INDEX.length(s)] == [
        s for s in range(5, 20) if INDEX.length(s)
    ]


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20, 1 << 30])
@pytest.mark.parametrize("threads", [1, 3])
def test_cache_and_threads_change_nothing(cache_bytes: int, threads: int) -> None:
    decoder = codecs.Decoder(INDEX, threads=threads, cache_bytes=cache_bytes)
    decoder.feed(0, SHARD)
    assert np.array_equal(decoder.decode(), SAMPLES)
    assert np.array_equal(decoder.decode(0, (255, 257, 300, 290)), SAMPLES[255:555, 257:547])
    assert sum(coefs.nbytes for _, coefs in decoder._tiles.values()) <= cache_bytes


def test_encoding_does_not_depend_on_threads_or_layout() -> None:
    assert codecs.encode(SAMPLES, threads=3) == SHARD
    planar = np.ascontiguousarray(np.moveaxis(SAMPLES, 2, 0))
    assert codecs.encode(np.moveaxis(planar, 0, 2), threads=1) == SHARD
    frame = np.zeros((700, 800, 4), np.uint8)
    frame[10:610, 20:720, 1:] = SAMPLES
    assert codecs.encode(frame[10:610, 20:720, 1:]) == SHARD
