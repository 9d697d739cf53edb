"""What the table of errors promises beside what really is: one row for every number of layers of a plane."""

import numpy as np

from firstlight import codecs
from firstlight.codecs import Decoder, Index, select

from .planes import Plane, Samples

ROUNDING = 4
"""Sample steps: of bounds below, most is for rounding, which a bound must count and an error seldom has."""


def measure(plane: Plane) -> list[dict[str, object]]:
    """Every level cut alike; rows without an error are left out, as a ratio to it means nothing.

    Bounds beyond the range of the samples count as that range: no error can be larger.
    """
    shard = codecs.encode(plane.samples)
    index = Index.parse(shard)
    exact = plane.samples.astype(np.int32)
    step = _step(index)
    rows: list[dict[str, object]] = []
    for layers in range(index.levels[0].layers):
        kept = [min(layers, at.layers) for at in index.levels[:-1]] + [index.levels[-1].layers]
        bound = min(select.bound(index, 0, kept), (1 << index.bits) - 1)
        found = int(np.abs(_cut(shard, index, kept) - exact).max())
        if found == 0:
            continue
        rows.append(
            {
                **plane.row(),
                "transform": index.transform,
                "colour": index.colour,
                "layers": layers,
                "bound": bound,
                "error": found,
                "ratio": bound / found,
                "rounding": bound < ROUNDING * step,
            }
        )
    return rows


def _step(index: Index) -> int:
    """Between neighbours in the value table, on average; 1 without one."""
    values = np.frombuffer(index.values, np.uint16)
    if len(values) < 2:
        return 1
    span = (int(values[-1]) - int(values[0])) % 65536  # signed ones wrap
    return max(span // (len(values) - 1), 1)


def _cut(shard: bytes, index: Index, layers: list[int]) -> Samples:
    decoder = Decoder(index, threads=1)
    decoder.feed(0, shard, select.segments_for(index, 0, index.region(0), layers))
    return decoder.decode()
