"""A preview of a 16,384 x 16,384 RGB image over HTTP must fetch less than 2 % of what is stored.

    PYTHONPATH=tests python tests/bench/preview_16k.py [--side 16384] [--size 1024] [--folder DIR]

The image is a mosaic of the real images in tests/data. nginx serves it; its access log counts the bytes, so that the
figure does not rest on what firstlight says of itself.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

import firstlight
from support import record, servers
from support.images import DATA

MOST = 0.02  # of the stored bytes


def mosaic(side: int) -> np.ndarray:
    """uint8 (side, side, 3): the map, the slide and the photo laid side by side, every other row mirrored."""
    pictures = [
        np.asarray(Image.open(DATA / "bmng_5400x2700.jpg")),
        tifffile.imread(DATA / "CMU-1-Small-Region.svs", key=0),
        np.asarray(Image.open(DATA / "kodim23.png")),
    ]
    out = np.empty((side, side, 3), np.uint8)
    y = row = 0
    while y < side:
        x, column, height = 0, row, min(2700, side - y)
        while x < side:
            picture = pictures[column % len(pictures)]
            picture = picture[:, :: -1 if row % 2 else 1]
            fill = np.tile(picture, (-(-height // picture.shape[0]), 1, 1))[:height]
            width = min(fill.shape[1], side - x)
            out[y : y + height, x : x + width] = fill[:, :width]
            x, column = x + width, column + 1
        y, row = y + height, row + 1
    return out


def measure(folder: Path, side: int, size: int) -> dict[str, object]:
    """Make, ingest, serve, preview; one row of figures."""
    (folder / "images").mkdir()
    source = folder / "mosaic.tif"
    picture = mosaic(side)
    tifffile.imwrite(source, picture, tile=(512, 512), photometric="rgb", bigtiff=True)
    start = time.perf_counter()
    firstlight.ingest(source, folder / "images" / "mosaic.zarr")
    ingest_seconds = time.perf_counter() - start
    source.unlink()
    stored = sum(p.stat().st_size for p in (folder / "images").rglob("*") if p.is_file())

    out = folder / "preview.png"
    with servers.nginx(folder / "images", folder / "nginx") as url:
        command = [sys.executable, "-m", "firstlight", "preview", f"{url}/mosaic.zarr", str(out), "--size", str(size)]
        start = time.perf_counter()
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        preview_seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"preview failed ({done.returncode}): {done.stderr}{done.stdout}")
    print(done.stdout.strip())
    log = (folder / "nginx" / "access.log").read_text()
    served = [int(n) for n in re.findall(r'" 20[06] (\d+) ', log)]

    preview = np.asarray(Image.open(out).convert("RGB")).astype(float)
    if max(preview.shape[:2]) != size:
        raise SystemExit(f"preview: {size} samples at the longer side were asked for, the file has {preview.shape}")
    # The box-averaged original, to see that it is the picture and not just few bytes.
    reference = np.asarray(Image.fromarray(picture).resize(preview.shape[1::-1], Image.Resampling.BOX)).astype(float)
    psnr = 10 * np.log10(255**2 / max(1e-9, float(((preview - reference) ** 2).mean())))
    return {
        "side": side,
        "raw_MB": picture.nbytes / 1e6,
        "stored_MB": stored / 1e6,
        "ingest_s": ingest_seconds,
        "ingest_Mpx_s": side * side / 1e6 / ingest_seconds,
        "preview": size,
        "preview_s": preview_seconds,
        "requests": len(served),
        "fetched_kB": sum(served) / 1e3,
        "fetched_%": 100 * sum(served) / stored,
        "psnr_dB": psnr,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder, removed at the end)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="preview-") as temporary:
        row = measure(given.folder or Path(temporary), given.side, given.size)
    print(record.table([row]))
    print(f"wrote {record.write('preview_16k', [row])}")
    fraction = float(str(row["fetched_%"])) / 100
    if fraction >= MOST:
        print(
            f"FAILED: {fraction:.2%} of the stored bytes were fetched, expected less than {MOST:.0%}", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
