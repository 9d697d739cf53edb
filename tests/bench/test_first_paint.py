"""The measurement of the first paint, quick: both viewers show a picture in both phases."""

import argparse
from importlib import import_module

from support.images import DATA


async def test_first_paint() -> None:
    first_paint = import_module("bench.first_paint")
    given = argparse.Namespace(source=DATA / "CMU-1-Small-Region.svs", mbit=20.0, latency=10.0, repeats=1, shots=None)
    rows = first_paint.medians(await first_paint.run(given))
    assert [(row["viewer"], row["phase"]) for row in rows] == [
        (viewer, phase)
        for viewer in ("firstlight", "OpenSeadragon+DZI, webgl", "OpenSeadragon+DZI, canvas")
        for phase in ("open", "jump to 1:1")
    ]
    assert all(row["first"] <= row["db30"] <= row["settled"] for row in rows)
    assert all(row["requests"] > 0 and row["kB"] > 0 for row in rows)
