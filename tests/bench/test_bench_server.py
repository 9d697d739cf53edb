"""The measurement of the server, small: it runs, and every range that came was the right one."""

from importlib import import_module
from pathlib import Path


def test_bench_server(tmp_path: Path) -> None:
    # Not an import statement: type checkers see the scripts of this folder as modules of their own.
    rows = import_module("bench.bench_server").measure(tmp_path, seconds=0.8, length=16384, connections=4)
    assert [row["server"] for row in rows] == ["nginx", "firstlight"]
    assert all(row["requests"] > 20 for row in rows)
