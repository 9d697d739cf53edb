"""Measurements as CSV: every row carries the machine and the versions that it was made with."""

import csv
import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from .servers import ROOT


def cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()} x {os.cpu_count()}"


def write(name: str, rows: Iterable[Mapping[str, object]], **versions: str) -> Path:
    """Write build/bench/<name>.csv; the path."""
    context = {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "cpu": cpu(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "firstlight": version("firstlight"),
        "numpy": version("numpy"),
        **versions,
    }
    full = [{**row, **context} for row in rows]
    path = ROOT / "build" / "bench" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as sink:
        writer = csv.DictWriter(sink, list(full[0]))
        writer.writeheader()
        writer.writerows(full)
    return path


def table(rows: Iterable[Mapping[str, object]]) -> str:
    """The rows as text, columns aligned."""
    listed = [dict(row) for row in rows]
    cells = [
        list(listed[0]),
        *([f"{value:,.1f}" if isinstance(value, float) else str(value) for value in row.values()] for row in listed),
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
