"""Value tables: when an encoder uses one, and that pictures and bounds are right in the samples' own units."""

import numpy as np
import pytest

from firstlight import codecs
from firstlight.codecs import _native
from firstlight.codecs.packing import pack
from firstlight.codecs.strided import Strided
from support.pictures import DTYPES, picture
from support.wasm import Case, check_in_wasm


def stretched(dtype: str, gap: int, count: int, shape: tuple[int, ...] = (190, 210)) -> np.ndarray:
    """A smooth picture of `count` values, `gap` apart, that begin near the dtype's least."""
    places = picture("smooth", shape, "uint16", 4) // (65536 // count)
    return (places.astype(np.int64) * gap + np.iinfo(dtype).min + 3).astype(dtype)


def values(shard: bytes) -> list[int]:
    index = codecs.Index.parse(shard)
    return np.frombuffer(index.values, np.int16 if index.dtype.kind == "i" else np.uint16).tolist()


@pytest.mark.parametrize("dtype", DTYPES["wavelet"])
@pytest.mark.parametrize("shape", [(190, 210), (120, 150, 3)])
def test_equal_gaps_are_packed(dtype: str, shape: tuple[int, ...]) -> None:
    samples = stretched(dtype, 4, 60, shape)
    shard = codecs.encode(samples)
    assert values(shard) == np.unique(samples).tolist()
    assert np.array_equal(codecs.decode(shard), samples)
    dense = codecs.encode(np.searchsorted(np.unique(samples), samples).astype(np.uint8))
    assert len(shard) < len(dense) + 60


@pytest.mark.parametrize(
    "samples",
    [
        picture("noise", (90, 90), "uint8", 1),
        np.where(picture("smooth", (90, 90), "uint8", 2) > 250, 60000, 7).astype(np.uint16)
        + picture("smooth", (90, 90), "uint8", 2),  # one wide gap
        picture("constant", (90, 90), "uint16", 3),
        picture("noise", (30, 30), "uint16", 3),  # a table longer than what it saves
    ],
    ids=["dense", "far-off", "one value", "few samples"],
)
def test_others_are_not(samples: np.ndarray) -> None:
    shard = codecs.encode(samples)
    assert values(shard) == []
    assert np.array_equal(codecs.decode(shard), samples)


def test_strides_and_contrast() -> None:
    samples = stretched("int16", 16, 200).T[::-1, ::2]
    ends = int(samples.min()), int(samples.max())
    table, places, contrast = pack(Strided.of(samples[None]), ends, (-32765.0, -32765.0 + 160))
    assert table is not None
    assert contrast == (0.0, 10.0)
    assert np.array_equal(table.astype(np.int16)[places.flat.reshape(samples.shape)], samples)
    assert np.array_equal(codecs.decode(codecs.encode(samples)), samples)


@pytest.mark.parametrize("transform", ["5/3", "9/7-m", "s-haar"])
@pytest.mark.parametrize("dtype", ["uint16", "int16", "int8"])
def test_bounds_are_in_sample_units(dtype: str, transform: str) -> None:
    samples = stretched(dtype, 3, 80)
    samples = np.where(samples > np.median(samples), samples + 2, samples).astype(dtype)  # one gap of 5
    shard = codecs.encode(samples, transform=transform)
    index = codecs.Index.parse(shard)
    assert values(shard)
    for finest in range(len(index.levels)):
        for layers in range(0, index.levels[0].layers, 3):
            decoder = codecs.Decoder(index)
            for segment in range(index.segments):
                place = index.locate(segment)
                if place.level >= finest or place.layer < layers:
                    decoder.add(segment, shard[index.offsets[segment] : index.offsets[segment + 1]])
            for level in range(len(index.levels)):
                off = np.abs(decoder.decode(level).astype(np.int64) - codecs.decode(shard, level=level))
                assert off.max() <= decoder.bound(level)


def test_wasm_reads_them(tmp_path) -> None:
    cases = []
    for dtype in DTYPES["wavelet"]:
        samples = stretched(dtype, 4, 60)
        shard = codecs.encode(samples)
        cases += [Case(shard, level, codecs.decode(shard, level=level)) for level in range(3)]
    check_in_wasm(cases, tmp_path)


def test_damaged_tables_are_told() -> None:
    """Every byte of the head changed, its checksum made right again: a clear error or a head that makes sense."""
    shard = bytearray(codecs.encode(stretched("uint16", 16, 200)))
    size = codecs.head_size(shard)
    for at in range(12, size - 4):
        for change in (1, 0x40, 0x80, 0xFF):
            damaged = bytearray(shard[:size])
            damaged[at] ^= change
            damaged[size - 4 :] = _native.crc32c(damaged[: size - 4]).to_bytes(4, "little")
            try:
                index = codecs.Index.parse(damaged)
            except codecs.CodecError:
                continue
            table = np.frombuffer(index.values, np.int16 if index.dtype.kind == "i" else np.uint16)
            assert len(table) != 1
            assert len(table) < 1 << index.bits
            assert (np.diff(table.astype(np.int64)) > 0).all()
