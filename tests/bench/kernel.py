"""Speed of the tile coder on one thread, and sizes beside OpenJPEG, on the real images of tests/data.

    PYTHONPATH=tests python tests/bench/kernel.py [--repeats 5] [FILES ...]

Speeds are of the kernels as Python calls them, in millions of coefficients a second: every tile of a picture encoded
from its transformed plane, and decoded from its segments. Sizes are of whole shards and of OpenJPEG's lossless stream.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from imagecodecs import jpeg2k_encode
from numpy.typing import NDArray
from PIL import Image

from firstlight import codecs
from firstlight.codecs import _native, layering
from support import record

DATA = Path(__file__).resolve().parents[1] / "data"
FILES = (
    "kodim23.png",
    "CMU-1-Small-Region.svs",
    "neubias_xy_8bit__em_mitochondria_er.tif",
    "neubias_xyc_16bit__hela-cells.tif",
    "neubias_xyc_16bit__cell_dna_mts_actin.tif",
    "ct_small.tif",
    "mr_small.tif",
)


def read(path: Path) -> NDArray[np.generic]:
    """(height, width) or (height, width, 3)."""
    if path.suffix == ".npy":
        picture = np.load(path)
    else:
        try:
            picture = tifffile.imread(path)
        except tifffile.TiffFileError:
            picture = np.asarray(Image.open(path))
    if picture.ndim == 3 and picture.shape[0] < picture.shape[2]:
        picture = picture[0]
    return np.ascontiguousarray(picture[:2048, :2048].astype(picture.dtype.newbyteorder("=")))


def best(repeats: int, work: Callable[[], object]) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(name: str, samples: NDArray[np.generic], repeats: int) -> dict[str, object]:
    shard = codecs.encode(samples, threads=1)
    assert np.array_equal(codecs.decode(shard, threads=1), samples)
    index = codecs.Index.parse(shard)
    tiles = np.array(
        [(level, tile, at.layers, 0) for level, at in enumerate(index.levels) for tile in range(at.tiles)], np.uint32
    )
    where, buffers = np.zeros(index.segments, np.int32), [memoryview(shard)]

    def decode() -> list[_native.Tile | None]:
        return _native.decode_tiles(index.raw, tiles, index.offsets, where, index.offsets[:-1].copy(), buffers)

    # The planes that encoding starts from (Mallat order), from the coefficients.
    planes = np.zeros((index.components, index.height, index.width), np.int32)
    for (level, tile, *_), found in zip(tiles.tolist(), decode(), strict=True):
        assert found is not None
        coefs = np.frombuffer(memoryview(found), np.int32 if found.wide else np.int16).reshape(index.components, -1)
        y, x = divmod(tile, index.levels[level].tiles_x)
        for component in range(index.components):
            put(planes[component], index, level, y, x, coefs[component])
    steps = [2.0 ** (index.bits - n / 2) for n in range(index.levels[0].layers - 1)]
    layers, places = layering.layering(index, 2.0**index.bits, steps, ()), np.ascontiguousarray(tiles[:, :2])
    decode_time = best(repeats, decode)
    encode_time = best(repeats, lambda: _native.encode_tiles(index.raw, layers, planes, places))
    jpeg2000 = len(jpeg2k_encode(samples, level=0, reversible=True, codecformat="j2k", mct=samples.ndim == 3))
    return {
        "file": name,
        "shape": "x".join(map(str, samples.shape)),
        "dtype": str(samples.dtype),
        "bits a sample": 8 * len(shard) / samples.size,
        "of OpenJPEG, %": 100 * len(shard) / jpeg2000,
        "encode M/s": samples.size / encode_time / 1e6,
        "decode M/s": samples.size / decode_time / 1e6,
    }


def put(plane: NDArray[np.int32], index: codecs.Index, level: int, y: int, x: int, coefs: NDArray[Any]) -> None:
    """Tile coefficients to their places in the plane."""
    at = index.levels[level]
    if level == len(index.levels) - 1:
        plane[: at.height, : at.width] = coefs.reshape(at.height, at.width)
        return
    side, low_y, low_x = at.tile // 2, (at.height + 1) // 2, (at.width + 1) // 2
    for high_y, high_x in ((0, 1), (1, 0), (1, 1)):
        whole = plane[low_y * high_y : at.height if high_y else low_y, low_x * high_x : at.width if high_x else low_x]
        part = whole[y * side : (y + 1) * side, x * side : (x + 1) * side]
        part[...] = coefs[: part.size].reshape(part.shape)
        coefs = coefs[part.size :]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, default=[DATA / name for name in FILES])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows = [measure(path.name, read(path), options.repeats) for path in options.files]
    print(record.table(rows))
    print(record.write("kernel", rows))


if __name__ == "__main__":
    main()
