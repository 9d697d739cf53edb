"""`Decoder`: segments in any order, nothing decoded twice, memory within its limit."""

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

from firstlight import codecs
from firstlight.codecs import select, shard
from firstlight.codecs.wavelet import WaveletCodec
from support.pictures import picture

Decoded = list[tuple[int, int, int, int]]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Decoded:
    """(level, tile_y, tile_x, whole layers) of every tile that is decoded."""
    seen: Decoded = []
    original = WaveletCodec.decode_tiles

    def record(self: Any, index: Any, tiles: Any, *rest: Any) -> Any:
        seen.extend((j, *divmod(tile, index.levels[j].tiles_x), layers) for j, tile, layers, _ in tiles.tolist())
        return original(self, index, tiles, *rest)

    monkeypatch.setattr(WaveletCodec, "decode_tiles", record)
    return seen


SAMPLES = picture("smooth", (600, 700, 3), "uint8", 1)
SHARD = codecs.encode(SAMPLES)
INDEX = codecs.Index.parse(SHARD)
LAYERS = INDEX.levels[0].layers


def part(segment: int) -> bytes:
    return SHARD[INDEX.offsets[segment] : INDEX.offsets[segment + 1]]


def test_only_improved_tiles_are_decoded_again(decoded: Decoded) -> None:
    decoder = codecs.Decoder(INDEX)
    layer = max(n for n in range(LAYERS) if INDEX.length(INDEX.segment(0, n, 1, 1)))
    last = INDEX.segment(0, layer, 1, 1)
    for segment in range(INDEX.segments):
        if segment != last:
            decoder.add(segment, part(segment))
    decoder.decode()
    assert len(decoded) == len(set(decoded))
    decoded.clear()
    decoder.decode()
    decoder.decode(0, (100, 100, 50, 50))
    decoder.decode(2)
    assert decoded == []
    assert decoder.layers(0, 1, 1) == layer
    decoder.add(last, part(last))
    assert decoder.layers(0, 1, 1) == LAYERS
    assert np.array_equal(decoder.decode(), SAMPLES)
    assert decoded == [(0, 1, 1, LAYERS)]


def test_only_what_a_region_needs_is_decoded(decoded: Decoded) -> None:
    decoder = codecs.Decoder(INDEX)
    decoder.feed(0, SHARD)
    decoder.decode(1, (10, 20, 30, 40))
    assert {tile[:3] for tile in decoded if tile[0] < 3} == {(1, 0, 0), (2, 0, 0)}


def test_any_order_of_arrival_gives_the_same_picture() -> None:
    rng = np.random.default_rng(0)
    decoder = codecs.Decoder(INDEX, threads=1)
    for count, segment in enumerate(rng.permutation(INDEX.segments)):
        decoder.add(int(segment), part(int(segment)))
        if count % 50 == 0 and decoder.has(0):
            decoder.decode(int(rng.integers(3)))
    assert np.array_equal(decoder.decode(), SAMPLES)


def test_byte_ranges_feed_whole_segments_only() -> None:
    decoder = codecs.Decoder(INDEX)
    begin, end = int(INDEX.offsets[5]) - 1, int(INDEX.offsets[20]) + 1
    decoder.feed(begin, SHARD[begin:end])
    assert [s for s in range(INDEX.segments) if decoder.has(s) and INDEX.length(s)] == [
        s for s in range(5, 20) if INDEX.length(s)
    ]


def test_only_segments_that_are_named_are_fed() -> None:
    decoder = codecs.Decoder(INDEX)
    decoder.feed(0, SHARD, only=[0, 7, 9, 10**9])
    assert [s for s in range(INDEX.segments) if decoder.has(s) and INDEX.length(s)] == [
        s for s in (0, 7, 9) if INDEX.length(s)
    ]


def test_a_prefix_of_a_segment_improves_the_picture() -> None:
    """Each byte more of the largest segments: the error falls, the bound holds, and all of it is all of it."""
    decoder = codecs.Decoder(INDEX, threads=1)
    finest = [s for s in range(INDEX.segments) if INDEX.locate(s).level == 0]
    segment = max(finest, key=INDEX.length)
    layers = INDEX.locate(segment).layer
    have = select.segments_for(INDEX, 0, INDEX.region(0), [layers] * (len(INDEX.levels) - 1) + [1])
    decoder.feed(0, SHARD, have)
    bound, before = decoder.bound(0), decoder.decode()
    start = last = float(((before.astype(int) - SAMPLES) ** 2).mean())
    data = part(segment)
    seen = set()
    for size in [*range(0, len(data), max(len(data) // 40, 1)), len(data) - 1]:
        decoder.add_prefix(segment, data[:size])
        assert not decoder.has(segment)
        found = decoder.decode()
        now = float(((found.astype(int) - SAMPLES) ** 2).mean())
        seen.add(now)
        assert now <= last * 1.001
        assert np.abs(found.astype(int) - SAMPLES).max() <= bound
        last = now
    assert len(seen) > 2
    assert last < start
    decoder.add_prefix(segment, data)
    assert decoder.has(segment)
    again = codecs.Decoder(INDEX, threads=1)
    again.feed(0, SHARD, [*have, segment])
    assert np.array_equal(decoder.decode(), again.decode())
    with pytest.raises(codecs.InvalidArgument, match="bytes announced"):
        decoder.add_prefix(segment, data + b"x")


def test_prefixes_of_all_tiles_at_once() -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        decoder = codecs.Decoder(INDEX)
        layers = [int(rng.integers(0, at.layers)) for at in INDEX.levels[:-1]] + [1]
        decoder.feed(0, SHARD, select.segments_for(INDEX, 0, INDEX.region(0), layers))
        before = decoder.decode()
        for j, at in enumerate(INDEX.levels[:-1]):
            for tile in range(at.tiles):
                segment = INDEX.segment(j, layers[j], *divmod(tile, at.tiles_x))
                decoder.add_prefix(segment, part(segment)[: rng.integers(INDEX.length(segment) + 1)])
        found = decoder.decode()
        assert decoder.decode(1).shape == (300, 350, 3)
        now, last = (float(((p.astype(int) - SAMPLES) ** 2).mean()) for p in (found, before))
        assert now <= last * 1.001
        assert np.abs(found.astype(int) - SAMPLES).max() <= decoder.bound(0)


@pytest.mark.parametrize("transform", ["5/3", "9/7-m", "s-haar"])
@pytest.mark.parametrize(
    ("height", "width", "bands"),
    [(600, 700, 3), (700, 600, 3), (1100, 40, 5), (40, 1100, 5), (513, 257, 3), (9, 30, 1)],
)
def test_bands_cover_all_samples_once(
    monkeypatch: pytest.MonkeyPatch, decoded: Decoded, transform: str, height: int, width: int, bands: int
) -> None:
    monkeypatch.setattr(shard, "BAND_BYTES", 1)
    monkeypatch.setattr(shard, "WIDE_TILES", 1)
    samples = picture("smooth", (height, width), "uint8", 1)
    data = codecs.encode(samples, transform=transform)
    decoder = codecs.Decoder(codecs.Index.parse(data), threads=1, cache_bytes=0)
    decoder.feed(0, data)
    assert np.array_equal(decoder.decode(), samples)
    # What two bands share is kept: what is left of it that the second one needs.
    assert len(decoded) == len(set(decoded))
    assert decoder._tiles_bytes == 0
    part = min(3, height // 3), min(5, width // 3), -(-height // 2), -(-width // 2)
    assert np.array_equal(decoder.decode(0, part), samples[part[0] : sum(part[::2]), part[1] : sum(part[1::2])])
    assert len(decoder._bands(0, (0, 0, height, width))) == bands


@pytest.mark.parametrize("wide", [False, True])
def test_bands_begin_where_others_end(monkeypatch: pytest.MonkeyPatch, wide: bool) -> None:
    monkeypatch.setattr(shard, "BAND_BYTES", 1)
    monkeypatch.setattr(shard, "WIDE_TILES", 1)
    decoder = codecs.Decoder(INDEX)
    for level, (start, length) in product(range(3), [(0, 150), (1, 31), (7, 121), (120, 31)]):
        area = (2, start, 30, length) if wide else (start, 2, length, 30)
        bands = decoder._bands(level, area)
        edges = [(band[wide], band[wide] + band[2 + wide]) for band in bands]
        assert edges[0][0] == start
        assert edges[-1][1] == start + length
        assert all(end == begin for (_, end), (begin, _) in pairwise(edges))
        assert all(begin < end for begin, end in edges)
        assert {(band[1 - wide], band[3 - wide]) for band in bands} == {(2, 30)}


def test_the_mean_error_falls_as_segments_come() -> None:
    decoder = codecs.Decoder(INDEX)
    last = decoder.mse(0)
    for segment in range(INDEX.segments):
        decoder.add(segment, part(segment))
        assert decoder.mse(0) <= last
        last = decoder.mse(0)
    assert last == 0


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20, 1 << 30])
@pytest.mark.parametrize("threads", [1, 3])
def test_cache_and_threads_change_nothing(cache_bytes: int, threads: int) -> None:
    decoder = codecs.Decoder(INDEX, threads=threads, cache_bytes=cache_bytes)
    decoder.feed(0, SHARD)
    assert np.array_equal(decoder.decode(), SAMPLES)
    assert np.array_equal(decoder.decode(0, (255, 257, 300, 290)), SAMPLES[255:555, 257:547])
    assert sum(coefs.nbytes for _, coefs in decoder._tiles.values()) == decoder._tiles_bytes <= cache_bytes


def test_encoding_does_not_depend_on_threads_or_layout() -> None:
    assert codecs.encode(SAMPLES, threads=3) == SHARD
    planar = np.ascontiguousarray(np.moveaxis(SAMPLES, 2, 0))
    assert codecs.encode(np.moveaxis(planar, 0, 2), threads=1) == SHARD
    frame = np.zeros((700, 800, 4), np.uint8)
    frame[10:610, 20:720, 1:] = SAMPLES
    assert codecs.encode(frame[10:610, 20:720, 1:]) == SHARD
