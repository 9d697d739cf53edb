"""The codec beside its peers, one thread each, in one run.

    PYTHONPATH=tests python -m bench.codec [--images tests/data] [--viewports 5] [--rounds 3] [--jpeg-grid 4] [--quick]

Writes build/bench/codec/: CSV of lossless sizes, rate-distortion, speed and viewports, the table of goals, and plots.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import record
from support.images import DATA
from support.servers import ROOT

from . import bounds, distortion, goals, lossless, plots, speed, viewport
from .peers import versions
from .planes import Plane, planes
from .stored import Stored
from .wasm import Wasm

Row = dict[str, Any]

# Quick: the first plane of each kind up to this size, and the middle of the first one that is large enough.
QUICK_MPIXEL = 0.5
QUICK_SIDE = 2048


@dataclass
class Results:
    """The rows of all measurements, and the version of our format that they are of."""

    format: int = -1
    lossless: list[Row] = field(default_factory=list)
    distortion: list[Row] = field(default_factory=list)
    speed: list[Row] = field(default_factory=list)
    viewport: list[Row] = field(default_factory=list)
    bounds: list[Row] = field(default_factory=list)

    @property
    def goals(self) -> list[Row]:
        return goals.table(self.lossless, self.distortion, self.speed, self.viewport, self.bounds)


def run(images: Path, *, viewports: int, rounds: int, quick: bool, grid: int = viewport.GRID) -> Results:
    """Measure every plane of a folder."""
    results = Results()
    with tempfile.TemporaryDirectory(prefix="codec-") as folder:
        wasm = Wasm(Path(folder))
        for plane, small in _chosen(images) if quick else ((plane, True) for plane in planes(images)):
            stored = Stored(plane)
            results.format = stored.shards[0].index.version
            print(f"{plane.name}: {plane.samples.shape} {plane.samples.dtype}, {stored.size} bytes", flush=True)
            if small:
                results.lossless += lossless.measure(plane, stored)
                results.distortion += distortion.measure(plane.crop(4096))
                results.bounds += bounds.measure(plane.crop(4096))
            # Channels of an image are much alike.
            if small and plane.channel == 0 and plane.mpixel >= speed.LEAST_MPIXEL:
                results.speed.append(speed.measure(plane, rounds, wasm))
            if plane.channel == 0 and _views(plane):
                results.viewport += viewport.measure(plane, stored, viewports, grid)
            if plane.channel == 0 and (mirrored := _mirrored(plane)):
                results.viewport += viewport.measure(mirrored, Stored(mirrored), viewports, grid)
    return results


def _views(plane: Plane) -> bool:
    """8-bit images must be large; of 16 bits there are few large ones, so that smaller ones are viewed too."""
    return viewport.fits(plane) and (plane.samples.itemsize > 1 or plane.mpixel >= goals.VIEWPORT_FROM)


def _mirrored(plane: Plane) -> Plane | None:
    """A large 16-bit plane made of a smaller one: a real picture's statistics."""
    if plane.samples.itemsize == 1 or plane.mpixel >= goals.VIEWPORT_FROM or 4 * plane.mpixel < goals.VIEWPORT_FROM:
        return None
    large = plane.mirror()
    return large if viewport.fits(large) else None


def _chosen(images: Path) -> Iterator[tuple[Plane, bool]]:
    """(plane, whether all is measured or viewports only) for a quick run."""
    kinds, viewed = set(), False
    for plane in planes(images):
        kind = plane.row()["kind"]
        if kind not in kinds and plane.mpixel <= QUICK_MPIXEL:
            kinds.add(kind)
            yield plane, True
        elif not viewed and plane.mpixel >= goals.VIEWPORT_FROM:
            viewed = True
            yield plane.crop(QUICK_SIDE), False


def write(results: Results, folder: str) -> list[Path]:
    """CSV and plots in build/bench/`folder`."""
    context = {"format": str(results.format), **versions()}
    tables = {
        "lossless": results.lossless,
        "distortion": results.distortion,
        "speed": results.speed,
        "viewport_jpeg": [row for row in results.viewport if row["against"] == "JPEG tiles"],
        "viewport_zarr": [row for row in results.viewport if row["against"] == "Zarr chunks"],
        "bounds": results.bounds,
        "goals": results.goals,
    }
    written = [record.write(f"{folder}/{name}", rows, **context) for name, rows in tables.items() if rows]
    to = ROOT / "build" / "bench" / folder
    plots.sizes(results.lossless, to / "lossless.png")
    plots.rate_distortion(results.distortion, to / "rate_distortion.png")
    plots.speeds(results.lossless, to / "speed.png", speed.LEAST_MPIXEL)
    return [*written, *(to / f"{name}.png" for name in ("lossless", "rate_distortion", "speed"))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=DATA, help="folder of image files (default: tests/data)")
    parser.add_argument("--viewports", type=int, default=5, help="random viewports for each large image")
    parser.add_argument("--rounds", type=int, default=9, help="repetitions of which the best counts")
    parser.add_argument("--jpeg-grid", type=int, default=viewport.GRID, help="JPEG tiles begin this far off the corner")
    parser.add_argument("--quick", action="store_true", help="few images, one viewport, one round")
    given = parser.parse_args()
    viewports, rounds = (1, 1) if given.quick else (given.viewports, given.rounds)
    results = run(given.images, viewports=viewports, rounds=rounds, quick=given.quick, grid=given.jpeg_grid)
    if not results.lossless:
        print(f"{given.images}: no image that can be measured", file=sys.stderr)
        return 1
    written = write(results, "codec-quick" if given.quick else "codec")
    print()
    print(record.table(results.goals))
    print(f"\nwrote {', '.join(str(path.relative_to(ROOT)) for path in written)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
