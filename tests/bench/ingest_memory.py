"""Peak memory and speed of ingesting a 16,384 x 16,384 RGB image, by kind of file: at most 2 GB.

    PYTHONPATH=tests python tests/bench/ingest_memory.py [--side 16384] [--kinds tiles,npy,strips,png] [--folder DIR]

The image is the mosaic of real images that `preview_16k.py` makes. Each ingest is a process of its own, whose peak of
resident memory (VmHWM) is what counts: getrusage's would begin with that of the process that started it.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from preview_16k import mosaic

from support import record

MOST_MB = 2000
WRITE: dict[str, Callable[[Path, np.ndarray], object]] = {
    "tiles": lambda path, picture: tifffile.imwrite(
        path, picture, tile=(512, 512), photometric="rgb", compression="zlib", compressionargs={"level": 1}
    ),
    "npy": lambda path, picture: np.save(path, picture),
    "strips": lambda path, picture: tifffile.imwrite(
        path, picture, rowsperstrip=128, photometric="rgb", compression="zlib", compressionargs={"level": 1}
    ),
    "png": lambda path, picture: Image.fromarray(picture).save(path, "PNG", compress_level=1),
}
CHILD = """
import resource, sys, time
import firstlight
start = time.perf_counter()
layout = firstlight.ingest(sys.argv[1], sys.argv[2])
print("seconds", time.perf_counter() - start, "stored", layout.stored_bytes)
used = resource.getrusage(resource.RUSAGE_SELF)
print("cpu", used.ru_utime + used.ru_stime)
print(open("/proc/self/status").read())
"""


def measure(folder: Path, kind: str, picture: np.ndarray) -> dict[str, object]:
    """Write the picture as a file of a kind and ingest it; one row of figures."""
    source = folder / f"mosaic.{'npy' if kind == 'npy' else 'img'}"
    WRITE[kind](source, picture)
    target = folder / f"{kind}.zarr"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CHILD, source, target], check=False, capture_output=True, text=True)
    wall = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"{kind}: ingest failed ({done.returncode}): {done.stderr}")
    found = {name: float(value) for name, value in re.findall(r"(seconds|stored|cpu|VmHWM):?\s+([\d.]+)", done.stdout)}
    source_bytes = source.stat().st_size
    source.unlink()
    return {
        "kind": kind,
        "side": picture.shape[0],
        "raw_MB": picture.nbytes / 1e6,
        "source_MB": source_bytes / 1e6,
        "stored_MB": found["stored"] / 1e6,
        "peak_MB": found["VmHWM"] * 1024 / 1e6,
        "ingest_s": found["seconds"],
        "process_s": wall,
        "cpu_s": found["cpu"],
        "raw_MB_s": picture.nbytes / 1e6 / found["seconds"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--kinds", default="tiles,npy", help=f"of {','.join(WRITE)}")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder, removed at the end)")
    given = parser.parse_args()
    picture = mosaic(given.side)
    with tempfile.TemporaryDirectory(prefix="ingest-") as temporary:
        rows = [measure(given.folder or Path(temporary), kind, picture) for kind in given.kinds.split(",")]
    print(record.table(rows))
    print(f"wrote {record.write('ingest_memory', rows)}")
    too_much = [str(row["kind"]) for row in rows if float(str(row["peak_MB"])) > MOST_MB]
    if too_much:
        print(f"FAILED: more than {MOST_MB} MB of memory for {', '.join(too_much)}", file=sys.stderr)
    return 1 if too_much else 0


if __name__ == "__main__":
    sys.exit(main())
