"""Speed of the tile coder on one thread, and sizes beside OpenJPEG, on the real images of tests/data.

    PYTHONPATH=tests python tests/bench/kernel.py [--repeats 5] [FILES ...]

Speeds are of the kernels as Python calls them, in millions of coefficients a second: every tile of a picture encoded
from its transformed plane, and decoded from its segments. Sizes are of whole shards and of OpenJPEG's lossless stream.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile
from imagecodecs import jpeg2k_encode
from numpy.typing import NDArray
from PIL import Image

from firstlight import codecs
from firstlight.codecs import _native
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
    info, components = index.raw, index.components
    planes = np.zeros((components, index.height, index.width), np.int32)

    def tiles() -> Iterator[tuple[int, int, int, int]]:
        for level, at in enumerate(index.levels):
            for place in np.ndindex(at.tiles_y, at.tiles_x, components):
                yield place[2], level, place[1], place[0]

    def decode() -> None:
        """All tiles; their coefficients go to the planes that encoding starts from (Mallat order)."""
        for component, level, x, y in tiles():
            coefs = np.empty(_native.tile_size(info, level, x, y), np.int32)
            _native.decode_tile(info, component, level, x, y, segments[component, level, x, y], coefs)
            found[component, level, x, y] = coefs

    found: dict[tuple[int, int, int, int], NDArray[np.int32]] = {}
    segments = {
        tile: [
            shard[index.offsets[s] : index.offsets[s + 1]]
            for layer in range(index.levels[tile[1]].layers)
            for s in (index.segment(tile[1], layer, tile[3], tile[2], tile[0]),)
        ]
        for tile in tiles()
    }
    decode_time = best(repeats, decode)
    for (component, level, x, y), coefs in found.items():
        put(planes[component], index, level, x, y, coefs)
    again = {tile: _native.encode_tile(info, *tile, planes) for tile in tiles()}
    assert all(list(again[tile]) == segments[tile] for tile in again)
    encode_time = best(repeats, lambda: [_native.encode_tile(info, *tile, planes) for tile in tiles()])
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


def put(plane: NDArray[np.int32], index: codecs.Index, level: int, x: int, y: int, coefs: NDArray[np.int32]) -> None:
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
