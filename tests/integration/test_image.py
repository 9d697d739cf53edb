"""Stored images as arrays: indexing, precision, streams, many shards, damage; on disk, over HTTP, from S3."""

import asyncio
import itertools
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firstlight
from firstlight.errors import CorruptData, FirstlightError, NotFound, ObjectReplaced, StoreError
from firstlight.image import Image
from firstlight.ingest import open_source
from firstlight.layout import LayoutError
from support import servers

Samples = np.ndarray[Any, np.dtype[Any]]


def smooth(shape: tuple[int, ...], dtype: str, seed: int = 7) -> Samples:
    """Sums of slow waves and some noise, over most of the data type's range."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    waves = sum(np.sin(y / a + p) * np.cos(x / b - p) for a, b, p in rng.uniform(5, 60, (4, 3)))
    info = np.iinfo(dtype)
    scale = (float(info.max) - float(info.min)) / 12
    planes = [waves * scale + n * 3 + rng.normal(0, scale / 50, shape[-2:]) for n in range(int(np.prod(shape[:-2])))]
    middle = (float(info.max) + float(info.min)) / 2
    return np.clip(np.reshape(planes, shape) + middle, info.min, info.max).astype(dtype)


def store(samples: Samples, folder: Path, *, chunk: int = 64) -> Path:
    """Ingest an array; the image's directory."""
    np.save(folder / "source.npy", samples)
    firstlight.ingest(folder / "source.npy", folder / "image.zarr", chunk=chunk)
    return folder / "image.zarr"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> tuple[Samples, Path]:
    """Two channels, three sections, 5 x 4 shards, corner shards of a few samples, three arrays."""
    samples = smooth((2, 3, 261, 197), "uint16")
    folder = tmp_path_factory.mktemp("stack")
    np.save(folder / "source.npy", samples)
    return samples, store(samples, folder)


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> tuple[Samples, Path]:
    """An RGB image of 3 x 3 shards, as (c, y, x)."""
    samples = smooth((3, 500, 450), "uint8")
    return samples, store(np.moveaxis(samples, 0, 2), tmp_path_factory.mktemp("colour"), chunk=200)


# -- what it is ---------------------------------------------------------------------------------------------------


def test_it_looks_like_an_array(stack: tuple[Samples, Path]) -> None:
    samples, path = stack
    image = firstlight.open(path)
    assert isinstance(image, Image)
    assert (image.shape, image.dtype, image.ndim, image.size) == (
        samples.shape,
        samples.dtype,
        samples.ndim,
        samples.size,
    )
    assert image.nbytes == samples.nbytes
    assert image.axes == ("c", "z", "y", "x")
    assert len(image) == 2
    assert image.levels[:2] == ((2, 3, 261, 197), (2, 3, 131, 99))
    assert image.bytes_stored == sum(p.stat().st_size for p in path.glob("*/c/**/*") if p.is_file())
    assert "c=2, z=3, y=261, x=197" in repr(image)
    np.testing.assert_array_equal(np.asarray(image), samples)
    assert np.asarray(image, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy=False"):
        np.asarray(image, copy=False)


@pytest.mark.parametrize("name", ["slide", "photo", "cells", "stack", "ct"])
def test_every_sample_of_real_images(images: Path, data: Path, name: str) -> None:
    from support.images import SOURCES

    image = firstlight.open(images / f"{name}.zarr")
    whole = image[...]
    with open_source(data / SOURCES[name]) as source:
        assert image.shape == source.shape
        planes = [a for a in image.axes[:-2] if not (image.layout.rgb and a == "c")]
        for at in np.ndindex(*(image.layout.size(a) for a in planes)):
            original = source.read(dict(zip(planes, at, strict=True)), (0, 0, *image.shape[-2:]))
            ours = np.moveaxis(whole[at], 0, 2) if image.layout.rgb else whole[at]
            np.testing.assert_array_equal(ours, original)


# -- indexing -----------------------------------------------------------------------------------------------------


def indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Basic indexing: integers of both signs, slices with any step, an ellipsis, fewer than all axes."""

    def axis(n: int) -> st.SearchStrategy[Any]:
        return st.integers(-n, n - 1) | st.slices(n)

    def shorten(items: tuple[Any, ...]) -> st.SearchStrategy[Any]:
        cut = st.integers(0, len(items))
        return st.one_of(
            st.just(items),
            cut.map(lambda n: items[:n]),
            st.tuples(cut, cut).map(lambda c: (*items[: min(c)], ..., *items[max(c) :])),
        )

    return st.tuples(*map(axis, shape)).flatmap(shorten)


@settings(max_examples=60, deadline=None)
@given(index=indices((2, 3, 261, 197)))
def test_indexing_is_numpy_s(stack: tuple[Samples, Path], index: Any) -> None:
    samples, path = stack
    expected = samples[index]
    found = OPEN.setdefault(path, firstlight.open(path))[index]
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=40, deadline=None)
@given(index=indices((3, 500, 450)))
def test_indexing_of_colour_is_numpy_s(colour: tuple[Samples, Path], index: Any) -> None:
    samples, path = colour
    expected = samples[index]
    found = OPEN.setdefault(path, firstlight.open(path))[index]
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


OPEN: dict[Path, Image] = {}


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (2, r"index 2 is out of bounds for axis 0 \(c\) with size 2"),
        ((0, 0, -262), r"index -262 is out of bounds for axis 2 \(y\) with size 261"),
        ((0, 0, 0, 0, 0), "too many indices: the image is 4-dimensional, but 5 were indexed"),
        ((..., 0, ...), "single ellipsis"),
        ((None, 0), "not None"),
        (True, "not True"),
        ([0, 1], "not list"),
        (1.5, "not float"),
        ("y", "not str"),
    ],
)
def test_what_is_no_index(stack: tuple[Samples, Path], index: Any, says: str) -> None:
    with pytest.raises(IndexError, match=says):
        firstlight.open(stack[1])[index]


def test_levels_and_their_errors(stack: tuple[Samples, Path]) -> None:
    image = firstlight.open(stack[1])
    for level, shape in enumerate(image.levels):
        assert image.read(level=level).shape == shape
    with pytest.raises(IndexError, match="level 9: the image has levels 0 to 7"):
        image.read(level=9)
    with pytest.raises(IndexError, match=r"size 131"):
        image.read((0, 0, 131), level=1)
    # A region of a level is a part of that level.
    level = image.read(level=2)
    np.testing.assert_array_equal(image.read(np.s_[1, :, 10:60:7, -3], level=2), level[1, :, 10:60:7, -3])


# -- precision ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_error", [1, 20, 300, 5000])
def test_the_error_is_within_what_was_allowed(stack: tuple[Samples, Path], max_error: int) -> None:
    samples, path = stack
    image, exact = firstlight.open(path), firstlight.open(path)
    region = np.s_[1, 2, 30:230, 20:180]
    found = image.read(region, max_error=max_error)
    assert np.abs(found.astype(int) - samples[region].astype(int)).max() <= max_error
    exact.read(region)
    assert image.bytes_fetched <= exact.bytes_fetched


def test_policies_follow_the_contrast_limits(images: Path) -> None:
    reads = {}
    for policy in ("fast", "visual", "exact"):
        image = firstlight.open(images / "cells.zarr")
        reads[policy] = image.read(max_error=policy), image.bytes_fetched
    assert reads["fast"][1] < reads["visual"][1] < reads["exact"][1]
    image = firstlight.open(images / "cells.zarr")
    np.testing.assert_array_equal(reads["exact"][0], image[...])
    for number, channel in enumerate(image.channels):
        step = (channel.window[1] - channel.window[0]) / 255  # of the screen
        off = np.abs(reads["visual"][0][number].astype(int) - image[number].astype(int)) / step
        assert rms(off) <= np.hypot(0.33, 12**-0.5 / step)  # and rounding to whole numbers
        assert (off <= 1).mean() > 0.998
        assert rms((reads["fast"][0][number].astype(int) - image[number].astype(int)) / step) <= 7.7
    with pytest.raises(ValueError, match="expected one of exact, visual, fast"):
        image.read(max_error="good")


def rms(off: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(off, dtype=np.float64))))


def test_what_a_photo_is_expected_to_look_like(images: Path) -> None:
    exact = firstlight.open(images / "photo.zarr")[...].astype(int)
    found = {}
    for policy in ("fast", "visual"):
        image = firstlight.open(images / "photo.zarr")
        found[policy] = 20 * np.log10(255 / rms(image.read(max_error=policy) - exact))
        assert image.requests <= 7
    assert 30 < found["fast"] < 34
    assert 39 < found["visual"] < 43


@pytest.mark.parametrize(("policy", "most"), [("fast", 9), ("visual", 13), ("exact", 21)])
def test_a_cold_viewport_takes_few_requests(images: Path, policy: str, most: int) -> None:
    for level in (0, 1):
        image = firstlight.open(images / "slide.zarr")
        height, width = image.levels[level][-2:]
        top, left = (height - 768) // 2, (width - 1024) // 2
        before = image.requests
        image.read(np.s_[:, top : top + 768, left : left + 1024], level=level, max_error=policy)
        assert image.requests - before <= most


def test_a_small_part_takes_few_bytes_and_requests(images: Path) -> None:
    image = firstlight.open(images / "slide.zarr")
    image[:, 1040:1140, 1040:1140]  # inside one tile
    assert image.bytes_stored is not None
    assert image.bytes_fetched < 0.08 * image.bytes_stored
    before = image.requests
    image[:, 1050:1130, 1050:1130]
    assert image.requests == before  # what was fetched is kept


# -- streams ------------------------------------------------------------------------------------------------------


async def test_a_stream_refines_until_it_is_exact(images: Path) -> None:
    image = firstlight.open(images / "slide.zarr")
    region = np.s_[:, 700:1400, 900:1800]
    exact = firstlight.open(images / "slide.zarr")[region]
    pictures = [picture async for picture in image.stream(region)]
    assert len(pictures) >= 4
    np.testing.assert_array_equal(pictures[-1].data, exact)
    assert pictures[-1].error == 0
    assert image.bytes_stored is not None
    assert pictures[0].bytes < 0.02 * image.bytes_stored
    off = [np.abs(picture.data.astype(int) - exact) for picture in pictures]
    for before, after in itertools.pairwise(pictures):
        assert after.error <= before.error
        assert after.rms <= before.rms
        assert after.bytes > before.bytes
    for picture, difference in zip(pictures, off, strict=True):
        assert difference.max() <= picture.error
        # Rounding to whole numbers is not part of the estimate.
        assert rms(difference) <= 1.3 * picture.rms + 0.3
    means = [float(difference.mean()) for difference in off]
    assert means == sorted(means, reverse=True)


async def test_a_stream_stops_at_the_precision_asked_for(stack: tuple[Samples, Path]) -> None:
    samples, path = stack
    image = firstlight.open(path)
    pictures = [picture async for picture in image.stream(np.s_[:, 1, ::-2, 3:190:3], max_error=500)]
    expected = samples[:, 1, ::-2, 3:190:3]
    assert pictures[-1].data.shape == expected.shape
    assert pictures[-1].error <= 500
    assert np.abs(pictures[-1].data.astype(int) - expected).max() <= pictures[-1].error
    again = [picture async for picture in image.stream(np.s_[:, 1, ::-2, 3:190:3], max_error=500)]
    assert [(picture.bytes, picture.error <= 500) for picture in again] == [(0, True)]  # all of it was kept


async def test_leaving_a_stream_stops_fetching(images: Path) -> None:
    image = firstlight.open(images / "slide.zarr")
    stream = image.stream()
    first = await anext(stream)
    await stream.aclose()
    fetched = image.bytes_fetched
    await asyncio.sleep(0.1)
    assert image.bytes_fetched == fetched
    assert image.bytes_stored is not None
    assert first.bytes < 0.02 * image.bytes_stored


async def test_a_cancelled_stream_leaves_nothing_running(images: Path) -> None:
    image = firstlight.open(images / "slide.zarr")

    async def watch() -> None:
        async for _ in image.stream():
            pass

    task = asyncio.create_task(watch())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    np.testing.assert_array_equal(image[:, :9, :9], firstlight.open(images / "slide.zarr")[:, :9, :9])


async def test_stream_errors_come_at_once_or_while_iterating(stack: tuple[Samples, Path]) -> None:
    with pytest.raises(IndexError):
        firstlight.open(stack[1]).stream(5)


# -- many at once -------------------------------------------------------------------------------------------------


def test_threads_may_share_an_image(stack: tuple[Samples, Path]) -> None:
    samples, path = stack
    image = firstlight.open(path)
    wrong = []

    def read(c: int, z: int) -> None:
        if not np.array_equal(image[c, z], samples[c, z]):
            wrong.append((c, z))

    threads = [threading.Thread(target=read, args=at) for at in np.ndindex(2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


async def test_reading_works_inside_a_running_loop(stack: tuple[Samples, Path]) -> None:
    np.testing.assert_array_equal(firstlight.open(stack[1])[1], stack[0][1])


def test_tight_limits_only_cost_time(stack: tuple[Samples, Path]) -> None:
    samples, path = stack
    image = firstlight.open(path, memory_bytes=1, cache_bytes=0, connections=1, threads=1)
    np.testing.assert_array_equal(image[...], samples)


# -- what is missing or damaged -----------------------------------------------------------------------------------


@pytest.fixture
def copy(stack: tuple[Samples, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(stack[1], tmp_path / "copy.zarr"))


def test_a_missing_shard_is_fill_value(stack: tuple[Samples, Path], copy: Path) -> None:
    expected = stack[0].copy()
    (copy / "0/c/1/2/0/1").unlink()
    expected[1, 2, :64, 64:128] = 0
    np.testing.assert_array_equal(firstlight.open(copy)[...], expected)


async def test_a_stream_over_missing_shards(stack: tuple[Samples, Path], copy: Path) -> None:
    shutil.rmtree(copy / "0/c/1/2")
    image = firstlight.open(copy)
    assert [(p.error, int(p.data.max())) async for p in image.stream((1, 2))] == [(0, 0)]


def test_missing_metadata(tmp_path: Path, copy: Path) -> None:
    (copy / "zarr.json").unlink()
    with pytest.raises(NotFound, match=r"copy\.zarr: not a stored image: it has no zarr\.json"):
        firstlight.open(copy)
    (copy / "zarr.json").write_text("{")
    with pytest.raises(FirstlightError, match=r"zarr\.json: expected JSON"):
        firstlight.open(copy)
    (copy / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(LayoutError, match=r"copy\.zarr/zarr\.json"):
        firstlight.open(copy)
    with pytest.raises(NotFound, match="no such directory"):
        firstlight.open(tmp_path / "absent")


def test_damage_is_named(copy: Path) -> None:
    path = copy / "0/c/1/2/0/1"
    whole = path.read_bytes()
    place = len(whole) * 3 // 4
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
    image = firstlight.open(copy)
    with pytest.raises(CorruptData, match=r"shard .*copy\.zarr/0/c/1/2/0/1: segment \d+"):
        image[1, 2]
    path.write_bytes(whole)
    image[1, 2]  # damaged bytes are not kept

    path.write_bytes(b"FLSH\x04" + bytes(100))
    with pytest.raises((StoreError, CorruptData), match=r"copy\.zarr/0/c/1/2/0/1"):
        firstlight.open(copy)[1, 2]
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match=r"0/c/1/2/0/1: expected \d+ bytes from byte \d+"):
        firstlight.open(copy)[1, 2]
    path.write_bytes(b"")
    with pytest.raises(StoreError, match=r"0/c/1/2/0/1: expected bytes from byte 0, but the object ends"):
        firstlight.open(copy)[1, 2]


def test_a_shard_of_another_image_is_refused(copy: Path, images: Path) -> None:
    shutil.copy(images / "ct.zarr/0/c/0/0", copy / "0/c/1/2/0/1")
    with pytest.raises(CorruptData, match="expected 1 components of uint16, found 1 of int16"):
        firstlight.open(copy)[1, 2]


def test_a_head_longer_than_the_metadata_say(stack: tuple[Samples, Path], copy: Path) -> None:
    text = (copy / "zarr.json").read_text()
    heads = {array.head_bytes for array in firstlight.open(copy).layout.arrays}
    for size in heads:
        text = text.replace(f'"head_bytes": {size}', '"head_bytes": 20')
    (copy / "zarr.json").write_text(text)
    image = firstlight.open(copy)
    assert {array.head_bytes for array in image.layout.arrays} == {20}
    np.testing.assert_array_equal(image[...], stack[0])


async def test_a_stream_whose_heads_bring_no_picture(stack: tuple[Samples, Path], copy: Path) -> None:
    text = (copy / "zarr.json").read_text()
    for array in firstlight.open(copy).layout.arrays:
        text = text.replace(f'"head_bytes": {array.head_bytes}', '"head_bytes": 20')
    (copy / "zarr.json").write_text(text)
    pictures = [picture async for picture in firstlight.open(copy).stream((0, 0))]
    assert pictures[-1].error == 0
    np.testing.assert_array_equal(pictures[-1].data, stack[0][0, 0])


def test_an_image_that_is_replaced_while_it_is_read(images: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(images / "photo.zarr", tmp_path / "photo.zarr"))
    image = firstlight.open(path)
    image.read(max_error="fast")
    # The same shard again, as a new file: another version.
    shutil.copy(path / "0/c/0/0/0", path / "new")
    (path / "new").rename(path / "0/c/0/0/0")
    with pytest.raises(ObjectReplaced, match="was replaced while it was being read; open the image again"):
        image[...]
    np.testing.assert_array_equal(image[...], firstlight.open(path)[...])  # it was forgotten, and is read anew


# -- elsewhere ----------------------------------------------------------------------------------------------------


def test_over_nginx(images: Path, nginx: Callable[[Path], str]) -> None:
    url = nginx(images)
    for name in ("slide", "stack"):
        remote = firstlight.open(f"{url}/{name}.zarr/")
        np.testing.assert_array_equal(
            remote[..., 50:120, 7:99], firstlight.open(images / f"{name}.zarr")[..., 50:120, 7:99]
        )
    with pytest.raises(NotFound, match=f"{url}/absent.zarr: not a stored image"):
        firstlight.open(f"{url}/absent.zarr")


async def test_a_stream_over_nginx(images: Path, nginx: Callable[[Path], str]) -> None:
    image = firstlight.open(f"{nginx(images)}/photo.zarr")
    errors = [picture.error async for picture in image.stream(level=1)]
    assert errors[-1] == 0
    assert errors == sorted(errors, reverse=True)


def test_from_s3(images: Path, s3: servers.S3) -> None:
    shutil.copytree(images / "cells.zarr", s3.folder / "cells.zarr")
    remote = firstlight.open(f"s3://{s3.bucket}/cells.zarr", **s3.options, connections=4)
    np.testing.assert_array_equal(remote[...], firstlight.open(images / "cells.zarr")[...])
    assert remote.bytes_stored is not None
    assert remote.bytes_fetched < remote.bytes_stored + 20_000
