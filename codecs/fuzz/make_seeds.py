"""Writes codecs/fuzz/seeds: small real shards of every shape of the format (run it when the format changes)."""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from firstlight import codecs

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "tests" / "data"


def main() -> None:
    photo = np.asarray(Image.open(DATA / "kodim23.png"))
    cells = tifffile.imread(DATA / "neubias_xyc_16bit__cell_dna_mts_actin.tif")
    ct = tifffile.imread(DATA / "ct_small.tif")
    seeds = {
        "one_sample": photo[:1, :1, 0],
        "base_level_only": photo[100:124, 200:231, 0],
        "row": photo[77:78, :90, 1],
        "rgb": photo[200:240, 300:370],
        "grey": photo[64:131, 64:129, 1],
        "uint16": cells[0, 150:220, 100:150],
        "int16": ct[40:90, 30:96].astype(np.int16),
        "rans": photo[100:250, 200:345, 1],
        "rans_raw": cells[1, 100:260, 80:230],
        "constant": np.full((70, 70), 7, np.uint8),
    }
    for name, samples in seeds.items():
        shard = codecs.encode(np.ascontiguousarray(samples), threads=1)
        (HERE / "seeds" / f"{name}.flsh").write_bytes(shard)
        print(f"{name}: {samples.shape} {samples.dtype}, {len(shard)} bytes")


if __name__ == "__main__":
    main()
