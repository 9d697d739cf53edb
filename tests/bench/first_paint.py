"""Time to a picture in a real browser on a slow line: firstlight's viewer, and OpenSeadragon on DZI beside it.

    PYTHONPATH=tests python tests/bench/first_paint.py [--source FILE] [--mbit 5] [--latency 40] [--repeats 3]

Headless Chromium, 1024 x 768. Two phases: opening the whole image with the viewer's code in the browser's cache, and a
jump to 1:1. Times are milliseconds from the first request for image data (open), or from the call (jump):

    first    the first picture on the canvas; first_dB: how close it is to the last one (PSNR, grey)
    db30     from here on the canvas stays within 30 dB of the last picture
    settled  the last change
    kB, requests: all that came over the line in that phase, code excluded (it is cached)

The peer gets what people deploy: JPEG tiles of quality 85 (254 + 1 pixels), served by nginx, drawn by its two drawers:
WebGL, its default and what firstlight uses too, and the 2D canvas, which a machine without a GPU favours (there WebGL
runs in software, and reading its canvas for this measurement costs more than drawing). It ends at its lossy tiles;
firstlight ends where the viewer's policy ends (by default an error that the screen cannot show).
"""

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tifffile
from PIL import Image
from playwright.async_api import Page, Request

import firstlight
from support import chromium, dzi, record, servers
from support.images import DATA
from support.network import Counted, counted

DRAWERS = ("webgl", "canvas")
SAMPLER = servers.ROOT / "tests" / "support" / "sampler.js"
OPENSEADRAGON = servers.ROOT / "web" / "node_modules" / "openseadragon"
QUIET_MS = 1500  # no change and no request for so long: settled
LONGEST_S = 90.0


@dataclass(frozen=True)
class Contestant:
    """A page to measure."""

    label: str
    server: str
    warm: str  # loads the code, and no image data
    page: str
    data: tuple[str, ...]  # parts of the addresses of image data
    ready: str  # JavaScript: true once a jump is possible
    jump: str  # JavaScript function of (fx, fy)


class Traffic:
    """Requests of a page: how many, how many under way, when the first one for image data started."""

    def __init__(self, page: Page, data: tuple[str, ...]) -> None:
        self.count = self.open = 0
        self.data = data
        self.first: Request | None = None
        page.on("request", self._started)
        page.on("requestfinished", self._ended)
        page.on("requestfailed", self._ended)

    def _started(self, request: Request) -> None:
        self.open += 1
        if any(part in request.url for part in self.data):
            self.count += 1
            self.first = self.first or request

    def _ended(self, _: Request) -> None:
        self.open -= 1


async def settled(page: Page, traffic: Traffic, before: int) -> None:
    """Wait until the picture rests and nothing is on its way."""
    deadline = time.monotonic() + LONGEST_S
    calm = 0
    while calm < 3 and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        quiet = await page.evaluate("sampler.quiet()") > QUIET_MS
        calm = calm + 1 if quiet and traffic.open <= 0 and traffic.count > before else 0


async def phase(page: Page, line: Counted, traffic: Traffic, name: str, act: Any) -> dict[str, Any]:
    requests, down = traffic.count, line.down
    await act()
    await settled(page, traffic, requests)
    report = await page.evaluate("sampler.report()")
    if report is None:
        raise RuntimeError(f"{page.url}: no picture appeared while measuring {name!r}")
    return {
        "phase": name,
        **{key: float(report[key]) for key in ("first", "first_db", "db30", "settled")},
        "frames": report["frames"],
        "requests": traffic.count - requests,
        "kB": (line.down - down) / 1e3,
    }


@asynccontextmanager
async def opened(contestant: Contestant, mbit: float, latency: float) -> AsyncIterator[tuple[Page, Counted, Traffic]]:
    """A page on a slow line, its code cached, not yet on the image."""
    async with counted(contestant.server) as line, chromium.browser() as browser:
        warming = await browser.new_page()
        await warming.goto(line.url + contestant.warm)
        await warming.wait_for_load_state("networkidle")
        await warming.close()
        page = await browser.new_page()
        page.on("pageerror", lambda error: print(f"  {contestant.label}: {error}", file=sys.stderr))
        await page.add_init_script(path=SAMPLER)
        await chromium.throttle(page, mbit, latency)
        yield page, line, Traffic(page, contestant.data)


async def measure(contestant: Contestant, mbit: float, latency: float, shots: Path | None) -> list[dict[str, Any]]:
    """Both phases, once."""
    async with opened(contestant, mbit, latency) as (page, line, traffic):

        async def open_image() -> None:
            await page.goto(line.url + contestant.page, wait_until="commit")

        rows = [await phase(page, line, traffic, "open", open_image)]
        assert traffic.first is not None
        origin = await page.evaluate("performance.timeOrigin")
        code = traffic.first.timing["startTime"] - origin  # HTML and cached code, before any image data
        for key in ("first", "db30", "settled"):
            rows[0][key] -= code
        rows[0]["code"] = code
        if shots:
            await page.screenshot(path=shots / f"{contestant.label}-open.png")
        await chromium.until(page, contestant.ready)

        async def jump() -> None:
            await page.evaluate(f"() => {{ sampler.begin(); ({contestant.jump})(0.47, 0.53); }}")

        rows.append({**await phase(page, line, traffic, "jump to 1:1", jump), "code": 0.0})
        if shots:
            await page.screenshot(path=shots / f"{contestant.label}-jump.png")
    return [{"viewer": contestant.label, **row} for row in rows]


def prepare(source: Path, folder: Path, stack: ExitStack) -> list[Contestant]:
    """Ingest and cut the image, start both servers."""
    (folder / "images").mkdir()
    firstlight.ingest(source, folder / "images" / "image.zarr")
    ours = stack.enter_context(servers.firstlight(folder / "images", folder / "serve.log"))
    peer = folder / "dzi"
    peer.mkdir()
    tiff = source.suffix.lower() in {".svs", ".tif", ".tiff"}
    picture = Image.fromarray(tifffile.imread(source, key=0)) if tiff else Image.open(source)
    dzi.cut(picture, peer / "image")
    shutil.copy(OPENSEADRAGON / "build" / "openseadragon" / "openseadragon.min.js", peer)
    shutil.copy(Path(__file__).with_name("openseadragon.html"), peer / "index.html")
    theirs = stack.enter_context(servers.nginx(peer, folder / "nginx"))
    return [
        Contestant(
            label="firstlight",
            server=ours,
            warm="/view/image.zarr",
            page="/view/image.zarr",
            data=("/data/",),
            ready="window.firstlight?.ready.then(() => true)",
            jump="""(fx, fy) => {
                const { width, height } = firstlight.core.layout;
                firstlight.setView({ x: width * fx, y: height * fy, scale: 1 });
            }""",
        ),
        *(
            Contestant(
                label=f"OpenSeadragon+DZI, {drawer}",
                server=theirs,
                warm="/index.html",
                page=f"/index.html?source=image.dzi&drawer={drawer}",
                data=(".dzi", "_files/"),
                ready="Boolean(window.jump)",
                jump="window.jump",
            )
            for drawer in DRAWERS
        ),
    ]


def medians(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row of medians for each viewer and phase."""
    found = []
    for viewer, name in dict.fromkeys((row["viewer"], row["phase"]) for row in rows):
        same = [row for row in rows if (row["viewer"], row["phase"]) == (viewer, name)]
        numbers = {
            key: statistics.median(row[key] for row in same) for key in same[0] if key not in ("viewer", "phase")
        }
        found.append({"viewer": viewer, "phase": name, **numbers, "repeats": len(same)})
    return found


async def run(given: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="first-paint-") as temporary, ExitStack() as stack:
        contestants = prepare(given.source, Path(temporary), stack)
        for repeat in range(given.repeats):
            for contestant in contestants:
                shots = given.shots if repeat == 0 else None
                rows += await measure(contestant, given.mbit, given.latency, shots)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=DATA / "CMU-1-Small-Region.svs")
    parser.add_argument("--mbit", type=float, default=5.0)
    parser.add_argument("--latency", type=float, default=40.0, help="milliseconds for each request")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shots", type=Path, help="a folder for screenshots of both phases")
    given = parser.parse_args()
    if given.shots:
        given.shots.mkdir(parents=True, exist_ok=True)
    table = medians(asyncio.run(run(given)))
    print(f"{given.source.name} at {given.mbit:g} Mbit/s, {given.latency:g} ms; medians of {given.repeats} in ms")
    print(record.table(table))
    context = {"source": given.source.name, "mbit": given.mbit, "latency_ms": given.latency}
    versions = {"chromium": chromium.version(), "playwright": version("playwright")}
    print(f"wrote {record.write('first_paint', [{**row, **context} for row in table], **versions)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
