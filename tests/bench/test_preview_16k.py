"""The measurement of the preview, small: it runs, and few bytes give the picture."""

from importlib import import_module
from pathlib import Path


def test_preview(tmp_path: Path) -> None:
    row = import_module("bench.preview_16k").measure(tmp_path, side=3000, size=187)
    assert row["fetched_%"] < 2
    assert row["psnr_dB"] > 25
    assert row["requests"] <= 8
