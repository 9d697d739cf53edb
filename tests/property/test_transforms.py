"""All transforms against the formulas of SPEC 3.3 and 3.4, written down in numpy; and what is promised of them:
regions need no tile beyond the margin, and no error exceeds the bound.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from firstlight import codecs
from firstlight.codecs import _native
from firstlight.codecs.index import COLOUR_NAMES, TRANSFORM_NAMES
from firstlight.codecs.select import uniform
from firstlight.codecs.shard import encode_planes
from support.pictures import DTYPES, KINDS, picture, pictures

LAWS = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
TRANSFORMS = list(TRANSFORM_NAMES.values())
COLOURS = list(COLOUR_NAMES.values())

every_transform = pytest.mark.parametrize("transform", TRANSFORMS)
Ints = NDArray[np.int64]


# ---- the formulas ---------------------------------------------------------------------------------------------------


def mirrored(x: Ints, k: NDArray[Any]) -> Ints:
    """x[k] along the first axis, with whole-sample symmetric extension."""
    n = len(x)
    period = max(2 * (n - 1), 1)
    k = np.abs(k) % period
    return x[np.where(k >= n, period - k, k)]


def split(x: Ints, transform: str) -> tuple[Ints, Ints]:
    n = len(x)
    if n == 1:
        return x, x[:0]
    odd = np.arange(1, n, 2)
    if transform == "s-haar":
        a, b = x[odd - 1], x[odd]
        return np.concatenate([b + ((a - b) >> 1), x[n - n % 2 :]]), a - b
    near = mirrored(x, odd - 1) + mirrored(x, odd + 1)
    if transform == "5/3":
        high = x[odd] - (near >> 1)
    else:
        high = x[odd] - ((9 * near - mirrored(x, odd - 3) - mirrored(x, odd + 3) + 8) >> 4)
    details = np.zeros_like(x)
    details[odd] = high
    even = np.arange(0, n, 2)
    return x[even] + ((mirrored(details, even - 1) + mirrored(details, even + 1) + 2) >> 2), high


def forward(x: Ints, transform: str, levels: int) -> Ints:
    """In Mallat order, as the kernels have it."""
    out = x.copy()
    height, width = x.shape
    for _ in range(levels):
        part = np.concatenate(split(out[:height, :width], transform))
        out[:height, :width] = np.concatenate(split(np.ascontiguousarray(part.T), transform)).T
        height, width = -(-height // 2), -(-width // 2)
    return out


def coloured(rgb: Ints, colour: str) -> Ints:
    if colour == "none":
        return rgb
    r, g, b = rgb[:3]
    if colour == "rct":
        return np.stack([(r + 2 * g + b) >> 2, b - g, r - g, *rgb[3:]])
    co = r - b
    t = b + (co >> 1)
    cg = g - t
    return np.stack([t + (cg >> 1), co, cg, *rgb[3:]])


@every_transform
@given(data=st.data())
@LAWS
def test_forward_is_as_specified(transform: str, data: st.DataObject) -> None:
    components = data.draw(st.integers(1, 4))
    colour = data.draw(st.sampled_from(COLOURS if components > 2 else COLOURS[:1]))
    shape = (data.draw(st.integers(1, 80)), data.draw(st.integers(1, 80)), components)
    samples = np.moveaxis(picture(data.draw(st.sampled_from(KINDS)), (*shape[:2],), "int16", 3)[..., None], 2, 0)
    samples = np.concatenate([np.roll(samples, 3 * c, axis=2) // (c + 1) for c in range(components)])
    codes = COLOURS.index(colour), TRANSFORMS.index(transform)
    info = _native.plan_head(shape[1], shape[0], components, 16, True, *codes, 0)
    planes = np.empty(samples.shape, np.int32)
    _native.forward(info, np.ascontiguousarray(samples), (shape[0] * shape[1], shape[1], 1), planes)
    levels = int(np.frombuffer(info, np.uint32)[9])
    for plane, x in zip(planes, coloured(samples.astype(np.int64), colour), strict=True):
        assert np.array_equal(plane, forward(x, transform, levels))


@every_transform
@pytest.mark.parametrize("colour", COLOURS)
@given(data=st.data())
@settings(LAWS, max_examples=20)
def test_inverse_gives_all_samples_back(transform: str, colour: str, data: st.DataObject) -> None:
    components = data.draw(st.integers(3 if colour != "none" else 1, 4))
    side = st.integers(1, 100)
    shape = data.draw(side), data.draw(side)
    planes = [
        picture(data.draw(st.sampled_from(KINDS)), shape, "uint16", seed) >> data.draw(st.sampled_from([0, 4, 8]))
        for seed in range(components)
    ]
    shard = encode_planes(np.stack(planes), colour=colour, transform=transform)
    index = codecs.Index.parse(shard)
    assert (index.transform, index.colour, index.components) == (transform, colour, components)
    decoded = codecs.decode(shard)
    assert np.array_equal(decoded, planes[0] if components == 1 else np.stack(planes, axis=2))


@every_transform
def test_smallest_sizes(transform: str) -> None:
    rng = np.random.default_rng(8)
    for height in (1, 2, 3, 4, 5, 33, 34, 35):
        for width in (1, 2, 3, 4, 5, 33, 34, 35, 66):
            samples = rng.integers(0, 65536, (height, width), np.uint16)
            assert np.array_equal(codecs.decode(codecs.encode(samples, transform=transform)), samples)


@every_transform
def test_16_and_32_bit_arithmetic_meet_in_one_picture(transform: str) -> None:
    """A calm upper part, that 16 bits hold, above one that they do not: the rows come from both."""
    rng = np.random.default_rng(9)
    samples = rng.integers(0, 400, (300, 200)).astype(np.uint16)
    samples[170:, 50:] = rng.integers(0, 65536, (130, 150))
    shard = codecs.encode(samples, transform=transform)
    assert np.array_equal(codecs.decode(shard), samples)
    for top in (0, 100, 165, 169, 175):
        part = codecs.decode(shard, region=(top, 40, 60, 33))
        assert np.array_equal(part, samples[top : top + 60, 40:73])


# ---- regions and their margins --------------------------------------------------------------------------------------


@every_transform
@given(data=st.data())
@LAWS
def test_planned_tiles_are_enough(transform: str, data: st.DataObject) -> None:
    """A region from only the tiles that the plan names is the crop of the whole; edges near tiles' edges are hard."""
    side = st.integers(40, 420)
    samples = picture("noise", (data.draw(side), data.draw(side)), "uint8", data.draw(st.integers(0, 99)))
    shard = codecs.encode(samples, transform=transform)
    index = codecs.Index.parse(shard)
    level = data.draw(st.integers(0, len(index.levels) - 1))
    whole = codecs.decode(shard, level=level)

    def edges(n: int) -> tuple[int, int]:
        places = st.builds(lambda i, off: min(max(32 * i + off, 0), n), st.integers(0, n // 32), st.integers(-9, 9))
        a, b = sorted([data.draw(places), data.draw(places)])
        return (a, b) if a < b else (a - (a == n), a + 1 - (a == n))

    (y, bottom), (x, right) = edges(whole.shape[0]), edges(whole.shape[1])
    area = y, x, bottom - y, right - x
    decoder = codecs.Decoder(index)
    for segment in codecs.segments_for(index, level, area, [at.layers for at in index.levels]):
        decoder.add(segment, shard[index.offsets[segment] : index.offsets[segment + 1]])
    assert np.array_equal(decoder.decode(level, area), whole[y:bottom, x:right])


# ---- error bounds ---------------------------------------------------------------------------------------------------


@every_transform
@pytest.mark.parametrize("colour", COLOURS)
@given(data=st.data())
@LAWS
def test_no_error_exceeds_the_bound(transform: str, colour: str, data: st.DataObject) -> None:
    """Whatever layers each tile has: all levels and any mixture."""
    samples = data.draw(pictures(DTYPES["wavelet"], 200))
    if samples.ndim == 2 or samples.shape[2] < 3:  # colour needs three components
        plane = samples if samples.ndim == 2 else samples[..., 0]
        samples = np.stack([plane, np.roll(plane, 7, axis=1), plane.T.reshape(plane.shape)], axis=2)
    low, high = int(samples.min()), int(samples.max())
    contrast = (low, low + data.draw(st.sampled_from([4, 60, max(high - low, 1)])))
    shard = codecs.encode(samples, transform=transform, colour=colour, contrast=contrast)
    index = codecs.Index.parse(shard)
    levels = len(index.levels)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    decoder = codecs.Decoder(index)
    least = [data.draw(st.integers(0, at.layers)) for at in index.levels]
    for segment in range(index.segments):
        place = index.locate(segment)
        if place.level == levels - 1 or place.layer < least[place.level] or rng.random() < 0.2:
            decoder.add(segment, shard[index.offsets[segment] : index.offsets[segment + 1]])
    for level in range(levels):
        exact = codecs.decode(shard, level=level)
        off = np.abs(decoder.decode(level).astype(np.int64) - exact)
        assert off.max() <= decoder.exact_bound(level) <= decoder.bound(level)


@every_transform
@given(data=st.data())
@LAWS
def test_measured_errors_are_those_that_occur(transform: str, data: st.DataObject) -> None:
    """Of the finest levels with the first layers of every level: rounded up in the head, and no more than that."""
    samples = data.draw(pictures(DTYPES["wavelet"], 300))
    low, high = int(samples.min()), int(samples.max())
    contrast = (low, low + data.draw(st.sampled_from([4, 60, max(high - low, 1)])))
    shard = codecs.encode(samples, transform=transform, contrast=contrast)
    index = codecs.Index.parse(shard)
    for level, at in enumerate(index.levels):
        exact = codecs.decode(shard, level=level).astype(np.int64)
        for n, measured in at.measured.items():
            decoder = codecs.Decoder(index)
            decoder.feed(0, shard, codecs.segments_for(index, level, index.region(level), uniform(index, level, n)))
            off = int(np.abs(decoder.decode(level) - exact).max())
            assert off <= decoder.exact_bound(level) <= measured
            assert measured <= max(off * 9 // 8, off) or index.values
