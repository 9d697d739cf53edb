"""Levels, arrays and shards under regions."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firstlight import geometry

sides = st.integers(1, 300)


@given(
    size=st.tuples(sides, sides),
    chunk=st.sampled_from([8, 16, 64, 256]),
    level=st.integers(0, 3),
    region=st.tuples(st.integers(-20, 320), st.integers(-20, 320), st.integers(0, 330), st.integers(0, 330)),
)
def test_shards_under_a_region_cover_each_of_its_samples_once(
    size: tuple[int, int], chunk: int, level: int, region: geometry.Region
) -> None:
    height, width = geometry.level_size(*size, level)
    # What every sample of the level says of itself: its shard, and where it lies in that.
    chunks = geometry.chunk_shape(*size, chunk)
    step_y, step_x = geometry.level_size(*chunks, level)
    asked = np.full((region[2], region[3]), -1, np.int64)
    for part in geometry.shards_under(region, level, size, chunks):
        y, x, h, w = part.region
        assert h > 0
        assert w > 0
        rows = (part.row * step_y + y + np.arange(h))[:, None]
        columns = part.column * step_x + x + np.arange(w)
        target = asked[part.y : part.y + h, part.x : part.x + w]
        assert target.shape == (h, w)
        assert (target == -1).all()
        target[:] = rows * 1000 + columns
    inside = np.zeros(asked.shape, bool)
    y0, x0, h, w = geometry.clip_region(region, height, width)
    inside[y0 - region[0] : y0 - region[0] + h, x0 - region[1] : x0 - region[1] + w] = True
    expected = (region[0] + np.arange(region[2]))[:, None] * 1000 + region[1] + np.arange(region[3])
    assert (asked == np.where(inside, expected, -1)).all()


@given(st.tuples(st.integers(1, 200000), st.integers(1, 200000)), st.sampled_from([256, 4096]))
def test_every_level_of_an_image_is_a_level_of_one_array(size: tuple[int, int], chunk: int) -> None:
    arrays = geometry.pyramid(*size, chunk)
    levels = geometry.level_count(*size, len(arrays))
    for level in range(levels):
        array, within = geometry.array_of_level(level, len(arrays))
        assert geometry.level_size(*arrays[array], within) == geometry.level_size(*size, level)
        # Only the last array, which one shard spans, is asked for levels at which shards might not meet.
        assert within < geometry.LEVELS_PER_ARRAY or array == len(arrays) - 1
    assert max(geometry.level_size(*size, levels - 1)) <= geometry.BASE_SIDE
    assert [geometry.chunk_shape(*array, chunk) == array for array in arrays] == [False] * (len(arrays) - 1) + [True]


@given(st.tuples(st.integers(1, 200000), st.integers(1, 200000)), st.sampled_from([8, 256, 4096, 65536]))
@example((2700, 5400), 4096)
@example((256, 65536), 4096)
@example((1, 65537), 65536)
def test_what_fits_into_one_shard_is_one(size: tuple[int, int], chunk: int) -> None:
    sides = geometry.chunk_shape(*size, chunk)
    assert sides[0] * sides[1] <= chunk * chunk
    assert max(sides) <= geometry.MAX_SHARD_SIDE
    if size[0] * size[1] <= chunk * chunk and max(size) <= geometry.MAX_SHARD_SIDE:
        assert sides == size
    else:
        assert sides == (min(size[0], chunk), min(size[1], chunk))
        assert sides != size


@pytest.mark.parametrize("chunk", [0, 7, 12, 65544, -8])
def test_a_chunk_is_a_multiple_of_8(chunk: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 8 from 8 to 65536, not {chunk}"):
        geometry.chunk_shape(10, 10, chunk)


@given(
    region=st.tuples(st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 99), st.integers(1, 99)),
    level=st.integers(0, 5),
    to_level=st.integers(0, 5),
)
def test_a_scaled_region_covers_the_region(region: geometry.Region, level: int, to_level: int) -> None:
    y, x, h, w = geometry.scale_region(region, level, to_level)
    fine, coarse = 2.0**level, 2.0**to_level
    assert y * coarse <= region[0] * fine < (y + 1) * coarse
    assert x * coarse <= region[1] * fine < (x + 1) * coarse
    assert (y + h - 1) * coarse < (region[0] + region[2]) * fine <= (y + h) * coarse
    assert (x + w - 1) * coarse < (region[1] + region[3]) * fine <= (x + w) * coarse


@given(
    size=st.tuples(st.integers(1, 300000), st.integers(1, 300000)),
    zoom=st.floats(1 / 512, 8),
    centre=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_viewport_touches_at_most_nine_shards(
    size: tuple[int, int], zoom: float, centre: tuple[float, float]
) -> None:
    arrays = geometry.pyramid(*size, geometry.DEFAULT_CHUNK)
    level = geometry.level_for_zoom(zoom, geometry.level_count(*size, len(arrays)))
    array, within = geometry.array_of_level(level, len(arrays))
    scale = zoom * 2**level  # screen pixels per sample of the level
    h, w = int(768 / scale) + 1, int(1024 / scale) + 1
    height, width = geometry.level_size(*size, level)
    region = int(centre[0] * height) - h // 2, int(centre[1] * width) - w // 2, h, w
    chunk = geometry.chunk_shape(*arrays[array], geometry.DEFAULT_CHUNK)
    assert len(geometry.shards_under(region, within, arrays[array], chunk)) <= 9
