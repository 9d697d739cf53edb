"""The comparison of codecs, quick: every measurement runs, every peer is there, every picture is exact."""

from importlib import import_module
from pathlib import Path

import pytest

from support.images import DATA


def test_codec() -> None:
    codec = import_module("bench.codec.__main__")
    results = codec.run(DATA, viewports=1, rounds=1, quick=True)
    peers = {row["peer"] for row in results.lossless}
    assert peers == {peer.name for peer in import_module("bench.codec.peers").PEERS}
    kinds = {row["kind"] for row in results.lossless}
    assert kinds == {"uint8 RGB", "uint8", "uint16", "int16"}
    assert all(row["bytes"] > 0 for row in results.lossless)
    assert {row["rate"] for row in results.distortion} == set(import_module("bench.codec.distortion").RATES)
    assert all(0 < row["psnr_zoomed_bytes"] < row["psnr_bytes"] for row in results.viewport)
    assert len(results.goals) == 24
    assert {row["verdict"] for row in results.goals} <= {"aim", "must", "missed", "-"}
    assert all(Path(path).stat().st_size > 0 for path in codec.write(results, "codec-quick"))


def test_viewport_of_16_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    # No image of tests/data is large enough for the real viewport.
    viewport = import_module("bench.codec.viewport")
    monkeypatch.setattr(viewport, "HEIGHT", 300)
    monkeypatch.setattr(viewport, "WIDTH", 400)
    planes = import_module("bench.codec.planes").planes(DATA)
    plane = next(p for p in planes if p.samples.itemsize == 2 and viewport.fits(p))
    (row,) = viewport.measure(plane, import_module("bench.codec.stored").Stored(plane), 1)
    assert 0 < row["display_bytes"] <= row["exact_bytes"] < plane.samples.nbytes
    assert row["exact_ratio"] == row["exact_bytes"] / row["other_bytes"]
