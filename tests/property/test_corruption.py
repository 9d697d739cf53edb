"""Damaged shards: 10,000 bit flips, cuts and forgeries give a `CodecError` or a picture; never anything else.

Checksums catch nearly every accident before the decoder sees it. So half of the damage here is forged: the checksums
are put right again afterwards, and the parser and the entropy decoder have to cope by themselves.
"""

import binascii
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
    """A damaged head with a right checksum."""
    size = codecs.head_size(shard)
    damaged = flip(shard, rng, 4, size - CHECKSUM)
    damaged[size - CHECKSUM : size] = _native.crc32c(damaged[: size - CHECKSUM]).to_bytes(CHECKSUM, "little")
    return damaged


def forge_segments(shard: bytes, rng: np.random.Generator) -> bytearray:
    """Segments damaged within, each with a right checksum."""
    index = codecs.Index.parse(shard)
    damaged = bytearray(shard)
    for _ in range(3):
        segment = int(rng.integers(index.segments))
        begin, end = (int(n) for n in index.offsets[segment : segment + 2])
        if end - begin > 2:
            damaged[begin : end - 2] = flip(bytes(damaged[begin : end - 2]), rng, 0, end - begin - 2)
            damaged[end - 2 : end] = binascii.crc_hqx(bytes(damaged[begin : end - 2]), 0xFFFF).to_bytes(2, "little")
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
    """A head has a byte a segment: a forged size costs no more memory than the tiles that the index pays for."""
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
    size = codecs.head_size(shard)
    shard[12:20] = (65536).to_bytes(4, "little") * 2
    shard[size - CHECKSUM : size] = _native.crc32c(shard[: size - CHECKSUM]).to_bytes(CHECKSUM, "little")
    with pytest.raises(codecs.CorruptData):
        codecs.Index.parse(shard)


@every_codec
def test_a_damaged_segment_is_named_and_tolerated(codec: str) -> None:
    samples = picture("smooth", (200, 150, 3), DTYPES[codec][0], 7)
    shard = bytearray(codecs.encode(samples, codec))
    index = codecs.Index.parse(shard)
    segment = index.segment(0, index.levels[0].layers - 1, 0, 0, 1)
    shard[int(index.offsets[segment])] ^= 255

    with pytest.raises(codecs.CorruptData, match=rf"segment {segment} \(level 0, layer 2, tile 0,0, component 1\)"):
        codecs.decode(shard)
    assert codecs.decode(shard, level=1).shape == (100, 75, 3)

    decoder = codecs.Decoder(index, tolerant=True)
    decoder.feed(0, shard)
    assert decoder.bound(0) == 0
    found = decoder.decode()
    assert decoder.corrupt == {segment}
    assert not decoder.has(segment)
    assert np.abs(found.astype(int) - samples).max() <= decoder.bound(0) == index.levels[0].errors[2]

    shard[int(index.offsets[segment])] ^= 255
    decoder.add(segment, shard[int(index.offsets[segment]) : int(index.offsets[segment + 1])])
    assert np.array_equal(decoder.decode(), samples)
    assert decoder.corrupt == set()


@every_codec
def test_a_damaged_base_is_never_tolerated(codec: str) -> None:
    shard = bytearray(codecs.encode(picture("smooth", (100, 90), DTYPES[codec][0], 7), codec))
    index = codecs.Index.parse(shard)
    shard[index.head_size] ^= 1
    decoder = codecs.Decoder(index, tolerant=True)
    decoder.feed(0, shard)
    with pytest.raises(codecs.CorruptData, match="segment 0 "):
        decoder.decode()
