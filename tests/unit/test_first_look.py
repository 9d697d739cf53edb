"""What an encoder asks of samples first: which values they have, percentiles, how large details are."""

import numpy as np
import pytest

from firstlight.codecs import _native
from firstlight.codecs.choose import _entropies
from firstlight.codecs.strided import Strided
from firstlight.codecs.wavelet import _contrast
from support.pictures import DTYPES, picture


@pytest.mark.parametrize("dtype", DTYPES["wavelet"])
@pytest.mark.parametrize("kind", ["smooth", "noise", "constant"])
def test_values(dtype: str, kind: str) -> None:
    samples = np.moveaxis(picture(kind, (37, 61, 3), dtype, 7), 2, 0)[:, 3:, ::2]
    given, low, high = Strided.of(samples), int(samples.min()), int(samples.max())
    values, counts = np.unique(samples, return_counts=True)
    counted = np.zeros(high - low + 1, np.uint32)
    _native.count_values(*given.native, low, counted)
    assert np.array_equal(np.flatnonzero(counted) + low, values)
    assert np.array_equal(counted[counted > 0], counts)
    seen = np.zeros(high - low + 1, bool)
    assert _native.mark_values(*given.native, low, seen, len(seen)) == len(values)
    assert np.array_equal(seen, counted > 0)
    places, found = np.arange(len(counted), dtype=np.uint16), np.empty(samples.shape, f"u{samples.itemsize}")
    _native.place_values(*given.native, low, places, found)
    assert np.array_equal(found, (samples.astype(np.int64) - low).astype(found.dtype))


def test_values_outside_are_passed_over() -> None:
    given = Strided.of(np.arange(16, dtype=np.int16).reshape(1, 4, 4) - 8)
    counted = np.zeros(3, np.uint32)
    _native.count_values(*given.native, -1, counted)
    assert counted.tolist() == [1, 1, 1]
    places = np.empty((1, 4, 4), np.uint16)
    _native.place_values(*given.native, -1, np.array([5, 6, 7], np.uint16), places)
    assert places.ravel().tolist() == [0] * 7 + [5, 6, 7] + [0] * 6
    with pytest.raises(ValueError, match="needed"):
        _native.count_values(given.flat, 2, True, (1, 5, 4), given.strides, -1, counted)
    with pytest.raises(ValueError, match="needed"):
        _native.place_values(*given.native, -1, np.array([5], np.uint16), places[:, 1:])


@pytest.mark.parametrize("dtype", DTYPES["wavelet"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (40, 50), (300, 400)])
@pytest.mark.parametrize("kind", ["smooth", "noise", "constant"])
def test_contrast_is_between_percentiles(dtype: str, shape: tuple[int, int], kind: str) -> None:
    samples = picture(kind, shape, dtype, 5)[None]
    every = max(1, int((samples.size / 65536) ** 0.5))
    # As int32: numpy's interpolation between int16 overflows.
    expected = np.percentile(samples[:, ::every, ::every].astype(np.int32), (0.1, 99.9))
    (low, high), has_fill = _contrast(Strided.of(samples), (int(samples.min()), int(samples.max())))
    if not has_fill:
        assert (low, high) == tuple(expected)


def test_contrast_leaves_out_a_fill_value() -> None:
    samples = picture("noise", (90, 90), "uint8", 2).astype(np.int16)
    samples[:30] = -32768
    (low, high), has_fill = _contrast(Strided.of(samples[None]), (-32768, int(samples.max())))
    assert has_fill
    assert (low, high) == tuple(np.percentile(samples[30:].astype(np.int32), (0.1, 99.9)))


def test_details_are_counted_by_cells() -> None:
    """Cells of 3 x 3 of each band of two levels, against numpy on the planes."""
    samples = picture("noise", (2, 47, 58), "uint16", 3)
    info = _native.plan_head(58, 47, 2, 16, False, 0, 0, 0)
    given = Strided.of(samples)
    planes = np.empty(samples.shape, np.int32)
    _native.forward(info, given.flat, given.strides, planes)
    counts = np.frombuffer(_native.details(info, given.flat, given.strides, np.zeros(1, np.uint64)), np.uint32)
    expected = np.zeros_like(counts)
    height, width = 47, 58
    for _ in range(2):
        low_y, low_x = -(-height // 2), -(-width // 2)
        for band in (
            planes[:, :low_y, low_x:width],
            planes[:, low_y:height, :low_x],
            planes[:, low_y:height, low_x:width],
        ):
            for y in range(0, band.shape[1] - 2, 3):
                for x in range(0, band.shape[2] - 2, 3):
                    for total in np.abs(band[:, y : y + 3, x : x + 3]).sum(axis=(1, 2)).tolist():
                        shift = max(total.bit_length() - 8, 0)
                        expected[128 * shift + (total >> shift)] += 1
        height, width = low_y, low_x
    assert np.array_equal(counts, expected)
    with pytest.raises(ValueError, match="outside"):
        _native.details(info, given.flat, given.strides, np.ones(1, np.uint64))


def test_entropies_grow_with_sums() -> None:
    entropies = _entropies()
    assert entropies[0] < 1e-6
    assert (np.diff(entropies) > 0).all()
    # A cell of magnitudes of 1: (2 log2 2 + 1/2) a coefficient.
    assert entropies[9] == pytest.approx(9 * 2.5)
