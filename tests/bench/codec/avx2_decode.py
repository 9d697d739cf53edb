"""Decodes a shard again and again with the kernels of a library, and prints the processor seconds of each time.

python avx2_decode.py library.so shard.fls rounds
"""

import hashlib
import importlib.util
import json
import sys
import time
from pathlib import Path

NAME = "firstlight.codecs._native"


def main(library: str, shard: str, rounds: str) -> None:
    spec = importlib.util.spec_from_file_location(NAME, library)
    assert spec is not None
    assert spec.loader is not None
    # Before the package is imported, which then takes this one for its own.
    sys.modules[NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[NAME])
    from firstlight import codecs

    data = Path(shard).read_bytes()
    seconds = []
    for _ in range(int(rounds)):
        start = time.process_time()
        samples = codecs.decode(data, threads=1)
        seconds.append(time.process_time() - start)
    print(json.dumps({"seconds": seconds, "sha256": hashlib.sha256(samples.tobytes()).hexdigest()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
