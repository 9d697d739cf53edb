"""Writes sample.fls beside this file: a part of the Blue Marble (NASA, public domain), in colour."""

from pathlib import Path

import numpy as np
from PIL import Image

from firstlight import codecs

SOURCE = Path(__file__).resolve().parents[3] / "tests" / "data" / "bmng_5400x2700.jpg"
Y, X, HEIGHT, WIDTH = 600, 2500, 864, 1152

picture = np.asarray(Image.open(SOURCE))[Y : Y + HEIGHT, X : X + WIDTH]
shard = codecs.encode(picture)
(Path(__file__).parent / "sample.fls").write_bytes(shard)
print(f"{HEIGHT} x {WIDTH}: {len(shard)} bytes")
