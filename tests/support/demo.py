"""`firstlight demo` as a person sees it: coarse and in colour first, then, when asked for, the exact pixels."""

import asyncio
import base64
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from playwright.async_api import Page

from . import chromium
from .images import DATA
from .processes import free_port, listening
from .servers import ROOT

SAMPLER = ROOT / "tests" / "support" / "sampler.js"
# A line slow enough for a camera at 16 frames a second to see what comes first.
MEGABITS, LATENCY_MS = 4.0, 20.0
EXACT = "(({ settled, exact, level }) => settled && exact && level === 0)(firstlight.stats())"
LEAST_CHROMA = 1.0  # mean of max - min of red, green, blue; grey pictures have 0


@dataclass(frozen=True)
class Shown:
    """An image of the demo, and its source by another decoder: RGB (y, x, 3) or planes (channel, z, y, x)."""

    name: str
    decode: Callable[[], NDArray[Any]]


def _pillow(name: str) -> Callable[[], NDArray[Any]]:
    return lambda: np.asarray(Image.open(DATA / name).convert("RGB"))


IMAGES = (
    Shown("CMU-1-Small-Region", lambda: tifffile.imread(DATA / "CMU-1-Small-Region.svs", key=0)),
    Shown("bmng_5400x2700", _pillow("bmng_5400x2700.jpg")),
    Shown("kodim23", _pillow("kodim23.png")),
    Shown(
        "neubias_xyc_16bit__cell_dna_mts_actin",
        lambda: tifffile.imread(DATA / "neubias_xyc_16bit__cell_dna_mts_actin.tif")[:, None],
    ),
    Shown(
        "neubias_xyzc_16bit__dna_conf_wf",
        lambda: tifffile.imread(DATA / "neubias_xyzc_16bit__dna_conf_wf.tif").transpose(1, 0, 2, 3),
    ),
)

READ_PIXELS = """async () => {
    const pixels = await firstlight.readPixels();
    const text = (data) => {
        const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
        let out = "";
        for (let i = 0; i < bytes.length; i += 8192) out += String.fromCharCode(...bytes.subarray(i, i + 8192));
        return btoa(out);
    };
    const { z, channels } = firstlight.getState();
    const visible = channels.flatMap((channel, i) => (channel.visible ? [i] : []));
    return { ...pixels, data: pixels.data.map(text), z, visible };
}"""


async def check_image(page: Page, url: str, image: Shown) -> str:
    """Open one image on a fresh page; a line about it. AssertionError when something is not as it should be."""
    await page.add_init_script(path=SAMPLER)
    await chromium.throttle(page, MEGABITS, LATENCY_MS)
    await page.goto(f"{url}/view/{image.name}.zarr", wait_until="commit")
    await chromium.until(page, "window.firstlight?.ready.then(() => true)")
    await chromium.until(page, "firstlight.stats().settled", 60)
    await page.evaluate("firstlight.setView({ scale: 1 })")  # pixels of the source, at the centre
    await page.evaluate("firstlight.setPrecision('exact')")
    await chromium.until(
        page, "firstlight.stats().settled && firstlight.stats().exact && firstlight.stats().level === 0", 60
    )
    await asyncio.sleep(0.2)  # the last frame is to be sampled too
    pictures = await page.evaluate("sampler.pictures()")
    pixels = await page.evaluate(READ_PIXELS)

    # None, infinite: the thumbnail that comes with the metadata; then pictures whose bound the viewer vouches for.
    bounds = [math.inf if picture["bound"] is None else picture["bound"] for picture in pictures]
    assert bounds[0] > 0, f"{image.name}: the first picture was exact already"
    assert any(0 < bound < math.inf for bound in bounds), f"{image.name}: nothing between thumbnail and exact: {bounds}"
    assert pictures[0]["chroma"] >= LEAST_CHROMA, f"{image.name}: the first picture had no colour: {pictures[0]}"
    compare(image, pixels)
    steps = ", ".join(f"{bound:.0f}" for bound in dict.fromkeys(bounds) if bound < math.inf)
    return (
        f"{image.name}: a picture after {pictures[0]['time']:.0f} ms; stated error {steps}; "
        f"at last {pixels['height']} x {pixels['width']} pixels equal to the source"
    )


def compare(image: Shown, pixels: dict[str, Any]) -> None:
    """The viewer's samples against the source's, by another decoder."""
    source = image.decode()
    assert pixels["level"] == 0
    y, x, height, width = (pixels[key] for key in ("y", "x", "height", "width"))
    window = (slice(y, y + height), slice(x, x + width))
    rgb = source.ndim == 3
    expected = [source[window]] if rgb else [source[channel, pixels["z"]][window] for channel in pixels["visible"]]
    assert len(pixels["data"]) == len(expected) > 0
    for number, (text, plane) in enumerate(zip(pixels["data"], expected, strict=True)):
        seen = np.frombuffer(base64.b64decode(text), plane.dtype).reshape(plane.shape)
        wrong = int((seen != plane).sum())
        assert wrong == 0, f"{image.name}, channel {number}: {wrong} of {plane.size} samples differ from the source"


async def check(folder: Path) -> None:
    """Run the demo in `folder` and look at every image of it."""
    port = free_port()
    command = [sys.executable, "-m", "firstlight", "demo", "--dir", str(folder / "images"), "--no-browser"]
    with listening([*command, "--port", str(port)], port, folder / "demo.log"):
        url = f"http://127.0.0.1:{port}"
        stored = {path.stem for path in (folder / "images").glob("*.zarr")}
        assert stored == {image.name for image in IMAGES}, f"the demo shows {sorted(stored)}"
        async with chromium.browser() as browser:
            page = await browser.new_page()
            await page.goto(url)
            for image in IMAGES:
                assert await page.locator(f'a[href*="{image.name}"]').count(), f"{image.name}: not in the catalogue"
            await page.close()
            for image in IMAGES:
                page = await browser.new_page()
                complaints = chromium.Complaints(page)
                print(await check_image(page, url, image), flush=True)
                assert complaints.seen == [], f"{image.name}: {complaints.seen}"
                await page.close()
