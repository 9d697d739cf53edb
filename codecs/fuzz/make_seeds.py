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
from PIL import Image

from firstlight import codecs

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = ROOT / "tests" / "data"
LIBFUZZER = ROOT / "build" / "libfuzzer"
# How many found inputs are kept of each target, the smallest first, and the most bytes of one.
KEPT = {"shard": 70, "index": 30, "roundtrip": 30}
MOST_BYTES = 8192


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
    for name, samples in seeds.items():
        shard = codecs.encode(np.ascontiguousarray(samples), threads=1)
        (HERE / "seeds" / f"{name}.flsh").write_bytes(shard)
        print(f"{name}: {samples.shape} {samples.dtype}, {len(shard)} bytes")


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
