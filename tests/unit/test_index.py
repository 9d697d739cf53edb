"""What a head says: the order of segments, groups, tables of errors, and heads that the kernels write and read back."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.codecs import InsufficientData, InvalidArgument, UnsupportedFormat, _native
from firstlight.codecs.errors import CodecError, CorruptData
from firstlight.codecs.index import FIXED_BYTES, FORMAT_VERSION, Index, head_size
from support.heads import MEASURED_LEVELS, measured, tables, words_of

# (width, height, layers, first layers of the groups after the first): one tile a level, several, a single level.
SHAPES = [
    (1, 1, 1, ()),
    (16, 9, 24, (3,)),
    (17, 1, 1, ()),
    (300, 280, 5, (2,)),
    (530, 257, 6, (1, 4, 5)),
    (1100, 90, 24, (3, 8, 13, 20)),
]
CODES = st.integers(0, 399)


def planned(width: int, height: int, layers: int, groups: tuple[int, ...], components: int = 1) -> bytes:
    return _native.plan_head(width, height, components, 8, False, 0, 0, 0, layers, groups)


def shard_head(info: bytes, lengths: np.ndarray) -> Index:
    return Index.parse(_native.write_head(info, None, lengths.astype(np.uint32)))


def segments_of(info: bytes) -> int:
    return int(np.frombuffer(info, np.uint32)[12])


@pytest.mark.parametrize("shape", SHAPES)
def test_segments_follow_one_another_by_group_level_tile_and_layer(
    shape: tuple[int, int, int, tuple[int, ...]],
) -> None:
    info = planned(*shape)
    index = shard_head(info, np.zeros(segments_of(info)))
    assert index.groups == (0, *shape[3])
    base = len(index.levels) - 1
    assert [at.layers for at in index.levels] == [*[shape[2]] * base, 1]
    for level, at in enumerate(index.levels):
        groups = index.layer_groups(level)
        assert [layer for first, end in groups for layer in range(first, end)] == list(range(at.layers))
    number = 0
    for group, level in itertools.product(range(len(index.groups)), range(base, -1, -1)):
        at = index.levels[level]
        assert at.first_segments[group] == number
        first, end = index.layer_groups(level)[group]
        for tile_y, tile_x, layer in itertools.product(range(at.tiles_y), range(at.tiles_x), range(first, end)):
            assert index.segment(level, layer, tile_y, tile_x) == number
            assert index.locate(number) == (level, layer, tile_y, tile_x)
            run = index.layer_run(level, layer)
            assert run.first + (tile_y * at.tiles_x + tile_x) * run.step == number
            number += 1
        assert index.level_segments(level, group) == (at.first_segments[group], number)
    assert index.segments == number
    for wrong in (-1, number):
        with pytest.raises(InvalidArgument, match=f"segment {wrong}: the shard has {number}"):
            index.locate(wrong)


def test_levels_end_at_four_samples() -> None:
    for side, levels in ((1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (1024, 9), (1025, 10), (4096, 11), (65536, 15)):
        info = planned(side, 1, 2, ())
        index = shard_head(info, np.zeros(segments_of(info)))
        assert len(index.levels) == levels
        base = index.levels[-1]
        assert (base.tile, base.layers, base.tiles) == (4, 1, 1)
        tiles = [at.tile for at in index.levels[:-1]]
        assert tiles[:1] == [256][: levels - 1]
        assert tiles == sorted(tiles, reverse=True)
        assert (len(set(tiles)) > 1) == (side > 1024)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SHAPES), st.data())
def test_heads_come_back(shape: tuple[int, int, int, tuple[int, ...]], data: st.DataObject) -> None:
    info = words_of(planned(*shape))
    levels, segments = int(info[9]) + 1, int(info[12])
    written = []
    for level in range(levels):
        count = 1 + (shape[2] if level + 1 < levels else 1)
        errors = sorted(data.draw(st.lists(st.integers(0, 1 << 27), min_size=count, max_size=count)), reverse=True)
        codes = sorted(data.draw(st.lists(CODES, min_size=count, max_size=count)), reverse=True)
        for table, values in zip(tables(info, level), (errors, codes), strict=True):
            table[:count] = values
        written.append((errors, codes))
    known = data.draw(st.sets(st.integers(1, shape[2] - 1)) if levels > 1 and shape[2] > 1 else st.just(set()))
    for level in range(min(levels - 1, MEASURED_LEVELS)):
        for n in known:
            measured(info, level)[n] = data.draw(st.integers(0, 1 << 27))
    bits = data.draw(st.integers(1, 20))
    lengths = np.array(data.draw(st.lists(st.integers(0, 1 << bits), min_size=segments, max_size=segments)))
    index = shard_head(info.tobytes(), lengths)
    assert np.diff(index.offsets).tolist() == lengths.tolist()
    assert index.offsets[0] == index.head_size
    assert index.size == index.head_size + lengths.sum()
    for at, (errors, codes) in zip(index.levels, written, strict=True):
        # Errors are rounded up to 3 bits below the leading one, mean squared errors are those of their codes.
        assert all(error <= read <= error + error // 8 for read, error in zip(at.errors, errors, strict=True))
        assert list(at.mse) == [(code if code < 8 else (8 + code % 8) * 2 ** (code // 8 - 1)) / 16 for code in codes]
    for level, at in enumerate(index.levels):
        assert list(at.measured) == (sorted(known) if level < min(levels - 1, MEASURED_LEVELS) else [])
        assert all(
            measured(info, level)[n] <= read <= measured(info, level)[n] * 9 // 8 for n, read in at.measured.items()
        )


def test_mean_squared_errors_are_rounded_to_the_nearest_code() -> None:
    info = planned(4, 4, 1, ())
    for value, read in (
        (0, 0),
        (0.03, 0),
        (0.04, 1 / 16),
        (0.9, 14 / 16),
        (1, 1),
        (1.13, 1.125),
        (1.2, 1.25),
        (1e6, 983040),
    ):
        mse = np.zeros((1, 25))
        mse[0, 0] = value
        assert shard_head(_native.set_mse(info, mse), np.zeros(1)).levels[0].mse == (read, 0)


@pytest.mark.parametrize("table", [0, 1])
def test_errors_that_grow_are_refused(table: int) -> None:
    info = words_of(planned(4, 4, 1, ()))
    tables(info, 0)[table][1] = 1
    with pytest.raises(InvalidArgument):
        _native.write_head(info.tobytes(), None, np.zeros(1, np.uint32))


def test_a_shard_is_smaller_than_four_gigabytes() -> None:
    info = planned(40, 40, 3, ())
    lengths = np.zeros(segments_of(info), np.uint32)
    lengths[:2] = (1 << 31) - 1
    head = _native.write_head(info, None, lengths)
    with pytest.raises(CorruptData):
        Index.parse(head)
    lengths[0] = 1 << 31
    with pytest.raises(InvalidArgument):
        _native.write_head(info, None, lengths)


def test_a_head_earns_its_segments() -> None:
    info = planned(4000, 3000, 24, ())
    segments = segments_of(info)
    head = _native.write_head(info, None, np.zeros(segments, np.uint32))
    assert len(head) >= segments / 64
    assert not np.diff(Index.parse(head).offsets).any()
    short = bytearray(head[:-5] + head[-4:])
    # The size is a number of two bytes, low bits first.
    assert head[6] | 128 == head[6]
    assert head[7] < 128
    short[6:8] = len(short) & 127 | 128, len(short) >> 7
    short[-4:] = _native.crc32c(short[:-4]).to_bytes(4, "little")
    with pytest.raises(CorruptData):
        Index.parse(bytes(short))


def test_groups_begin_below_the_number_of_layers() -> None:
    for groups in ((3,), (2, 2), (0,), (1, 24)):
        with pytest.raises(InvalidArgument):
            planned(40, 40, 3, groups)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_prefix_of_a_head_says_so(shape: tuple[int, int, int, tuple[int, ...]]) -> None:
    """Its size is told as soon as it can be, never wrongly, and by `FIXED_BYTES` at the latest."""
    info = planned(*shape)
    head = _native.write_head(info, None, np.arange(segments_of(info), dtype=np.uint32))
    parts = Index.parse(head).parts
    assert parts[-1] == len(head)
    told = 0
    for size in range(len(head)):
        with pytest.raises(InsufficientData):
            Index.parse(head[:size])
        assert head_size(head[:size]) in (told, len(head))
        told = head_size(head[:size])
        assert told or size < FIXED_BYTES
        for groups, end in enumerate(parts, 1):
            if size < end:
                with pytest.raises(InsufficientData):
                    Index.parse(head[:size], groups)
            else:
                assert len(Index.parse(head[:size], groups).groups) == groups


@pytest.mark.parametrize("shape", SHAPES)
def test_the_index_of_the_first_groups_is_the_first_part_of_the_whole(
    shape: tuple[int, int, int, tuple[int, ...]],
) -> None:
    info = words_of(planned(*shape))
    for level in range(int(info[9]) + 1):
        for table in tables(info, level):
            table[: shape[2]] = np.arange(shape[2], 0, -1)
    for level in range(min(int(info[9]), MEASURED_LEVELS)):
        measured(info, level)[1 : shape[2]] = np.arange(shape[2] - 1)
    head = _native.write_head(info.tobytes(), None, np.arange(int(info[12]), dtype=np.uint32))
    whole = Index.parse(head)
    for groups, end in enumerate(whole.parts, 1):
        index = Index.parse(head[:end], groups)
        assert index.groups == whole.groups[:groups]
        assert index.parts == whole.parts[:groups]
        assert (index.head_size, index.offsets[0]) == (len(head), len(head))
        assert index.offsets.tolist() == whole.offsets[: index.segments + 1].tolist()
        assert index.size == index.offsets[-1]
        most = [*whole.groups, shape[2]][groups]
        for known, at in zip(index.levels, whole.levels, strict=True):
            layers = min(at.layers, most)
            assert known.layers == layers
            assert known.first_segments == at.first_segments[:groups]
            assert known.errors == at.errors[: layers + 1]
            assert known.mse == at.mse[: layers + 1]
            assert known.measured == {n: error for n, error in at.measured.items() if n <= layers}
        for segment in range(index.segments):
            assert index.locate(segment) == whole.locate(segment)
            assert index.segment(*index.locate(segment)) == segment
        # What lies behind does not matter.
        assert Index.parse(head[:end] + bytes(9), groups).raw == index.raw
    assert Index.parse(head, 99).raw == whole.raw
    with pytest.raises(InvalidArgument):
        Index.parse(head, 0)


def test_other_versions_are_unsupported() -> None:
    info = planned(8, 8, 1, ())
    head = bytearray(_native.write_head(info, None, np.zeros(segments_of(info), np.uint32)))
    assert head[4] == FORMAT_VERSION == 4
    for version in (0, 1, 2, 3, 5, 255):
        head[4] = version
        for read in (Index.parse, head_size):
            with pytest.raises(UnsupportedFormat):
                read(bytes(head))


def test_every_flipped_bit_of_a_head_is_seen() -> None:
    info = planned(40, 40, 3, (1,))
    head = _native.write_head(info, None, np.arange(segments_of(info), dtype=np.uint32))
    for bit in range(8 * len(head)):
        damaged = bytearray(head)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodecError):
            Index.parse(bytes(damaged))


def test_checksums_are_those_of_the_standard() -> None:
    assert _native.crc32c(b"123456789") == 0xE3069283
    assert _native.crc32c(b"") == 0
    # RFC 3720, B.4
    assert _native.crc32c(bytes(32)) == 0x8A9136AA
    assert _native.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert _native.crc32c(bytes(range(32))) == 0x46DD794E
