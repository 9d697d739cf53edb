"""The frozen vectors of every format version decode to the frozen samples: natively, and by the wasm kernels alone."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstlight import codecs
from support.wasm import Case, check_in_wasm

VECTORS = Path(__file__).resolve().parents[2] / "codecs" / "vectors"
VERSIONS = sorted(VECTORS.glob("v*"))


def cases(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "cases.json").read_text())
    return found


def decode(folder: Path, case: dict[str, Any]) -> np.ndarray:
    data = (folder / case["shard"]).read_bytes()[: case["bytes"]]
    return codecs.decode(data, level=case["level"], region=case["region"], max_error=None)


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda p: p.name)
def test_every_case(folder: Path) -> None:
    assert {case["shard"] for case in cases(folder)} == {path.name for path in folder.glob("*.fls")}
    for case in cases(folder):
        if "sha256" not in case:
            with pytest.raises(codecs.InsufficientData):
                decode(folder, case)
            continue
        picture = decode(folder, case)
        assert [list(picture.shape), str(picture.dtype)] == [case["shape"], case["dtype"]], case
        little = np.ascontiguousarray(picture.astype(picture.dtype.newbyteorder("<")))
        assert hashlib.sha256(little.tobytes()).hexdigest() == case["sha256"], case

        exact = codecs.decode((folder / case["shard"]).read_bytes(), level=case["level"], region=case["region"])
        assert np.abs(picture.astype(np.int64) - exact).max() <= case["bound"], case


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda p: p.name)
def test_every_case_in_wasm(folder: Path, tmp_path: Path) -> None:
    found = []
    for case in cases(folder):
        if "sha256" in case:
            data = (folder / case["shard"]).read_bytes()[: case["bytes"]]
            region = tuple(case["region"]) if case["region"] else None
            found.append(Case(data, case["level"], decode(folder, case), region))
    check_in_wasm(found, tmp_path)


def test_the_worked_example() -> None:
    text = (VECTORS.parent / "SPEC.md").read_text().split("## 4. Worked example")[1].split("## 5.")[0]
    lines = re.findall(r"^    ((?:[0-9A-F]{2} {1,2})+)", text, re.M)
    assert codecs.encode(np.array([[7]], np.uint8)) == bytes.fromhex("".join(lines))


def test_the_check_in_wasm_can_fail(tmp_path: Path) -> None:
    shard = codecs.encode(np.arange(64, dtype=np.uint8).reshape(8, 8))
    wrong = np.zeros((8, 8), np.uint8)
    with pytest.raises(AssertionError, match="samples differ"):
        check_in_wasm([Case(shard, 0, wrong)], tmp_path)


def test_frozen_files_are_not_overwritten(tmp_path: Path) -> None:
    """The generator still writes what is frozen for the current version, and refuses to replace it."""
    import runpy

    make = runpy.run_path(str(VECTORS / "make.py"))
    make["main"](tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {path.name for path in (VECTORS / f"v{make['VERSION']}").iterdir()}
    with pytest.raises(SystemExit, match="frozen"):
        make["main"](tmp_path)
