"""`max_error` is a guarantee, `max_bytes` a limit: on real images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from firstlight import codecs


def load(data: Path, name: str) -> NDArray[Any]:
    if name.endswith(".png"):
        return np.asarray(Image.open(data / name))
    if name.endswith(".npy"):
        return np.asarray(np.load(data / name))
    return np.asarray(tifffile.imread(data / name, key=0))


IMAGES = [
    "kodim23.png",
    "neubias_xy_8bit__em_mitochondria_er.tif",
    "neubias_xyc_16bit__cell_dna_mts_actin.tif",
    "ct_small.tif",
    "m13_hdu0.npy",
]


@pytest.fixture(params=IMAGES)
def case(request: pytest.FixtureRequest, data: Path) -> tuple[NDArray[Any], bytes, codecs.Index]:
    samples = load(data, request.param)
    shard = codecs.encode(samples)
    return samples, shard, codecs.Index.parse(shard)


def errors(found: NDArray[Any], exact: NDArray[Any]) -> NDArray[np.int64]:
    difference: NDArray[np.int64] = np.abs(found.astype(np.int64) - exact)
    return difference


def window(samples: NDArray[Any]) -> int:
    low, high = np.percentile(samples, (0.1, 99.9))
    return max(int(high - low), 8)


Case = tuple[NDArray[Any], bytes, codecs.Index]


@pytest.mark.parametrize("part", [0, 0.01, 0.05, 0.3, 1, 5])
@pytest.mark.parametrize("level", [0, 2])
def test_max_error_is_kept(case: Case, part: float, level: int) -> None:
    samples, shard, index = case
    max_error = int(part * window(samples))
    exact = codecs.decode(shard, level=level)
    area = index.region(level)
    layers = codecs.choose_layers(index, level, area, max_error)
    segments = codecs.segments_for(index, level, area, layers)
    assert segments == sorted(segments)  # as they lie in the shard
    if level == 0 and max_error == 0:
        assert np.array_equal(exact, samples)

    # The very bytes that were chosen, and no others.
    decoder = codecs.Decoder(index)
    for segment in segments:
        decoder.add(segment, shard[index.offsets[segment] : index.offsets[segment + 1]])
    assert decoder.exact_bound(level, area) <= max_error
    assert errors(decoder.decode(level), exact).max() <= max_error
    found = codecs.decode(shard, level=level, max_error=max_error)
    assert np.array_equal(found, decoder.decode(level))


def test_precision_costs_bytes(case: Case) -> None:
    samples, _, index = case
    area = index.region(0)
    sizes = []
    for part in (0, 0.05, 0.3, 1, 5):
        layers = codecs.choose_layers(index, 0, area, int(part * window(samples)))
        sizes.append(sum(map(index.length, codecs.segments_for(index, 0, area, layers))))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] / 3


def test_max_bytes_is_kept_and_more_is_better(case: Case) -> None:
    samples, shard, index = case
    area = index.region(0)
    last = np.inf
    for part in (0.1, 0.2, 0.4, 0.7, 1):
        budget = int(part * len(shard))
        chosen = codecs.within_budget(index, 0, area, budget)
        segments = [segment for segment, _ in chosen]
        assert len(set(segments)) == len(segments)
        deepest = max(index.locate(segment).layer for segment in segments)
        known = max(g for g, start in enumerate(index.groups) if start <= deepest)
        assert index.parts[known] + sum(size for _, size in chosen) <= budget
        for position, segment in enumerate(segments):  # a layer never comes before the one that it refines
            at = index.locate(segment)
            if at.layer:
                before = index.segment(at.level, at.layer - 1, at.tile_y, at.tile_x)
                assert index.length(before) == 0 or before in segments[:position]
        found = codecs.decode(shard, max_bytes=budget)
        mean = float((errors(found, samples) ** 2).mean())
        assert mean <= last * 1.01  # the order of steps steers, not the error itself
        last = mean
    assert last == 0


def test_max_bytes_beats_a_prefix(case: Case) -> None:
    """The same bytes spent under a region give more than the shard's beginning does."""
    samples, shard, index = case
    region = (samples.shape[0] // 3, samples.shape[1] // 3, 64, 64)
    y, x, height, width = region
    exact = samples[y : y + height, x : x + width]
    budget = index.head_size + len(shard) // 6
    chosen = errors(codecs.decode(shard, region=region, max_bytes=budget), exact)
    prefix = errors(codecs.decode(shard[:budget], region=region, max_error=None), exact)
    assert (chosen**2).mean() < (prefix**2).mean()


def test_max_bytes_stops_at_max_error(case: Case) -> None:
    samples, _, index = case
    area = index.region(0)
    max_error = window(samples)
    chosen = codecs.within_budget(index, 0, area, index.size, max_error)
    assert sum(size for _, size in chosen) < 0.8 * index.size
    decoder = codecs.Decoder(index)
    assert len(codecs.within_budget(index, 0, area, index.size)) == sum(
        not decoder.has(s) for s in range(index.segments)
    )


def test_the_mean_error_is_estimated(case: Case) -> None:
    """What the head says about any number of steps, against the picture that they give."""
    samples, shard, index = case
    area = index.region(0)
    for part in (0.5, 0.1, 0.03, 0.01):
        limit = (part * window(samples)) ** 2
        layers = codecs.choose_for_mse(index, 0, limit)
        expected = codecs.mse(index, 0, layers)
        assert expected <= limit
        decoder = codecs.Decoder(index)
        decoder.feed(0, shard, codecs.segments_for(index, 0, area, layers))
        # Tiles whose next layers are empty have these too.
        assert 0.6 * expected <= decoder.mse(0) <= expected * 1.0001
        # It is one of where there is content: in a picture that is half empty the mean is half of it.
        found = float((errors(decoder.decode(), samples) ** 2).mean())
        assert expected / 3 - 0.5 <= found <= expected * 1.4 + 0.5


def test_too_little_is_said(case: Case) -> None:
    samples, shard, index = case
    with pytest.raises(codecs.InsufficientData, match="base level does not fit"):
        codecs.decode(shard, max_bytes=index.parts[0] + index.length(0) - 1)
    with pytest.raises(codecs.InsufficientData, match=rf"max_error 0: the {len(shard) - 1} bytes that are there"):
        codecs.decode(shard[:-1])
    # A region that the missing byte has nothing to do with is exact all the same.
    if index.levels[0].tiles > 1:
        assert np.array_equal(codecs.decode(shard[:-1], region=(0, 0, 9, 8)), samples[:9, :8])
    assert codecs.decode(shard[:-1], level=1).shape[0] == -(-samples.shape[0] // 2)


def test_a_prefix_that_does_is_enough(case: Case) -> None:
    """The cheapest choice may be missing while what is there keeps the promise too."""
    _, shard, index = case
    half = shard[: len(shard) // 2]
    decoder = codecs.Decoder(index)
    decoder.feed(0, half)
    bound = decoder.bound(0)
    found = codecs.decode(half, max_error=bound)
    assert errors(found, codecs.decode(shard)).max() <= bound
    with pytest.raises(codecs.InsufficientData):
        codecs.decode(half, max_error=0)


def test_wrong_arguments_are_named(case: Case) -> None:
    _, shard, index = case
    for options, words in [
        ({"level": 99}, "level 99"),
        ({"level": -1}, "level -1"),
        ({"region": (0, 0, 0, 5)}, "region"),
        ({"region": (0, 0, 5, 99999)}, "99999"),
        ({"max_error": -1}, "max_error -1"),
        ({"max_bytes": -1}, "max_bytes -1"),
    ]:
        with pytest.raises(codecs.InvalidArgument, match=words):
            codecs.decode(shard, **options)
    decoder = codecs.Decoder(index)
    with pytest.raises(codecs.InvalidArgument, match=r"segment 0 \(level \d, layer 0.*bytes announced, 1 given"):
        decoder.add(0, b"x")
    with pytest.raises(codecs.InvalidArgument, match="the shard has"):
        decoder.add(index.segments, b"")
    with pytest.raises(codecs.InsufficientData, match="base level"):
        decoder.decode()


@pytest.mark.parametrize("dtype", ["bool", "float32", "uint32", "complex128"])
def test_unsupported_dtypes_are_named(dtype: str) -> None:
    with pytest.raises(codecs.InvalidArgument, match=f"dtype {dtype}"):
        codecs.encode(np.zeros((4, 4), dtype))


@pytest.mark.parametrize("shape", [(4,), (0, 4), (4, 4, 1), (4, 4, 5), (2, 2, 2, 3)])
def test_unsupported_shapes_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(codecs.InvalidArgument, match="samples of shape"):
        codecs.encode(np.zeros(shape, np.uint8))


def test_unknown_options_are_named() -> None:
    with pytest.raises(codecs.InvalidArgument, match="codec 'nope'"):
        codecs.encode(np.zeros((4, 4), np.uint8), "nope")
    with pytest.raises(codecs.InvalidArgument, match="colour 'red'"):
        codecs.encode(np.zeros((4, 4), np.uint8), colour="red")


def test_ranges_merge() -> None:
    ranges = [(50, 10), (0, 10), (12, 3), (60, 5), (14, 20), (100, 0)]
    assert codecs.merge_ranges(ranges, 0) == [(0, 10), (12, 22), (50, 15)]
    assert codecs.merge_ranges(ranges, 2) == [(0, 34), (50, 15)]
    assert codecs.merge_ranges(ranges, 16) == [(0, 65)]


def test_decoder_writes_where_it_is_told(case: Case) -> None:
    samples, shard, index = case
    decoder = codecs.Decoder(index, cache_bytes=1 << 16)
    decoder.feed(0, shard)
    y, x, height, width = 10, 20, 70, 60
    exact = samples[y : y + height, x : x + width]
    frame = np.full((height + 4, 3, width + 6), 77, index.dtype)  # strides of an image with channels inside
    rest = frame.copy()
    if samples.ndim == 3:
        out = frame.transpose(0, 2, 1)[2 : 2 + height, 3 : 3 + width]
    else:
        out = frame[2 : 2 + height, 1, 3 : 3 + width]
    assert decoder.decode(0, (y, x, height, width), out=out) is out
    assert np.array_equal(out, exact)
    out[...] = 77
    assert np.array_equal(frame, rest)
    with pytest.raises(codecs.InvalidArgument, match="out: "):
        decoder.decode(0, (y, x, height, width), out=out[:-1])


def test_index_locates_every_segment(case: Case) -> None:
    _, _, index = case
    for segment in range(index.segments):
        assert index.segment(*index.locate(segment)) == segment
    assert list(index.within(0, index.size)) == list(range(index.segments))
    assert list(index.within(index.head_size, index.length(0))) == list(index.within(0, int(index.offsets[1])))
