"""Decoding by kernels.wasm in node, to be compared with the native kernels."""

import json
import subprocess
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCRIPT = Path(__file__).resolve().parents[1] / "conformance" / "wasm_check.mjs"


@dataclass
class Case:
    """A shard, or a prefix of one, and the samples that all of `level`, or a region of it, must give."""

    shard: bytes
    level: int
    samples: NDArray[Any]
    region: tuple[int, int, int, int] | None = None


def check_in_wasm(cases: list[Case], folder: Path) -> None:
    """Fail unless kernels.wasm decodes every case to exactly its samples."""
    entries = []
    for n, case in enumerate(cases):
        (folder / f"{n}.fls").write_bytes(case.shard)
        little = case.samples.astype(case.samples.dtype.newbyteorder("<"))
        (folder / f"{n}.raw").write_bytes(np.ascontiguousarray(little).tobytes())
        entries.append({"shard": f"{n}.fls", "level": case.level, "region": case.region, "samples": f"{n}.raw"})
    (folder / "cases.json").write_text(json.dumps(entries))
    with as_file(files("firstlight.codecs") / "kernels.wasm") as wasm:
        command = ["node", str(SCRIPT), str(wasm), str(folder / "cases.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
