"""The decoder of support/reference.py, which is written from SPEC.md alone, finds what the kernels find."""

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from firstlight import codecs
from firstlight.codecs import _native
from support.pictures import picture
from support.reference import Corrupt, Decoder, Head, Insufficient

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
VECTORS = ROOT / "codecs" / "vectors" / f"v{codecs.index.FORMAT_VERSION}"

Samples = NDArray[Any]
ADAPTIVE = {f"adaptive {part}" for part in ("first", "second", "whole")}
WHOLE = ADAPTIVE | {"static whole"}
SPLITS = WHOLE | {"static first", "static second"}


def photo(height: int, width: int) -> Samples:
    return np.asarray(Image.open(DATA / "kodim23.png"))[100 : 100 + height, 180 : 180 + width]


def tif(name: str, *part: Any) -> Samples:
    found: Samples = tifffile.imread(DATA / name)[part]
    return found


def wide(dtype: str) -> Samples:
    """Wider than 1024: tiles of several sizes."""
    height = 300 if dtype == "uint8" else 70
    found = picture("steps", (height, 1100), dtype, 5)
    found[40:200, 180:330] = picture("smooth", (160, 150), dtype, 6)[: height - 40]
    return found


# Name: what is encoded, how, and what of the format there must be in it.
PICTURES: dict[str, tuple[Samples, dict[str, Any], set[str]]] = {
    "gray photo": (
        tif("neubias_xy_8bit__em_mitochondria_er.tif", slice(150), slice(200)),
        {},
        {
            *WHOLE,
            "zeros replaced",
            "explicit table",
            "raw bits",
            "raw signs",
            "layer ends in a split plane",
            "4 groups",
        },
    ),
    "colour photo": (
        photo(150, 200),
        {},
        {*SPLITS, "zeros replaced", "beginning, adaptive", "beginning, static", "64 lanes"},
    ),
    "int16": (tif("ct_small.tif"), {}, ADAPTIVE),
    "rgb16": (
        tif("neubias_xyc_16bit__hela-cells.tif", slice(200, 260), slice(300, 370)),
        {},
        {*ADAPTIVE, "5 groups"},
    ),
    "int8, two components": (picture("smooth", (61, 90, 2), "int8", 2), {}, ADAPTIVE),
    "four components": (np.dstack([photo(50, 70), photo(50, 70)[::-1, :, 0]]), {}, {*ADAPTIVE, "3 groups"}),
    "tiles, uint8": (wide("uint8"), {}, {*SPLITS, "0 lanes", "8 lanes", "16 lanes", "32 lanes"}),
    "tiles, int16": (wide("int16"), {}, WHOLE),
    "noise": (picture("noise", (140, 150), "uint8", 3), {}, {*SPLITS, "raw bits", "raw signs"}),
    "16-bit noise": (picture("noise", (40, 33, 3), "uint16", 4), {}, ADAPTIVE),
    "sparse": (picture("sparse", (70, 200), "uint8", 3), {}, ADAPTIVE),
    "constant": (picture("constant", (70, 50), "int16", 3), {}, {"1 groups"}),
    "value table": (photo(60, 70)[..., 1] // 8 * 8 + 5, {}, {"value table", *ADAPTIVE}),
    "value table, signed": (
        (picture("smooth", (70, 90), "int8", 1).astype(np.int16) // 2 - 40) * 16,
        {},
        {"value table", *ADAPTIVE},
    ),
    **{
        f"{height} x {width}": (picture("noise", (height, width), dtype, 1), {}, set())
        for height, width, dtype in (
            (1, 1, "int8"),
            (3, 5, "uint8"),
            (1, 19, "int16"),
            (9, 1, "uint8"),
            (4, 4, "uint16"),
        )
    },
    "tiny colour": (picture("extremes", (2, 3, 3), "uint16", 1), {}, set()),
    "small": (photo(20, 24)[..., 0], {}, ADAPTIVE),
    **{
        f"{transform}, {colour}": (photo(40, 50), {"transform": transform, "colour": colour}, ADAPTIVE)
        for transform in ("5/3", "9/7-m", "s-haar")
        for colour in ("none", "rct", "ycocg-r")
    },
}


def decode_natively(
    shard: bytes, index: codecs.Index, level: int, tile: int, layers: int, beginning: int = 0
) -> NDArray[np.int64]:
    """Coefficients of all components."""
    segments = len(index.offsets) - 1
    found = _native.decode_tiles(
        index.raw,
        np.array([[level, tile, layers, beginning]], np.uint32),
        np.asarray(index.offsets, np.uint32),
        np.zeros(segments, np.int32),
        np.asarray(index.offsets[:-1], np.uint32),
        [memoryview(shard)],
    )[0]
    assert found is not None
    return np.asarray(memoryview(found)).view(np.int32 if found.wide else np.int16).astype(np.int64)


def check_head(head: Head, index: codecs.Index) -> None:
    assert (head.size, head.width, head.height) == (index.head_size, index.width, index.height)
    assert (head.components, head.bits, head.margin) == (index.components, index.bits, index.margin)
    assert (*head.firsts,) == index.groups
    assert (*head.parts[: head.known],) == index.parts
    assert head.values == (np.frombuffer(index.values, np.uint16).astype(index.dtype).tolist() or None)
    for ours, theirs in zip(head.levels, index.levels, strict=True):
        assert (ours.width, ours.height, 1 << ours.tile_log2) == (theirs.width, theirs.height, theirs.tile)
        assert (ours.tiles_x, ours.tiles_y, ours.layers) == (theirs.tiles_x, theirs.tiles_y, theirs.layers)
        assert ((*ours.errors,), (*ours.mse,)) == (theirs.errors, theirs.mse)
        assert ours.measured == theirs.measured
    for number, (level, y, x, layer) in enumerate(head.segments):
        assert index.segment(level, layer, y, x) == number
        at = head.levels[level]
        ends = at.offsets[y, x, layer], at.offsets[y, x, layer] + at.lengths[y, x, layer]
        assert ends == (index.offsets[number], index.offsets[number + 1])
    assert (len(head.segments), head.end) == (index.segments, index.size)


def check_tiles(decoder: Decoder, shard: bytes, index: codecs.Index) -> None:
    """After every layer, and with beginnings of the largest segment and of the first one."""
    for level, at in enumerate(index.levels):
        for tile, (y, x) in enumerate(decoder.head.levels[level].tiles):
            cuts = {(layers, 0) for layers in range(at.layers + 1)}
            sizes = [decoder.head.levels[level].lengths[y, x, layer] for layer in range(at.layers)]
            if level < len(index.levels) - 1 and any(sizes):
                first, largest = next(n for n, size in enumerate(sizes) if size), sizes.index(max(sizes))
                payload = max(sizes) - (1 if max(sizes) < 64 else 2)
                cuts |= {(largest, n) for n in (1, payload // 3, payload * 3 // 4, payload) if n}
                cuts.add((first, sizes[first] // 2))
            for layers, more in sorted(cuts):
                found = decoder.with_beginning(level, y, x, layers, more) if more else decoder.tile(level, y, x, layers)
                coefs = np.concatenate([band.ravel() for bands in found.bands() for band in bands])
                assert np.array_equal(coefs, decode_natively(shard, index, level, tile, layers, more)), (
                    level,
                    y,
                    x,
                    layers,
                    more,
                )


@pytest.mark.parametrize("name", PICTURES)
def test_reference_decodes_the_same(name: str) -> None:
    samples, options, features = PICTURES[name]
    shard = codecs.encode(samples, threads=1, **options)
    index = codecs.Index.parse(shard)
    decoder = Decoder(shard)
    check_head(decoder.head, index)
    check_tiles(decoder, shard, index)

    found = decoder.picture()
    assert found.dtype == samples.dtype
    assert np.array_equal(found, samples)
    for level in range(1, len(index.levels)):
        assert np.array_equal(decoder.picture(level), codecs.decode(shard, level=level))

    # Bytes from the start on: between and within parts of the head, and segments.
    for part in index.parts:
        with pytest.raises(Insufficient):
            Head(shard[: part - 1], len(index.groups))
    base = int(index.offsets[1])
    with pytest.raises(Insufficient):
        decoder.picture(0, base - 1)
    starts = [int(index.offsets[first]) for first in index.levels[-1].first_segments]
    rest = len(shard) - base
    for size in sorted({base, *starts[1:], base + rest // 7, base + rest // 3, base + rest * 3 // 4, len(shard) - 1}):
        if not base <= size < len(shard):
            continue
        native = codecs.Decoder(index)
        native.feed(0, shard[:size])
        for level in {0, min(2, len(index.levels) - 1)}:
            at = index.levels[level]
            assert np.array_equal(decoder.picture(level, size), native.decode(level)), (size, level)
            assert decoder.bound(level, (0, 0, at.height, at.width), size) == native.exact_bound(level)
        cut = index.within(0, size).stop
        native.add_prefix(cut, shard[int(index.offsets[cut]) : size])
        assert np.array_equal(decoder.picture(0, size, beginnings=True), native.decode()), size

    # Parts of the head that tell of the first groups.
    for groups, part in enumerate(index.parts[:-1], 1):
        some = codecs.Index.parse(shard[:part], groups)
        partial = Decoder(shard, Head(shard[:part], groups))
        check_head(partial.head, some)
        native = codecs.Decoder(some)
        native.feed(0, shard[: some.size])
        assert np.array_equal(partial.picture(), native.decode())
    assert features <= decoder.met, features - decoder.met


def test_every_frozen_vector() -> None:
    cases = json.loads((VECTORS / "cases.json").read_text())
    shards = {path.name: Decoder(path.read_bytes()) for path in VECTORS.glob("*.fls")}
    assert {case["shard"] for case in cases} == set(shards)
    whole = functools.lru_cache(maxsize=1)(lambda decoder, level, size: decoder.picture(level, size))
    for case in cases:
        decoder, level, size = shards[case["shard"]], case["level"], case["bytes"]
        if "sha256" not in case:
            with pytest.raises(Insufficient):
                decoder.picture(level, size)
            continue
        found = whole(decoder, level, size)
        y, x, height, width = region = case["region"] or (0, 0, *found.shape[:2])
        found = np.ascontiguousarray(found[y : y + height, x : x + width])
        assert [list(found.shape), str(found.dtype)] == [case["shape"], case["dtype"]], case
        little = found.astype(found.dtype.newbyteorder("<"))
        assert hashlib.sha256(little.tobytes()).hexdigest() == case["sha256"], case
        assert decoder.bound(level, region, size) == case["bound"], case


def test_worked_example() -> None:
    shard = codecs.encode(np.array([[7]], np.uint8))
    assert Decoder(shard).picture().tolist() == [[7]]
    # Every bit of it counts.
    for bit in range(8 * len(shard)):
        damaged = bytearray(shard)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Corrupt, Insufficient)):
            Decoder(bytes(damaged)).picture()
