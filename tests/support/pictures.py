"""Generated pictures for the codec's properties: every kind of content that a coder may stumble over, any size."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

KINDS = ("constant", "extremes", "noise", "ramp", "smooth", "sparse", "steps")
# dtypes that each segment codec takes
DTYPES = {"wavelet": ("uint8", "int8", "uint16", "int16")}


def picture(kind: str, shape: tuple[int, ...], dtype: str, seed: int) -> NDArray[Any]:
    """A picture of one kind, (height, width) or (height, width, 2 .. 4), over the dtype's full range."""
    rng = np.random.default_rng(seed)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if kind == "constant":
        return np.full(shape, rng.integers(low, high, endpoint=True), dtype)
    if kind == "extremes":
        return rng.choice([low, high], shape).astype(dtype)
    if kind == "noise":
        return rng.integers(low, high, shape, dtype, endpoint=True)
    if kind == "sparse":
        return np.where(rng.random(shape) < 0.02, rng.integers(low, high, shape, endpoint=True), 0).astype(dtype)
    y, x = np.mgrid[: shape[0], : shape[1]] / max(*shape[:2], 2)
    plane = {"ramp": y + 2 * x, "smooth": np.sin(9 * y) * np.cos(7 * x), "steps": np.floor(4 * y) + np.floor(5 * x)}
    values = plane[kind][..., None] if len(shape) == 3 else plane[kind]
    if len(shape) == 3:
        values = values * [0.9, 1.0, 0.5, 0.7][: shape[2]] + [0.1, 0.0, 0.3, 0.2][: shape[2]]
    values = values + rng.normal(0, 0.01, shape) * (kind == "smooth")
    span = np.ptp(values) or 1
    scaled: NDArray[Any] = low + np.round((values - values.min()) / span * (high - low))
    return scaled.astype(dtype)


@st.composite
def pictures(draw: st.DrawFn, dtypes: tuple[str, ...], longest: int = 90) -> NDArray[Any]:
    side = st.integers(1, longest)
    shape = (draw(side), draw(side), *draw(st.sampled_from([(), (3,), (3,), (2,), (4,)])))
    return picture(draw(st.sampled_from(KINDS)), shape, draw(st.sampled_from(dtypes)), draw(st.integers(0, 2**32 - 1)))
