"""Damaged shards: 10,000 bit flips, cuts and forgeries give a `CodecError` or a picture; never anything else.

Checksums catch nearly every accident before the decoder sees it. So half of the damage here is forged: the checksums
are put right again afterwards, and the parser and the entropy decoder have to cope by themselves.
"""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from firstlight import codecs
from firstlight.codecs import _native
from firstlight.codecs.shard import CODECS
from support.pictures import DTYPES, picture

TRIALS = 10_000
CHECKSUM = 4

every_codec = pytest.mark.parametrize("codec", list(CODECS))


def shards(codec: str) -> list[bytes]:
    dtypes = DTYPES[codec]
    pictures = [
        picture("smooth", (40, 70), dtypes[0], 1),
        picture("smooth", (37, 45, 3), dtypes[0], 2),
        picture("sparse", (65, 33), dtypes[-1], 3),
        picture("extremes", (20, 34), dtypes[-2], 4),
        picture("constant", (300, 300), dtypes[-1], 5),
        picture("steps", (70, 70, 3), dtypes[-2], 6),
    ]
    return [codecs.encode(samples, codec) for samples in pictures]


def flip(shard: bytes, rng: np.random.Generator, begin: int, end: int) -> bytearray:
    damaged = bytearray(shard)
    for _ in range(rng.integers(1, 4)):
        damaged[rng.integers(begin, end)] ^= 1 << rng.integers(8)
    return damaged


def forge_head(shard: bytes, rng: np.random.Generator) -> bytearray:
    """A head with a damaged part whose checksum is right."""
    parts = [0, *codecs.Index.parse(shard).parts]
    part = rng.integers(len(parts) - 1)
    begin, end = parts[part], parts[part + 1] - CHECKSUM
    damaged = flip(shard, rng, max(begin, 4), end) if end > begin else bytearray(shard)
    damaged[end : end + CHECKSUM] = _native.crc32c(damaged[begin:end]).to_bytes(CHECKSUM, "little")
    return damaged


def check_bytes(size: int) -> int:
    """Of a segment of that size."""
    return 1 if size < 64 else 2


def forge_segments(shard: bytes, rng: np.random.Generator) -> bytearray:
    """Segments damaged within, each with a right checksum."""
    index = codecs.Index.parse(shard)
    damaged = bytearray(shard)
    for _ in range(3):
        segment = int(rng.integers(index.segments))
        begin, end = (int(n) for n in index.offsets[segment : segment + 2])
        check = check_bytes(end - begin)
        if end - begin > check:
            damaged[begin : end - check] = flip(bytes(damaged[begin : end - check]), rng, 0, end - begin - check)
            crc = _native.crc32c(damaged[begin : end - check]) & (1 << 8 * check) - 1
            damaged[end - check : end] = crc.to_bytes(check, "little")
    return damaged


def damage(shard: bytes, rng: np.random.Generator) -> bytearray:
    kind = rng.integers(5)
    if kind == 0:
        return bytearray(shard[: rng.integers(len(shard))])
    if kind == 1:
        return flip(shard, rng, 0, len(shard))
    if kind == 2:
        return forge_head(shard, rng)
    if kind == 3:
        return forge_segments(shard, rng)
    return flip(shard, rng, 0, codecs.head_size(shard))[: rng.integers(len(shard))]


def attempt(data: bytes, rng: np.random.Generator) -> NDArray[Any] | None:
    """Decode some level of it, in one of the ways that there are."""
    try:
        index = codecs.Index.parse(data)
        level = int(rng.integers(len(index.levels)))
        if rng.integers(2):
            return codecs.decode(data, level=level, max_error=None, threads=1)
        decoder = codecs.Decoder(index, threads=1, tolerant=True)
        decoder.feed(0, data)
        return decoder.decode(level)
    except codecs.CodecError:
        return None


@every_codec
def test_damage_gives_an_error_or_a_picture(codec: str) -> None:
    rng = np.random.default_rng(0)
    originals = shards(codec)
    decoded = 0
    for trial in range(TRIALS):
        data = damage(originals[trial % len(originals)], rng)
        before = bytes(data)
        picture = attempt(data, rng)
        decoded += picture is not None
        assert bytes(data) == before, "the input was written to"
    # Neither is everything refused, nor does everything pass.
    assert TRIALS // 10 < decoded < TRIALS * 9 // 10


@every_codec
def test_memory_is_bounded_by_what_the_input_has_earned(codec: str) -> None:
    """A head has a byte for 64 segments: a forged size costs no more memory than the tiles that the index pays for."""
    rng = np.random.default_rng(1)
    originals = shards(codec)
    tracemalloc.start()
    try:
        for trial in range(TRIALS // 10):
            data = forge_head(originals[trial % len(originals)], rng)
            tracemalloc.reset_peak()
            attempt(data, rng)
            # 256 x 256 samples a tile: an int32 coefficient and two samples of 16 bits for each.
            earned = len(data) * 256 * 256 * 8 + (4 << 20)
            assert tracemalloc.get_traced_memory()[1] < min(earned, 256 << 20)
    finally:
        tracemalloc.stop()


@every_codec
def test_an_enormous_picture_needs_an_enormous_head(codec: str) -> None:
    shard = bytearray(codecs.encode(np.zeros((8, 8), DTYPES[codec][0]), codec))
    # One part; width and height are bytes 7 and 8, numbers of three bytes then.
    index = codecs.Index.parse(shard)
    size = index.head_size
    assert (index.groups, list(shard[6:9])) == ((0,), [size, 8, 8])
    shard[6:9] = bytes([size + 4, *b"\x80\x80\x04" * 2])
    size += 4
    shard[size - CHECKSUM : size] = _native.crc32c(shard[: size - CHECKSUM]).to_bytes(CHECKSUM, "little")
    with pytest.raises(codecs.CorruptData):
        codecs.Index.parse(shard)


@every_codec
def test_a_damaged_segment_is_named_and_tolerated(codec: str) -> None:
    samples = picture("smooth", (200, 150, 3), DTYPES[codec][0], 7)
    shard = bytearray(codecs.encode(samples, codec))
    index = codecs.Index.parse(shard)
    last = index.levels[0].layers - 1
    segment = index.segment(0, last, 0, 0)
    shard[int(index.offsets[segment])] ^= 255

    with pytest.raises(codecs.CorruptData, match=rf"segment {segment} \(level 0, layer {last}, tile 0,0\)"):
        codecs.decode(shard)
    assert codecs.decode(shard, level=1).shape == (100, 75, 3)

    decoder = codecs.Decoder(index, tolerant=True)
    decoder.feed(0, shard)
    assert decoder.bound(0) == 0
    found = decoder.decode()
    assert decoder.corrupt == {segment}
    assert not decoder.has(segment)
    assert np.abs(found.astype(int) - samples).max() <= decoder.bound(0) == index.levels[0].errors[last]

    shard[int(index.offsets[segment])] ^= 255
    decoder.add(segment, shard[int(index.offsets[segment]) : int(index.offsets[segment + 1])])
    assert np.array_equal(decoder.decode(), samples)
    assert decoder.corrupt == set()


@every_codec
def test_every_byte_of_a_short_segment_is_checked(codec: str) -> None:
    """A check of one byte finds every burst of 8 bits: any byte that is changed alone."""
    shard = bytearray(codecs.encode(picture("smooth", (90, 80), DTYPES[codec][0], 3), codec))
    index = codecs.Index.parse(shard)
    short = [s for s in range(1, index.segments) if 0 < index.length(s) < 64][:8]
    assert short
    for segment in short:
        for place in range(int(index.offsets[segment]), int(index.offsets[segment + 1])):
            shard[place] ^= 1 << place % 8
            decoder = codecs.Decoder(index, threads=1, tolerant=True)
            decoder.feed(0, shard)
            decoder.decode()
            assert decoder.corrupt == {segment}
            shard[place] ^= 1 << place % 8


@every_codec
def test_a_damaged_base_is_never_tolerated(codec: str) -> None:
    shard = bytearray(codecs.encode(picture("smooth", (100, 90), DTYPES[codec][0], 7), codec))
    index = codecs.Index.parse(shard)
    shard[index.head_size] ^= 1
    decoder = codecs.Decoder(index, tolerant=True)
    decoder.feed(0, shard)
    with pytest.raises(codecs.CorruptData, match="segment 0 "):
        decoder.decode()
