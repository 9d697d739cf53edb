"""What is promised of errors beside what really is: of pictures asked for by `max_error`, and of every layer."""

from collections.abc import Iterator

import numpy as np

from firstlight import codecs
from firstlight.codecs import Decoder, Index, select

from .planes import Plane

PART = 4
"""Errors of more than this part of the samples' range are no precision that anybody asks for."""


def measure(plane: Plane) -> list[dict[str, object]]:
    """A row for each `max_error` of a rising sequence, and one for each number of layers, of all levels alike.

    Rows without an error are left out, as a ratio to it means nothing. Bounds beyond the range of the samples count as
    that range: no error can be larger.
    """
    shard = codecs.encode(plane.samples)
    index = Index.parse(shard)
    exact = plane.samples.astype(np.int32)
    most = (1 << index.bits) - 1
    span = int(exact.max() - exact.min())
    rows: list[dict[str, object]] = []
    for kind, asked, layers in (*_asked(index, most), *_layers(index)):
        segments = select.segments_for(index, 0, index.region(0), layers)
        decoder = Decoder(index, threads=1)
        decoder.feed(0, shard, segments)
        found = int(np.abs(decoder.decode().astype(np.int32) - exact).max())
        bound = min(decoder.exact_bound(0), most)
        if found == 0:
            continue
        rows.append(
            {
                **plane.row(),
                "transform": index.transform,
                "colour": index.colour,
                "of": kind,
                "asked": asked,
                "counts": kind == "max_error" and asked * PART <= span,
                "bytes": sum(map(index.length, segments)),
                "bound": bound,
                "error": found,
                "ratio": bound / found,
            }
        )
    return rows


def _asked(index: Index, most: int) -> Iterator[tuple[str, int, tuple[int, ...]]]:
    error = 1
    while error <= most:
        yield "max_error", error, select.choose_layers(index, 0, index.region(0), error)
        error = max(error + 1, error * 4 // 3)


def _layers(index: Index) -> Iterator[tuple[str, int, tuple[int, ...]]]:
    for layers in range(index.levels[0].layers):
        yield "layers", layers, (*select.uniform(index, 0, layers)[:-1], index.levels[-1].layers)
