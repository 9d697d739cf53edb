"""The comparison of codecs, quick: every measurement runs, every peer is there, every picture is exact."""

from importlib import import_module
from pathlib import Path

import numpy as np
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
    assert len(results.goals) == 25
    assert results.bounds
    assert all(row["ratio"] >= 1 for row in results.bounds)
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
    assert not row["mirrored"]


def test_mirrored_planes_stand_in_for_large_ones_of_16_bits() -> None:
    codec, planes = import_module("bench.codec.__main__"), import_module("bench.codec.planes")
    samples = np.arange(1_000_000, dtype=np.uint32).astype(np.uint16).reshape(1000, 1000)
    assert codec._mirrored(planes.Plane("a", samples[:999])) is None  # four times it is not large
    assert codec._mirrored(planes.Plane("a", samples.astype(np.uint8))) is None
    mirrored = codec._mirrored(planes.Plane("a", samples))
    assert mirrored.mirrored
    assert mirrored.samples.shape == (2000, 2000)
    np.testing.assert_array_equal(mirrored.samples[:1000, :1000], samples)
    np.testing.assert_array_equal(mirrored.samples, mirrored.samples[::-1, ::-1])


def test_goals_of_16_bit_viewports() -> None:
    goals = import_module("bench.codec.goals")

    def goal(*rows: tuple[float, bool, int]) -> tuple[str, str]:
        viewport = [
            {
                "plane": f"{size}", "against": "Zarr chunks", "Mpixel": size, "mirrored": mirrored,
                "display_bytes": ours, "exact_bytes": ours, "other_bytes": 100,
            }
            for size, mirrored, ours in rows
        ]  # fmt: skip
        found = goals.table([], [], [], viewport, [])
        row = next(row for row in found if row["figure"] == "cold 16-bit viewport / Zarr, exact")
        return row["found"], row["of"]

    assert goal() == ("-", "no such image here")
    found, note = goal((2, False, 60), (8, True, 45))
    assert found == "0.450"
    assert "mirrored to >= 4 Mpixel, as there are none; as they are 0.600 (1 images)" in note
    found, note = goal((2, False, 60), (8, True, 45), (5, False, 40))
    assert found == "0.400"
    assert "mirrored" not in note
    found, note = goal((1, False, 60))
    assert found == "0.600"
    assert note.endswith("none >= 4 Mpixel")
