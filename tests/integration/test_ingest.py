"""Files in, images out: the samples, the pyramid, the metadata, and nothing left behind when something goes wrong."""

import base64
import io
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from ome_zarr_models.v05 import Image as OmeImage
from PIL import Image

import firstlight
from firstlight import codecs
from firstlight.errors import FirstlightError
from firstlight.geometry import Region
from firstlight.ingest import Source, SourceChannel, SourceError, ingest
from firstlight.ingest.statistics import Histogram
from firstlight.render import contrast_limits

Array = NDArray[Any]

FILES = [
    "CMU-1-Small-Region.svs",
    "OS-1-detail.ome.tif",
    "bmng_5400x2700.jpg",
    "kodim23.png",
    "neubias_xyc_16bit__hela-cells.tif",
    "neubias_xyc_16bit__cell_dna_mts_actin.tif",
    "neubias_xyzc_16bit__dna_conf_wf.tif",
    "neubias_xy_8bit__em_mitochondria_er.tif",
    "ct_small.tif",
    "mr_small.tif",
    "L7_ETMs.tif",
    "m13_hdu0.npy",
]


def truth(path: Path) -> Array:
    """The samples by other means, in the image's order of axes."""
    if path.suffix == ".npy":
        return np.load(path)  # type: ignore[no-any-return]
    if path.suffix in (".png", ".jpg"):
        return np.moveaxis(np.asarray(Image.open(path)), 2, 0)
    with tifffile.TiffFile(path) as tif:
        array, axes = tif.series[0].asarray(), tif.series[0].axes
    if axes == "YXS":
        return np.moveaxis(array, 2, 0)
    return array.swapaxes(0, 1) if axes == "ZCYX" else array


@pytest.fixture(scope="module", params=FILES)
def whole(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(source, target) of every file, ingested with the defaults under the name "My image"."""
    source: Path = data / request.param
    target = tmp_path_factory.mktemp("whole") / "a.zarr"
    ingest(source, target, name="My image")
    return source, target


def test_every_reader_gets_the_samples_of_the_file(whole: tuple[Path, Path]) -> None:
    source, target = whole
    expected = truth(source)
    by_zarr = zarr.open_group(target, mode="r")["0"]
    assert isinstance(by_zarr, zarr.Array)
    assert by_zarr.dtype == expected.dtype
    np.testing.assert_array_equal(by_zarr[...], expected)
    image = firstlight.open(target)
    assert image.dtype == expected.dtype
    np.testing.assert_array_equal(image[...], expected)


def test_metadata(whole: tuple[Path, Path]) -> None:
    source, target = whole
    layout = firstlight.open(target).layout
    assert layout.source == source.name
    assert layout.stored_bytes == sum(p.stat().st_size for p in target.glob("*/c/**/*") if p.is_file())
    model = OmeImage.from_zarr(zarr.open_group(target, mode="r"))
    assert model.ome_attributes.multiscales[0].name == "My image"
    assert [one.name for one in model.ome_attributes.multiscales[0].axes] == list(layout.axes)

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    document = json.loads((target / "zarr.json").read_bytes(), parse_constant=refuse)
    kind, _, text = document["attributes"]["firstlight"]["thumbnail"].partition(";base64,")
    assert kind == "data:image/webp"
    thumbnail = Image.open(io.BytesIO(base64.b64decode(text)))
    assert 8 <= max(thumbnail.size) <= 128
    height, width = layout.shape[-2:]
    assert abs(thumbnail.width / thumbnail.height - width / height) < 0.1 * width / height
    assert np.asarray(thumbnail.convert("L")).std() > 5  # not black, not white


@pytest.mark.parametrize(
    ("name", "chunk"),
    [
        ("OS-1-detail.ome.tif", 512),
        ("OS-1-detail.ome.tif", 200),
        ("neubias_xy_8bit__em_mitochondria_er.tif", 64),
        ("neubias_xyc_16bit__cell_dna_mts_actin.tif", 64),
        ("L7_ETMs.tif", 96),
        ("neubias_xyzc_16bit__dna_conf_wf.tif", 96),
        ("m13_hdu0.npy", 40),
    ],
)
def test_pyramid(data: Path, tmp_path: Path, name: str, chunk: int) -> None:
    expected = truth(data / name)
    layout = ingest(data / name, tmp_path / "a.zarr", chunk=chunk)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    arrays = [np.asarray(group[array.path][...]) for array in layout.arrays]  # type: ignore[index]
    np.testing.assert_array_equal(arrays[0], expected)
    assert len(arrays) > 1
    assert np.prod(arrays[-1].shape[-2:]) <= chunk * chunk
    for number in range(1, len(arrays)):
        finer = layout.arrays[number - 1]
        leading = 1 if layout.rgb else 0
        for place in np.ndindex(finer.grid):
            shard = (tmp_path / "a.zarr" / layout.shard_key(number - 1, place)).read_bytes()
            # A shard of the image's corner may be too small to have a level 3.
            level = min(3, len(codecs.Index.parse(shard).levels) - 1)
            picture = codecs.decode(shard, level=level)[:: 8 >> level, :: 8 >> level]
            height, width = picture.shape[:2]
            y, x = (place[-2] * finer.chunks[-2] // 8, place[-1] * finer.chunks[-1] // 8)
            at = place[leading:-2]
            part = arrays[number][(slice(None),) * leading + at + (slice(y, y + height), slice(x, x + width))]
            np.testing.assert_array_equal(np.moveaxis(picture, 2, 0) if layout.rgb else picture, part)
    image = firstlight.open(tmp_path / "a.zarr")
    np.testing.assert_array_equal(image[...], expected)
    for level, shape in enumerate(image.levels):
        assert image.read(level=level).shape == shape
    for number, array in enumerate(arrays):
        np.testing.assert_array_equal(image.read(level=3 * number), array)


@pytest.mark.parametrize(("shape", "chunk"), [((60, 3000), 432), ((3000, 60), 432), ((24, 60000), 1200)])
def test_an_image_that_fits_into_one_shard_is_one(
    data: Path, tmp_path: Path, shape: tuple[int, int], chunk: int
) -> None:
    samples = np.resize(truth(data / "m13_hdu0.npy"), shape)
    np.save(tmp_path / "a.npy", samples)
    layout = ingest(tmp_path / "a.npy", tmp_path / "a.zarr", chunk=chunk)
    assert [array.chunks for array in layout.arrays] == [shape]
    image = firstlight.open(tmp_path / "a.zarr")
    height, width = shape
    part = slice(height // 3, height // 2), slice(width // 3, width // 2)
    np.testing.assert_array_equal(image[part], samples[part])
    for level, size in enumerate(image.levels):
        assert image.read(level=level).shape == size
    assert image.layout == layout


def test_contrast_limits_come_from_all_samples(data: Path, tmp_path: Path) -> None:
    for name in ("ct_small.tif", "m13_hdu0.npy", "neubias_xy_8bit__em_mitochondria_er.tif"):
        samples = truth(data / name)
        (channel,) = ingest(data / name, tmp_path / "a.zarr", chunk=96, overwrite=True).channels
        assert channel.window == contrast_limits(samples)
        assert channel.limits == (samples.min(), samples.max())
    channels = ingest(data / "kodim23.png", tmp_path / "a.zarr", overwrite=True).channels
    assert [one.window for one in channels] == [(0, 255)] * 3
    assert [one.color for one in channels] == ["#ff0000", "#00ff00", "#0000ff"]
    channels = ingest(data / "L7_ETMs.tif", tmp_path / "a.zarr", overwrite=True).channels
    assert [one.window for one in channels] == [contrast_limits(band) for band in truth(data / "L7_ETMs.tif")]
    assert len({one.color for one in channels}) == 6


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_histogram_is_numpys_percentile(dtype: str) -> None:
    rng = np.random.default_rng(5)
    info = np.iinfo(dtype)
    for samples in (
        rng.normal(0, info.max / 9, 5000).clip(info.min, info.max).astype(dtype),
        rng.integers(info.min, info.max, 777, dtype, endpoint=True),
        np.full(40, info.min, dtype),
        np.full(40, info.max, dtype),
        np.r_[np.zeros(5000, dtype), np.ones(1, dtype)],
        rng.integers(0, 2, 1, dtype),
    ):
        histogram = Histogram(np.dtype(dtype))
        for part in np.array_split(samples, 7):
            histogram.add(part[None, ::-1])
        assert histogram.window() == contrast_limits(samples)


def test_what_the_file_says_of_its_channels_is_kept(data: Path, tmp_path: Path) -> None:
    layout = ingest(data / "neubias_xyzc_16bit__dna_conf_wf.tif", tmp_path / "a.zarr")
    first, second = layout.channels
    assert (first.color, second.color) == ("#ff00ff", "#00ff00")
    assert second.window == (624.0, 6281.91015625)
    assert first.window[1] < 65535  # the file's 0..65535 is no choice
    assert layout.pixel_size["z"][1] == "micrometer"


def test_threads_do_not_change_a_byte(data: Path, tmp_path: Path) -> None:
    def objects(threads: int) -> dict[str, bytes]:
        target = tmp_path / f"{threads}.zarr"
        ingest(data / "OS-1-detail.ome.tif", target, chunk=512, threads=threads, name="same")
        return {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()}

    assert objects(1) == objects(2) == objects(5)


def test_progress(data: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    layout = ingest(
        data / "OS-1-detail.ome.tif", tmp_path / "a.zarr", chunk=512, progress=lambda *step: seen.append(step)
    )
    total = sum(int(np.prod(array.shape)) for array in layout.arrays)
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == total
    assert {step[1] for step in seen} == {total}
    stages = list(dict.fromkeys(step[2] for step in seen))
    assert stages == [*(f"array {array.path}" for array in layout.arrays), "metadata"]


def test_overwrite(data: Path, tmp_path: Path) -> None:
    ingest(data / "ct_small.tif", tmp_path / "a.zarr")
    with pytest.raises(FirstlightError, match=r"a\.zarr"):
        ingest(data / "mr_small.tif", tmp_path / "a.zarr")
    assert firstlight.open(tmp_path / "a.zarr").shape == (128, 128)
    ingest(data / "mr_small.tif", tmp_path / "a.zarr", overwrite=True)
    assert firstlight.open(tmp_path / "a.zarr").shape == (64, 64)


class Failing(Source):
    """A grey image of 8 x 8 shards, whose `broken`-th read raises."""

    def __init__(self, broken: int, error: BaseException) -> None:
        self.path, self.name = Path("failing.raw"), "failing"
        self.axes, self.shape, self.dtype = ("y", "x"), (512, 512), np.dtype(np.uint8)
        self.channels, self.pixel_size = (SourceChannel(),), {}
        self.reads, self._broken, self._error, self._lock = 0, broken, error, threading.Lock()

    def read(self, index: Mapping[str, int], region: Region) -> Array:
        with self._lock:
            self.reads += 1
            if self.reads == self._broken:
                raise self._error
        return np.full(region[2:], region[0] // 64 + region[1] // 64, np.uint8)


def test_nothing_is_left_of_a_source_that_fails(tmp_path: Path) -> None:
    source = Failing(5, SourceError("failing.raw: cut off"))
    with pytest.raises(SourceError, match=r"failing\.raw: cut off"):
        ingest(source, tmp_path / "a.zarr", chunk=64, threads=2)
    assert list(tmp_path.iterdir()) == []
    assert source.reads < 16  # of 64: what waits never starts


def test_nothing_is_left_after_ctrl_c(tmp_path: Path) -> None:
    source = Failing(0, SourceError(""))

    def interrupt(done: int, total: int, stage: str) -> None:
        if done > 4000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(source, tmp_path / "a.zarr", chunk=64, threads=2, progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    assert source.reads < 16


def test_what_fails_leaves_the_old_image(data: Path, tmp_path: Path) -> None:
    ingest(data / "ct_small.tif", tmp_path / "a.zarr")
    with pytest.raises(SourceError):
        ingest(Failing(3, SourceError("x")), tmp_path / "a.zarr", chunk=64, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    np.testing.assert_array_equal(firstlight.open(tmp_path / "a.zarr")[...], truth(data / "ct_small.tif"))


def test_bad_arguments(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.tif: no such file"):
        ingest(tmp_path / "none.tif", tmp_path / "a.zarr")
    with pytest.raises(FirstlightError, match="chunk"):
        ingest(data / "ct_small.tif", tmp_path / "a.zarr", chunk=100)
    with pytest.raises(FirstlightError, match="no/such"):
        ingest(data / "ct_small.tif", tmp_path / "no/such/a.zarr")
    (tmp_path / "a.tif").write_bytes((data / "mr_small.tif").read_bytes()[:3000])
    with pytest.raises(SourceError, match=r"a\.tif: "):
        ingest(tmp_path / "a.tif", tmp_path / "a.zarr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (5, 7), (65, 129), (130, 64), (128, 128), (3, 66, 67)])
def test_odd_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    samples = np.random.default_rng(1).integers(0, 65536, shape, np.uint16)
    np.save(tmp_path / "a.npy", samples)
    ingest(tmp_path / "a.npy", tmp_path / "a.zarr", chunk=64)
    image = firstlight.open(tmp_path / "a.zarr")
    np.testing.assert_array_equal(image[...], samples)
    for level, size in enumerate(image.levels):
        assert image.read(level=level).shape == size
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "a.zarr", mode="r")["0"][...], samples)  # type: ignore[index]
