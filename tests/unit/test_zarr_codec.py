"""The Zarr codec `firstlight_shard`: exact pixels through plain Zarr, by ranged gets only."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from zarr.abc.store import RangeByteRequest
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from firstlight import codecs
from firstlight.codecs.zarr import FirstlightShardCodec
from support.pictures import picture


class CountingStore(WrapperStore[MemoryStore]):
    """A store in memory that records what is got of chunks."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.gets: list[tuple[str, Any]] = []

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if not key.endswith("zarr.json"):
            self.gets.append((key, byte_range))
        return await super().get(key, prototype, byte_range)

    @property
    def bytes_read(self) -> int:
        return sum(r.end - r.start for _, r in self.gets)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore(MemoryStore())


def create(store: Any, samples: NDArray[Any], chunks: tuple[int, ...], **options: Any) -> zarr.Array:
    codec = FirstlightShardCodec(**options.pop("codec", {}))
    array = zarr.create_array(
        store, shape=samples.shape, chunks=chunks, dtype=samples.dtype, serializer=codec, filters=None,
        compressors=None, **options,
    )  # fmt: skip
    array[...] = samples
    return array


# ---- plain Zarr -----------------------------------------------------------------------------------------------------

READER = """
import hashlib, sys, zarr
array = zarr.open(sys.argv[1], mode="r")
print(array.dtype, array.shape, hashlib.sha256(array[...].tobytes()).hexdigest())
print(sorted(m for m in sys.modules if m.startswith("firstlight.codecs.zarr")))
"""


def test_a_fresh_interpreter_finds_the_codec(tmp_path: Path) -> None:
    import hashlib

    samples = picture("smooth", (300, 217), "uint16", 1)
    create(LocalStore(tmp_path / "a.zarr"), samples, (128, 128))
    done = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path / "a.zarr")], capture_output=True, text=True, check=True
    )
    expected = f"uint16 (300, 217) {hashlib.sha256(samples.tobytes()).hexdigest()}"
    assert done.stdout.splitlines() == [expected, "['firstlight.codecs.zarr']"]


def test_metadata_is_what_the_specification_says(store: CountingStore) -> None:
    array = create(store, np.zeros((10, 10), np.uint8), (10, 10), codec={"head_bytes": 4096})
    assert array.metadata.to_dict()["codecs"] == (
        {"name": "firstlight_shard", "configuration": {"version": 4, "codec": "wavelet", "head_bytes": 4096}},
    )


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", ">u2", ">i2"])
@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((130, 150), (64, 64)),
        ((2, 3, 70, 50), (1, 1, 70, 32)),
        ((3, 70, 50), (3, 40, 50)),
        ((2, 3, 2, 33, 50), (1, 3, 1, 20, 64)),
        ((3, 2, 33, 5), (1, 1, 33, 5)),
    ],
)
def test_every_layout_and_dtype(store: CountingStore, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str):
    rng = np.random.default_rng(3)
    info = np.iinfo(dtype)
    samples = rng.integers(info.min, info.max, shape, endpoint=True).astype(dtype)
    array = create(store, samples, chunks)
    assert array.dtype == np.dtype(dtype)
    found = array[...]
    assert found.dtype == np.dtype(dtype)
    assert np.array_equal(found, samples)


def test_resize_overwrite_and_append(store: CountingStore) -> None:
    samples = picture("smooth", (100, 90), "uint8", 2)
    array = create(store, samples, (64, 64), fill_value=7)
    array.resize((150, 70))
    expected = np.full((150, 70), 7, np.uint8)
    expected[:100] = samples[:, :70]
    assert np.array_equal(array[...], expected)
    array[60:70, 60:70] = 99
    array[120, :] = np.arange(70)
    expected[60:70, 60:70] = 99
    expected[120, :] = np.arange(70)
    assert np.array_equal(array[...], expected)
    array.append(np.full((5, 70), 3, np.uint8))
    assert np.array_equal(array[150:], np.full((5, 70), 3))


def test_missing_chunks_are_fill_values(store: CountingStore) -> None:
    array = zarr.create_array(
        store, shape=(100, 100), chunks=(64, 64), dtype="int16", fill_value=-3, serializer=FirstlightShardCodec(),
        filters=None, compressors=None,
    )  # fmt: skip
    assert (array[...] == -3).all()
    array[:10, :10] = 5
    assert array[5, 5] == 5
    assert (array[64:, 64:] == -3).all()


def test_what_is_fill_value_is_trimmed_away(store: CountingStore) -> None:
    samples = np.full((512, 512), 9, np.uint16)
    samples[3:40, 7:100] = picture("noise", (37, 93), "uint16", 3)
    create(store, samples, (512, 512), fill_value=9)
    shard = next(v for k, v in store._store._store_dict.items() if not k.endswith("zarr.json")).to_bytes()
    index = codecs.Index.parse(shard)
    assert (index.height, index.width) == (40, 100)
    assert np.array_equal(zarr.open_array(store)[...], samples)


def test_a_chunk_of_nothing_but_fill_value_is_tiny(store: CountingStore) -> None:
    array = create(
        store, np.full((256, 256), 9, np.uint8), (256, 256), fill_value=9, config={"write_empty_chunks": True}
    )
    (shard,) = [v for k, v in store._store._store_dict.items() if not k.endswith("zarr.json")]
    assert len(shard) < 64
    assert (array[...] == 9).all()


# ---- ranged reads ---------------------------------------------------------------------------------------------------


def test_a_small_read_costs_one_get_for_the_head_and_few_ranges(store: CountingStore) -> None:
    samples = picture("smooth", (2048, 2048), "uint16", 4)
    create(store, samples, (2048, 2048), codec={"head_bytes": 4096})
    size = max(len(v) for v in store._store._store_dict.values())
    array = zarr.open_array(store, mode="r+")
    store.gets.clear()
    assert np.array_equal(array[1000:1010, 700:710], samples[1000:1010, 700:710])
    assert all(isinstance(r, RangeByteRequest) for _, r in store.gets)
    assert store.gets[0][1] == RangeByteRequest(0, 4096)
    assert len(store.gets) <= 12
    assert store.bytes_read < size / 8


def test_every_read_is_ranged(store: CountingStore) -> None:
    samples = picture("steps", (300, 200), "uint8", 5)
    array = create(store, samples, (128, 128))
    store.gets.clear()
    assert np.array_equal(array[...], samples)
    assert len({key for key, _ in store.gets}) == 6
    assert all(isinstance(r, RangeByteRequest) for _, r in store.gets)


def test_a_longer_head_takes_a_second_get(store: CountingStore) -> None:
    samples = picture("noise", (256, 256), "uint16", 6)
    array = create(store, samples, (256, 256), codec={"head_bytes": 20})
    store.gets.clear()
    assert np.array_equal(array[...], samples)
    size = codecs.head_size(store._store._store_dict["c/0/0"].to_bytes())
    assert [r for _, r in store.gets][:2] == [RangeByteRequest(0, 80), RangeByteRequest(80, size)]
    assert len(store.gets) == 3


def test_a_small_shard_takes_one_get(store: CountingStore) -> None:
    array = create(store, picture("ramp", (64, 64), "uint8", 0), (64, 64))
    store.gets.clear()
    assert array[3, 4] == picture("ramp", (64, 64), "uint8", 0)[3, 4]
    assert store.gets == [("c/0/0", RangeByteRequest(0, 65536))]


# ---- selections -----------------------------------------------------------------------------------------------------

AXIS: list[Any] = [
    slice(None), slice(3, 3), slice(10, 90), slice(90, 200), slice(5, 70, 7), slice(-20, None), 0, 77, -1,
]  # fmt: skip


def test_basic_selections(grid: tuple[zarr.Array, NDArray[Any]]) -> None:
    array, samples = grid
    for rows, columns in product(AXIS, AXIS):
        assert np.array_equal(array[rows, columns], samples[rows, columns]), (rows, columns)


@pytest.fixture(scope="module")
def grid() -> tuple[zarr.Array, NDArray[Any]]:
    samples = picture("noise", (100, 130), "int16", 8)
    return create(MemoryStore(), samples, (64, 48)), samples


def test_fancy_selections(grid: tuple[zarr.Array, NDArray[Any]]) -> None:
    array, samples = grid
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(0, 100, 40), rng.integers(0, 130, 40)
    assert np.array_equal(array.vindex[rows, columns], samples[rows, columns])
    assert np.array_equal(array.oindex[rows[:7], columns], samples[np.ix_(rows[:7], columns)])
    assert np.array_equal(array.oindex[rows, 5:70:3], samples[rows, 5:70:3])
    assert np.array_equal(array.oindex[5, columns], samples[5, columns])
    mask = rng.random(samples.shape) < 0.01
    assert np.array_equal(array.vindex[mask], samples[mask])
    assert np.array_equal(array.oindex[mask.any(axis=1), :], samples[mask.any(axis=1)])
    assert np.array_equal(array.blocks[1, 2], samples[64:, 96:])
    assert np.array_equal(array[...], samples)
    assert array[99, 129] == samples[99, 129]


CHUNK_SELECTIONS: list[Any] = [
    (), ..., (..., 5), (0,), (0, ..., slice(2, 9)), (slice(None), slice(None, None, -1), slice(20, 3, -4)),
    (2, -1, -1), (np.array([2, 0]), slice(None), slice(3)),
    (slice(None), np.array([[1], [20], [-1]]), np.array([3, 0])),
    (1, np.array([], int), slice(None)), (slice(None), np.arange(24) % 3 == 0, 4), np.array([True, False, True]),
    (np.ones((3, 24), bool), slice(1, 5)), (slice(2, 1), 3, 4), ([0, 1], 4, 5),
    (slice(1, 2), slice(0, 24), slice(0, 31)),
]  # fmt: skip


@pytest.mark.parametrize("selection", CHUNK_SELECTIONS, ids=str)
async def test_partial_decoding_gives_exactly_chunk_of_selection(store: CountingStore, selection: Any) -> None:
    """What any version of zarr may ask of a codec, colour included."""
    from zarr.core.array_spec import ArrayConfig, ArraySpec
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.dtype import UInt16
    from zarr.storage import StorePath

    samples = np.moveaxis(picture("noise", (24, 31, 3), "uint16", 9), 2, 0).copy()
    samples[:, 20:], samples[:, :, 28:] = 0, 0
    codec = FirstlightShardCodec(head_bytes=100)
    prototype = default_buffer_prototype()
    spec = ArraySpec((3, 24, 31), UInt16(), np.uint16(0), ArrayConfig("C", True), prototype)
    shard = await codec._encode_single(prototype.nd_buffer.from_numpy_array(samples), spec)
    await store.set("key", shard)
    assert codecs.Index.parse(shard.to_bytes()).height == 20

    found = await codec._decode_partial_single(StorePath(store, "key"), selection, spec)
    expected = samples[selection]
    assert found.as_numpy_array().shape == expected.shape
    assert np.array_equal(found.as_numpy_array(), expected)
    assert await codec._decode_partial_single(StorePath(store, "none"), selection, spec) is None


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bool", "uint32", "complex64"])
def test_unsupported_dtypes_are_named(dtype: str) -> None:
    with pytest.raises(ValueError, match=f"dtype {dtype}, expected one of uint8, int8, uint16, int16"):
        zarr.create_array(
            MemoryStore(), shape=(8, 8), chunks=(8, 8), dtype=dtype, serializer=FirstlightShardCodec(),
            filters=None, compressors=None,
        )  # fmt: skip


@pytest.mark.parametrize("chunks", [(2, 8, 8), (3, 3, 8, 8), (4, 1, 8, 8), (8,)])
def test_unsupported_chunk_shapes_are_named(chunks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"chunks of shape \("):
        zarr.create_array(
            MemoryStore(), shape=chunks, chunks=chunks, dtype="uint8", serializer=FirstlightShardCodec(), filters=None,
            compressors=None,
        )  # fmt: skip


@pytest.mark.parametrize("configuration", [{"version": 1}, {"codec": "nope"}, {"head_bytes": 0}, {"colour": "rct"}])
def test_unknown_configurations_are_refused(configuration: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="firstlight_shard"):
        FirstlightShardCodec.from_dict({"name": "firstlight_shard", "configuration": configuration})


def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    samples = picture("noise", (100, 100), "uint8", 1)
    array = create(LocalStore(tmp_path), samples, (64, 64))
    path = tmp_path / "c" / "1" / "0"
    shard = bytearray(path.read_bytes())
    shard[-20] ^= 4
    path.write_bytes(shard)
    assert np.array_equal(array[:64], samples[:64])
    with pytest.raises(codecs.CorruptData, match=r"chunk .*c/1/0.*segment \d+ \(level 0, layer \d+"):
        array[...]
    path.write_bytes(shard[:-30])
    with pytest.raises(codecs.InsufficientData, match=r"chunk .*c/1/0"):
        array[...]
    path.write_bytes(b"")
    with pytest.raises(codecs.InsufficientData, match=r"chunk .*c/1/0"):
        array[...]
    other = codecs.encode(samples[:10, :10].astype(np.uint16) + 300)
    path.write_bytes(other)
    with pytest.raises(codecs.CorruptData, match="10 x 10 uint16, expected 1 x at most 64 x 64 uint8"):
        array[...]


def test_metadata_is_strict_json(tmp_path: Path) -> None:
    create(LocalStore(tmp_path), np.zeros((9, 9), np.uint8), (9, 9))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((tmp_path / "zarr.json").read_text(), parse_constant=refuse)
