"""The four laws that every segment codec keeps, on generated pictures.

(a) a round trip is exact; (b) every prefix decodes or says InsufficientData; (c) the bound never grows as segments
arrive, and no error ever exceeds it; (d) the native and the wasm kernels give the same samples.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from firstlight import codecs
from firstlight.codecs.shard import CODECS
from support.pictures import DTYPES, KINDS, picture, pictures
from support.wasm import Case, check_in_wasm

# One seed, so that a failure in CI is a failure everywhere; `--hypothesis-seed` explores further.
LAWS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

every_codec = pytest.mark.parametrize("codec", list(CODECS))


def error(a: NDArray[Any], b: NDArray[Any]) -> int:
    return int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max())


# ---- (a) exact ------------------------------------------------------------------------------------------------------


@every_codec
@given(data=st.data())
@LAWS
def test_round_trip_is_exact(codec: str, data: st.DataObject) -> None:
    samples = data.draw(pictures(DTYPES[codec]))
    decoded = codecs.decode(codecs.encode(samples, codec))
    assert decoded.dtype == samples.dtype
    assert np.array_equal(decoded, samples)


@every_codec
@given(data=st.data())
@LAWS
def test_round_trip_of_any_byte_order_and_strides(codec: str, data: st.DataObject) -> None:
    samples = data.draw(pictures(DTYPES[codec], 40))
    swapped = samples.astype(samples.dtype.newbyteorder(data.draw(st.sampled_from("<>"))))
    view = swapped[:: data.draw(st.sampled_from([1, 2, -1])), :: data.draw(st.sampled_from([1, 3, -2]))]
    if view.ndim == 2 and data.draw(st.booleans()):
        view = view.T
    decoded = codecs.decode(codecs.encode(view, codec))
    assert decoded.dtype == samples.dtype
    assert np.array_equal(decoded, view)


@every_codec
@given(data=st.data())
@LAWS
def test_regions_are_parts_of_the_whole(codec: str, data: st.DataObject) -> None:
    samples = data.draw(pictures(DTYPES[codec], 300))
    shard = codecs.encode(samples, codec)
    levels = codecs.Index.parse(shard).levels
    level = data.draw(st.integers(0, len(levels) - 1))
    whole = codecs.decode(shard, level=level)
    assert whole.shape[:2] == (-(-samples.shape[0] >> level), -(-samples.shape[1] >> level))
    y, x = data.draw(st.integers(0, whole.shape[0] - 1)), data.draw(st.integers(0, whole.shape[1] - 1))
    height = data.draw(st.integers(1, whole.shape[0] - y))
    width = data.draw(st.integers(1, whole.shape[1] - x))
    part = codecs.decode(shard, level=level, region=(y, x, height, width))
    assert np.array_equal(part, whole[y : y + height, x : x + width])


# ---- (b) prefixes ---------------------------------------------------------------------------------------------------


def check_prefix(shard: bytes, size: int) -> None:
    """A prefix gives a picture exactly if head and base level are in it."""
    index = codecs.Index.parse(shard)
    base = int(index.offsets[1])
    if size < base:
        with pytest.raises(codecs.InsufficientData):
            codecs.decode(shard[:size], max_error=None)
        return
    assert codecs.decode(shard[:size], max_error=None).shape[:2] == (index.height, index.width)
    coarsest = len(index.levels) - 1
    exact = codecs.decode(shard, level=coarsest)
    assert np.array_equal(codecs.decode(shard[:size], level=coarsest), exact)


@every_codec
@pytest.mark.parametrize("kind", KINDS)
def test_every_prefix(codec: str, kind: str) -> None:
    shard = codecs.encode(picture(kind, (37, 41), DTYPES[codec][0], 5), codec)
    for size in range(len(shard) + 1):
        check_prefix(shard, size)


@every_codec
@given(data=st.data())
@LAWS
def test_prefixes_of_any_picture(codec: str, data: st.DataObject) -> None:
    shard = codecs.encode(data.draw(pictures(DTYPES[codec])), codec)
    for cut in data.draw(st.lists(st.floats(0, 1), min_size=3, max_size=3)):
        check_prefix(shard, round(cut * len(shard)))
    with pytest.raises(codecs.InsufficientData):
        codecs.decode(shard[: codecs.head_size(shard) - 1], max_error=None)


def check_groups(shard: bytes, level: int) -> None:
    """From the head's parts and the segments of the first groups: what these layers of the whole index give."""
    whole = codecs.Index.parse(shard)
    for groups, end in enumerate(whole.parts, 1):
        index = codecs.Index.parse(shard[:end], groups)
        few, chosen = codecs.Decoder(index), codecs.Decoder(whole)
        few.feed(whole.head_size, shard[whole.head_size : index.size])
        layers = [at.layers for at in index.levels]
        chosen.feed(0, shard, codecs.segments_for(whole, 0, whole.region(0), layers))
        found = few.decode(level)
        assert np.array_equal(found, chosen.decode(level))
        exact = codecs.decode(shard, level=level)
        assert error(found, exact) <= chosen.exact_bound(level) <= few.exact_bound(level)
        assert few.bound(level) == codecs.bound(index, level, layers)


@every_codec
@given(data=st.data())
@LAWS
def test_the_first_groups_stand_for_themselves(codec: str, data: st.DataObject) -> None:
    shard = codecs.encode(data.draw(pictures(DTYPES[codec])), codec)
    check_groups(shard, data.draw(st.integers(0, len(codecs.Index.parse(shard).levels) - 1)))


# ---- (c) errors -----------------------------------------------------------------------------------------------------


@every_codec
@given(data=st.data())
@LAWS
def test_bound_never_grows_and_always_holds(codec: str, data: st.DataObject) -> None:
    samples = data.draw(pictures(DTYPES[codec], 200))
    low, high = np.iinfo(samples.dtype).min, np.iinfo(samples.dtype).max
    contrast = data.draw(st.sampled_from([None, (low, high), (low, low + 4 * (high - low) // 100)]))
    shard = codecs.encode(samples, codec, contrast=contrast)
    index = codecs.Index.parse(shard)
    level = data.draw(st.integers(0, len(index.levels) - 1))
    exact = codecs.decode(shard, level=level)
    order = list(range(index.segments))
    if data.draw(st.booleans()):
        order = data.draw(st.permutations(order))
    decoder = codecs.Decoder(index)
    bound = decoder.bound(level)
    looks = set(data.draw(st.lists(st.integers(0, len(order) - 1), min_size=6, max_size=6)))
    for count, segment in enumerate(order):
        decoder.add(segment, shard[index.offsets[segment] : index.offsets[segment + 1]])
        now = decoder.bound(level)
        assert now <= bound
        bound = now
        if count in looks and decoder.has(0):
            assert error(decoder.decode(level), exact) <= decoder.exact_bound(level) <= bound
    assert bound == 0
    assert np.array_equal(decoder.decode(level), exact)


@every_codec
@given(data=st.data())
@LAWS
def test_chosen_layers_keep_the_promise(codec: str, data: st.DataObject) -> None:
    samples = data.draw(pictures(DTYPES[codec], 200))
    shard = codecs.encode(samples, codec)
    index = codecs.Index.parse(shard)
    level = data.draw(st.integers(0, len(index.levels) - 1))
    most = codecs.bound(index, level, [0] * len(index.levels))
    max_error = data.draw(st.integers(0, max(most, 1)))
    area = index.region(level)
    at_least = codecs.choose_layers(index, level, area, max_error, exactly=False)
    assert codecs.bound(index, level, at_least) <= max_error
    layers = codecs.choose_layers(index, level, area, max_error)
    assert codecs.exact_bound(index, level, layers) <= max_error
    decoder = codecs.Decoder(index)
    for segment in codecs.segments_for(index, level, area, layers):
        decoder.add(segment, shard[index.offsets[segment] : index.offsets[segment + 1]])
    assert decoder.exact_bound(level, area) == codecs.exact_bound(index, level, layers)
    assert error(decoder.decode(level), codecs.decode(shard, level=level)) <= max_error


# ---- (d) native and wasm --------------------------------------------------------------------------------------------


@every_codec
@example(seed=0)
@given(seed=st.integers(0, 2**32 - 1))
@settings(LAWS, max_examples=3)
def test_native_and_wasm_agree(codec: str, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = np.random.default_rng(seed)
    cases = []
    for kind in KINDS:
        for dtype in DTYPES[codec]:
            shape = (int(rng.integers(1, 150)), int(rng.integers(1, 150)), *[(), (2,), (3,), (4,)][rng.integers(4)])
            shard = codecs.encode(picture(kind, shape, dtype, seed), codec)
            index = codecs.Index.parse(shard)
            base = int(index.offsets[1])
            for size in (len(shard), int(rng.integers(base, len(shard), endpoint=True))):
                level = int(rng.integers(len(index.levels)))
                prefix = shard[:size]
                cases.append(Case(prefix, level, codecs.decode(prefix, level=level, max_error=None)))
    check_in_wasm(cases, Path(tmp_path_factory.mktemp("wasm")))
