"""Writes codecs/fuzz/seeds: small real shards of every shape of the format (run it when the format changes).

With --minimise also the inputs that `make fuzz` found to reach furthest, from build/libfuzzer/corpus.
"""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from firstlight import codecs
from firstlight.codecs import _native, layering

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = ROOT / "tests" / "data"
LIBFUZZER = ROOT / "build" / "libfuzzer"
# How many found inputs are kept of each target, the smallest first, and the most bytes of one.
KEPT = {"shard": 24, "index": 12, "roundtrip": 12}
MOST_BYTES = 4096


def shards() -> None:
    photo = np.asarray(Image.open(DATA / "kodim23.png"))
    cells = tifffile.imread(DATA / "neubias_xyc_16bit__cell_dna_mts_actin.tif")
    ct = tifffile.imread(DATA / "ct_small.tif")
    seeds = {
        "one_sample": photo[:1, :1, 0],
        "base_level_only": photo[100:116, 200:213, 0],
        "row": photo[77:78, :90, 1],
        "rgb": photo[200:240, 300:370],
        "two_components": photo[200:240, 300:333, :2],
        "four_components": np.dstack([photo[10:60, 300:340], photo[210:260, 300:340, :1]]),
        "grey": photo[64:131, 64:129, 1],
        "uint16": cells[0, 150:220, 100:150],
        "int16": ct[40:90, 30:96].astype(np.int16),
        "static": photo[100:250, 200:345, 1],
        "static_rgb": photo[300:420, 200:320],
        "raw": cells[1, 100:260, 80:230],
        "value_table": photo[64:131, 64:129, 1] // 3 * 3,
        "constant": np.full((70, 70), 7, np.uint8),
    }
    for old in (HERE / "seeds").glob("*.flsh"):
        old.unlink()
    encoded = {name: codecs.encode(np.ascontiguousarray(samples), threads=1) for name, samples in seeds.items()}
    encoded["one_layer"] = one_layer(np.ascontiguousarray(photo[60:230, 200:370, 1]))
    for name, shard in encoded.items():
        (HERE / "seeds" / f"{name}.flsh").write_bytes(shard)
        print(f"{name}: {len(shard)} bytes")


def one_layer(samples: NDArray[np.uint8]) -> bytes:
    """A shard of one layer: segments large enough for 64 lanes, in few bytes."""
    height, width = samples.shape
    info = _native.plan_head(width, height, 1, 8, False, 0, 0, 0, 1, ())
    planes = np.empty((1, height, width), np.int32)
    _native.forward(info, samples, (width * height, width, 1), planes)
    index = codecs.Index(info, np.zeros(1, np.uint32))
    tiles = [(level, 0) for level in reversed(range(len(index.levels)))]
    share = layering.layering(index, 255, [], ())
    data, lengths, reports = _native.encode_tiles(info, share, planes, np.array(tiles, np.uint32))
    info = _native.set_errors(info, planes, np.frombuffer(reports, layering.REPORT), None)
    first = np.frombuffer(lengths, np.uint32).reshape(-1, layering.MOST_LAYERS)[:, 0]
    return _native.write_head(info, None, np.ascontiguousarray(first)) + data


def minimise() -> None:
    for target, most in KEPT.items():
        for old in (HERE / "seeds").glob(f"{target}_*"):
            if old.suffix != ".flsh":
                old.unlink()
        with tempfile.TemporaryDirectory() as folder:
            corpus = LIBFUZZER / "corpus" / target
            subprocess.run([LIBFUZZER / target, "-merge=1", f"-max_len={MOST_BYTES}", folder, corpus], check=True)
            smallest = sorted(Path(folder).iterdir(), key=lambda path: (path.stat().st_size, path.name))
            for path in smallest[:: max(1, len(smallest) // most)][:most]:
                data = path.read_bytes()
                (HERE / "seeds" / f"{target}_{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)


if __name__ == "__main__":
    shards()
    if "--minimise" in sys.argv:
        minimise()
