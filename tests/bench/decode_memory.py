"""Peak memory of decoding a whole shard, by size and kind of picture: less than 3 times the picture.

    PYTHONPATH=tests python tests/bench/decode_memory.py [--runs 3] [--threads 1,2]

Each decoding is the first one of a process of its own. What counts is by how much its peak of resident memory (VmHWM,
without pages of files) lies above what was there before: the picture is in it; the shard, which is the caller's, is
not. The system reckons such peaks to some 100 kB, so that the largest of some runs is taken.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from kernel import read
from numpy.typing import NDArray

from firstlight import codecs
from support import record
from support.images import DATA

MOST = 3.0
FILES = {
    "grey": "neubias_xy_8bit__em_mitochondria_er.tif",
    "rgb": "CMU-1-Small-Region.svs",
    "16 bits": "m13_hdu0.npy",
    "16 bits x 3": "neubias_xyc_16bit__hela-cells.tif",
}
SIDES = ((512, 512), (1024, 1024), (2048, 2048), (512, 16384), (16384, 512))
CHILD = """
import re, sys
from pathlib import Path
from firstlight import codecs
from firstlight.codecs.threads import spread

def status(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

data, threads = Path(sys.argv[1]).read_bytes(), int(sys.argv[2])
spread(abs, range(threads), threads)
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS") - status("RssFile")
picture = codecs.decode(data, threads=threads)
print(status("VmHWM") - status("RssFile") - before)
"""


def pictures() -> dict[tuple[str, int, int], NDArray[np.generic]]:
    """Real images, repeated where they are too small."""
    found = {}
    for kind, name in FILES.items():
        samples = read(DATA / name)
        for height, width in SIDES:
            times = (-(-height // samples.shape[0]), -(-width // samples.shape[1]), 1)[: samples.ndim]
            found[kind, height, width] = np.tile(samples, times)[:height, :width]
    return found


def peak(shard: Path, threads: int, runs: int) -> int:
    """Bytes that decoding took, the picture included."""
    command = [sys.executable, "-c", CHILD, str(shard), str(threads)]
    return max(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(runs))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", default="1,2", help="numbers of threads, with commas between them")
    given = parser.parse_args()
    rows: list[dict[str, object]] = []
    too_much = []
    with tempfile.TemporaryDirectory(prefix="decode-") as folder:
        shard = Path(folder) / "shard"
        for (kind, height, width), samples in pictures().items():
            shard.write_bytes(codecs.encode(samples))
            row: dict[str, object] = {"kind": kind, "height": height, "width": width, "MB": samples.nbytes / 1e6}
            for threads in map(int, given.threads.split(",")):
                ratio = peak(shard, threads, given.runs) / samples.nbytes
                row[f"peak / picture, {threads} threads"] = round(ratio, 2)
                if ratio > MOST:
                    too_much.append(f"{kind} {height} x {width}, {threads} threads: {ratio:.2f}")
            rows.append(row)
    print(record.table([{name: str(value) for name, value in row.items()} for row in rows]))
    print(f"wrote {record.write('decode_memory', rows)}")
    if too_much:
        print(f"FAILED: more than {MOST} times the picture: {'; '.join(too_much)}", file=sys.stderr)
    return 1 if too_much else 0


if __name__ == "__main__":
    sys.exit(main())
