"""The viewer in a real browser, used as a person would: by mouse, keyboard and address line."""

import base64
import io
import itertools
import math
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from aiohttp import web
from numpy.typing import NDArray
from PIL import Image
from playwright.async_api import BrowserContext, Page, Route

import firstlight
from firstlight import codecs
from firstlight.web.server import create_app
from support import chromium, servers
from support.images import DATA, SOURCES

DIST = servers.ROOT / "web" / "server" / "dist"
SETTLED = "window.firstlight !== undefined && firstlight.core !== undefined && firstlight.stats().settled"
# Keeps every changed frame of the viewer's canvas, small, from the moment that there is one.
WATCH = """
window.frames = [];
document.addEventListener("DOMContentLoaded", () => {
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [256, 192];
  const context = copy.getContext("2d", { willReadFrequently: true });
  let last = "";
  (function look() {
    const canvas = document.querySelector(".fl-stage .openseadragon-canvas canvas");
    if (canvas?.width) {
      context.drawImage(canvas, 0, 0, copy.width, copy.height);
      const url = copy.toDataURL();
      if (url !== last) window.frames.push((last = url));
    }
    requestAnimationFrame(look);
  })();
});
"""


@pytest.fixture(autouse=True)
def bundle() -> None:
    """The built viewer."""
    if not (DIST / "viewer.js").exists():
        pytest.fail(f"{DIST}/viewer.js: the viewer is not built; run make")


@pytest.fixture(scope="session")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The slide in small shards: many objects, two arrays (read only)."""
    folder = tmp_path_factory.mktemp("tiled")
    firstlight.ingest(DATA / SOURCES["slide"], folder / "slide.zarr", chunk=512)
    return folder


@pytest.fixture
async def tiled_server(tiled: Path, tmp_path: Path) -> AsyncIterator[str]:
    with servers.firstlight(tiled, tmp_path / "tiled.log") as url:
        yield url


def source(name: str) -> NDArray[Any]:
    """The image's samples as its file has them."""
    samples: NDArray[Any] = tifffile.imread(DATA / SOURCES[name])
    return samples


async def settled(page: Page, seconds: float = 60) -> None:
    """Wait until all that was asked for is there and drawn."""
    await page.wait_for_timeout(150)
    await chromium.until(page, SETTLED, seconds)


async def stats(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = await page.evaluate("firstlight.stats()")
    return found


async def pixels(page: Page) -> tuple[dict[str, int], list[NDArray[Any]]]:
    """Samples in view: where they are, and an array per visible channel."""
    read = await page.evaluate(
        """firstlight.readPixels().then((r) => ({...r, data: r.data.map((d) => Array.from(d))}))"""
    )
    height, width = read["height"], read["width"]
    data = [np.array(d).reshape(height, width, -1).squeeze(2 if len(d) == height * width else ()) for d in read["data"]]
    return read, data


async def canvas(page: Page) -> NDArray[np.uint8]:
    """What is on the viewer's canvas: (height, width, 3)."""
    url = await page.evaluate("document.querySelector('.fl-stage .openseadragon-canvas canvas').toDataURL('image/png')")
    return decode(url)


def decode(url: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    error = np.mean((a.astype(float) - b) ** 2)
    return 99.0 if error == 0 else 10 * math.log10(255**2 / error)


async def set_view(page: Page, **view: float) -> None:
    await page.evaluate("(view) => firstlight.setView(view)", view)


# -- a slide -----------------------------------------------------------------------------------------------------------


async def test_slide_is_there_at_once_in_colour_and_only_gets_better(page: Page, tiled_server: str) -> None:
    await chromium.throttle(page, megabits=8, milliseconds=40)
    await page.add_init_script(WATCH)
    await page.goto(f"{tiled_server}/view/slide.zarr")
    await settled(page)
    frames = [decode(url) for url in await page.evaluate("window.frames")]
    first = next(i for i, frame in enumerate(frames) if np.ptp(frame) > 60)
    assert first <= 1, "nothing but the empty page before the first picture"
    shown = frames[first:]
    assert len(shown) >= 4, "it should refine in several steps"
    last = shown[-1]
    colour = (np.ptp(last.astype(int), axis=2) > 40).mean()
    for frame in shown:
        assert (np.ptp(frame.astype(int), axis=2) > 40).mean() > 0.4 * colour, "a frame without its colour"
    quality = [psnr(frame, last) for frame in shown]
    assert quality[0] > 15
    for worse, better in itertools.pairwise(quality):
        assert better > worse - 0.3, quality


async def test_slide_at_full_resolution_is_exact(page: Page, tiled_server: str) -> None:
    await page.goto(f"{tiled_server}/view/slide.zarr")
    await settled(page)
    before = await stats(page)
    assert before["level"] > 0
    assert before["bytes"] < 0.5 * 5.8e6

    await page.get_by_text("Exact", exact=True).click()
    await set_view(page, x=1100, y=1500, scale=1)
    await settled(page)
    after = await stats(page)
    assert after["exact"]
    assert after["error"] == 0
    assert after["level"] == 0
    where, (samples,) = await pixels(page)
    y, x, height, width = where["y"], where["x"], where["height"], where["width"]
    assert (width, height) == (1024, 768)
    expected = source("slide")[y : y + height, x : x + width]
    assert np.array_equal(samples, expected)
    # And on the screen: no filter, no shift, no rounding.
    assert np.array_equal(await canvas(page), expected)
    assert await page.get_by_role("status").inner_text() == "full resolution · exact"


async def test_every_level_lies_on_the_others(page: Page, tiled_server: str) -> None:
    """Coarser pictures stand where finer ones will: nothing jumps when it refines."""
    await page.goto(f"{tiled_server}/view/slide.zarr")
    await page.evaluate("firstlight.ready")
    await page.evaluate("firstlight.setPrecision('exact')")
    expected = np.asarray(Image.fromarray(source("slide")).convert("RGB"))
    for scale in (1.0, 0.5, 0.25, 0.125):
        await set_view(page, x=1104, y=1504, scale=scale)
        await settled(page)
        step = round(1 / scale)
        shown = (await canvas(page)).astype(float).mean(axis=2)
        half_y, half_x = 384 * step, 512 * step
        y0, x0 = max(0, 1504 - half_y), max(0, 1104 - half_x)
        crop = expected[y0 : 1504 + half_y, x0 : 1104 + half_x].astype(float).mean(axis=2)
        crop = crop[: crop.shape[0] // step * step, : crop.shape[1] // step * step]
        small = crop.reshape(crop.shape[0] // step, step, crop.shape[1] // step, step).mean(axis=(1, 3))
        top, left = (y0 - (1504 - half_y)) // step, (x0 - (1104 - half_x)) // step
        shown = shown[top : top + small.shape[0], left : left + small.shape[1]]
        assert best_shift(shown[20:-20, 20:-20], small[20:-20, 20:-20]) == (0, 0), scale


def best_shift(a: NDArray[Any], b: NDArray[Any]) -> tuple[int, int]:
    """By how many samples `a` must move to fit `b` best."""
    inner = slice(4, -4)
    errors = {
        (dy, dx): float(np.mean((np.roll(a, (dy, dx), (0, 1))[inner, inner] - b[inner, inner]) ** 2))
        for dy in range(-2, 3)
        for dx in range(-2, 3)
    }
    return min(errors, key=lambda shift: errors[shift])


async def test_what_is_not_wanted_any_more_is_aborted(page: Page, tiled_server: str) -> None:
    aborted: list[str] = []
    page.on("requestfailed", lambda request: aborted.append(f"{request.failure}"))
    await page.goto(f"{tiled_server}/view/slide.zarr")
    await settled(page)
    await page.evaluate("firstlight.setPrecision('exact')")
    await settled(page)
    await chromium.throttle(page, megabits=1, milliseconds=60)
    await set_view(page, x=500, y=2600, scale=1)
    await chromium.until(page, "firstlight.stats().pendingRequests > 0")
    await page.wait_for_timeout(300)
    begun = (await stats(page))["bytes"]
    await set_view(page, x=1800, y=400, scale=1)
    await settled(page)
    assert aborted
    assert all("ERR_ABORTED" in failure for failure in aborted)
    assert (await stats(page))["bytes"] - begun < 1.5e6
    where, (samples,) = await pixels(page)
    y, x = where["y"], where["x"]
    assert np.array_equal(samples, source("slide")[y : y + where["height"], x : x + where["width"]])


async def test_mouse_wheel_and_drag_move_the_picture(page: Page, firstlight_server: str) -> None:
    await page.goto(f"{firstlight_server}/view/slide.zarr")
    await settled(page)
    start = await page.evaluate("firstlight.getState()")
    await page.mouse.move(512, 384)
    for _ in range(4):
        await page.mouse.wheel(0, -200)
        await page.wait_for_timeout(80)
    await settled(page)
    zoomed = await page.evaluate("firstlight.getState()")
    assert zoomed["scale"] > 2 * start["scale"]
    await page.mouse.down()
    await page.mouse.move(412, 384, steps=6)
    await page.mouse.up()
    await page.wait_for_timeout(900)
    await settled(page)
    moved = await page.evaluate("firstlight.getState()")
    assert moved["x"] - zoomed["x"] >= 90 / zoomed["scale"]
    await page.get_by_role("button", name="Whole image").click()
    await page.wait_for_timeout(900)
    home = await page.evaluate("firstlight.getState()")
    assert home["scale"] == pytest.approx(start["scale"], rel=1e-3)


# -- channels and planes -----------------------------------------------------------------------------------------------


async def test_channels_add_up_through_their_contrast_limits(page: Page, firstlight_server: str) -> None:
    cells = source("cells")
    await page.goto(f"{firstlight_server}/view/cells.zarr")
    await page.evaluate("firstlight.ready")
    await page.evaluate("firstlight.setPrecision('exact')")
    await set_view(page, x=175, y=175, scale=2)
    colours = ["#ff0000", "#00ff00", "#0000ff"]
    limits = [(100, 500), (120, 480), (0, 4000)]
    await page.evaluate(
        "(changes) => firstlight.setChannels(changes)",
        [{"color": c, "window": w, "visible": True} for c, w in zip(colours, limits, strict=True)],
    )
    await settled(page)
    _, data = await pixels(page)
    for channel, samples in enumerate(data):
        assert np.array_equal(samples, cells[channel])
    light = [np.clip((cells[c].astype(float) - lo) / (hi - lo), 0, 1) * 255 for c, (lo, hi) in enumerate(limits)]
    expected = np.stack(light, axis=2).repeat(2, axis=0).repeat(2, axis=1)
    shown = (await canvas(page))[384 - 350 : 384 + 350, 512 - 350 : 512 + 350]
    assert np.abs(shown - expected).max() <= 1.01

    await page.get_by_role("checkbox", name="Show Channel 2").uncheck()
    await settled(page)
    shown = (await canvas(page))[384 - 350 : 384 + 350, 512 - 350 : 512 + 350]
    assert shown[..., 1].max() == 0
    assert np.abs(shown[..., 0] - expected[..., 0]).max() <= 1.01

    await page.get_by_label("Lowest value shown of Channel 1, as a number").fill("300")
    await page.keyboard.press("Enter")
    await settled(page)
    shown = (await canvas(page))[384 - 350 : 384 + 350, 512 - 350 : 512 + 350]
    narrow = np.clip((cells[0].astype(float) - 300) / 200, 0, 1).repeat(2, axis=0).repeat(2, axis=1) * 255
    assert np.abs(shown[..., 0] - narrow).max() <= 1.01


async def test_z_slider_steps_through_the_planes_without_a_blank(page: Page, firstlight_server: str) -> None:
    stack = source("stack")
    planes = stack if stack.shape[0] == 45 else stack.swapaxes(0, 1)
    await page.add_init_script(WATCH)
    await page.goto(f"{firstlight_server}/view/stack.zarr")
    await page.evaluate("firstlight.ready")
    await page.evaluate("firstlight.setPrecision('exact')")
    await settled(page)
    start = (await page.evaluate("firstlight.getState()"))["z"]
    await page.evaluate("window.frames.length = 0")
    slider = page.get_by_role("slider", name="Plane along z")
    await slider.focus()
    for _ in range(5):
        await page.keyboard.press("ArrowRight")
        await settled(page)
    assert (await page.evaluate("firstlight.getState()"))["z"] == start + 5
    _, data = await pixels(page)
    for channel, samples in enumerate(data):
        assert np.array_equal(samples, planes[start + 5, channel])
    frames = [decode(url) for url in await page.evaluate("window.frames")]
    assert len(frames) >= 5
    assert min(int(frame.max()) for frame in frames) > 60, "a blank frame between two planes"


async def test_signed_samples(page: Page, firstlight_server: str) -> None:
    await page.goto(f"{firstlight_server}/view/ct.zarr")
    await page.evaluate("firstlight.ready")
    await page.evaluate("firstlight.setPrecision('exact')")
    await settled(page)
    _, (samples,) = await pixels(page)
    expected = source("ct")
    assert np.array_equal(samples, expected)
    await page.evaluate("firstlight.setChannels([{ color: '#ffffff', window: [-1000, 2000] }])")
    await set_view(page, x=64, y=64, scale=4)
    await settled(page)
    shown = (await canvas(page))[384 - 256 : 384 + 256, 512 - 256 : 512 + 256, 0]
    light = np.clip((expected.astype(float) + 1000) / 3000, 0, 1).repeat(4, axis=0).repeat(4, axis=1) * 255
    assert np.abs(shown - light).max() <= 1.01


# -- a static host -----------------------------------------------------------------------------------------------------


async def test_static_host(page: Page, tiled: Path, nginx: Callable[[Path], str], tmp_path: Path) -> None:
    """The bundle and the image as plain files behind nginx, no server of ours."""
    site = tmp_path / "site"
    shutil.copytree(DIST, site / "viewer")
    shutil.copytree(tiled / "slide.zarr", site / "images" / "slide.zarr")
    base = nginx(site)
    await page.goto(f"{base}/viewer/index.html?src=../images/slide.zarr")
    await page.evaluate("firstlight.ready")
    await page.evaluate("firstlight.setPrecision('exact')")
    await set_view(page, x=1300, y=900, scale=1)
    await settled(page)
    where, (samples,) = await pixels(page)
    y, x = where["y"], where["x"]
    assert np.array_equal(samples, source("slide")[y : y + where["height"], x : x + where["width"]])


# -- what goes wrong ---------------------------------------------------------------------------------------------------


async def alert(page: Page) -> str:
    found = page.get_by_role("alert").first
    await found.wait_for(timeout=20_000)
    return await found.inner_text()


@pytest.fixture
async def faulty(browser: BrowserContext) -> Page:
    """A page whose console may complain."""
    return await browser.new_page()


async def test_missing_image(faulty: Page, nginx: Callable[[Path], str], tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(DIST, site)
    base = nginx(site)
    await faulty.goto(f"{base}/index.html?src=nowhere.zarr")
    message = await alert(faulty)
    assert "There is no such image" in message
    assert f"{base}/nowhere.zarr/zarr.json" in message


async def test_host_without_cors(faulty: Page, firstlight_server: str, tiled: Path) -> None:
    runner = web.AppRunner(create_app(tiled, allow_origin="https://elsewhere.example"))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        await faulty.goto(f"{firstlight_server}/assets/index.html?src=http://{host}:{port}/data/slide.zarr")
        message = await alert(faulty)
    finally:
        await runner.cleanup()
    assert "No connection to the image" in message
    assert "Access-Control-Allow-Origin" in message


async def test_damaged_shard_is_told_and_the_rest_shown(
    faulty: Page, images: Path, nginx: Callable[[Path], str], tmp_path: Path
) -> None:
    site = tmp_path / "site"
    shutil.copytree(DIST, site)
    shutil.copytree(images / "photo.zarr", site / "photo.zarr")
    shard = next((site / "photo.zarr" / "0").rglob("0/0/0"))
    data = bytearray(shard.read_bytes())
    index = codecs.Index.parse(bytes(data))
    segment = max(range(index.segments), key=index.length)
    data[int(index.offsets[segment]) + 50] ^= 8
    shard.write_bytes(data)
    base = nginx(site)
    await faulty.goto(f"{base}/index.html?src=photo.zarr")
    await faulty.evaluate("firstlight.ready")
    await faulty.evaluate("firstlight.setPrecision('exact')")
    await set_view(faulty, x=384, y=256, scale=1)
    message = await alert(faulty)
    assert "Part of the image is damaged" in message
    assert f"segment {segment}" in message
    await settled(faulty)
    found = await stats(faulty)
    assert not found["exact"]
    assert 0 < found["error"] < 255
    _, (samples,) = await pixels(faulty)
    expected = np.asarray(Image.open(DATA / SOURCES["photo"]))
    assert psnr(samples.astype(np.uint8), expected[: samples.shape[0], : samples.shape[1]]) > 35


async def test_missing_shard_is_fill_value(faulty: Page, tiled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "holes"
    shutil.copytree(tiled / "slide.zarr", folder / "slide.zarr")
    (folder / "slide.zarr" / "0" / "c" / "0" / "2" / "2").unlink()
    with servers.firstlight(folder, tmp_path / "holes.log") as url:
        await faulty.goto(f"{url}/view/slide.zarr")
        await faulty.evaluate("firstlight.ready")
        await faulty.evaluate("firstlight.setPrecision('exact')")
        await set_view(faulty, x=1280, y=1280, scale=1)
        await settled(faulty)
        where, (samples,) = await pixels(faulty)
        assert (await stats(faulty))["exact"]
        y, x = where["y"], where["x"]
        expected = source("slide").copy()
        expected[1024:1536, 1024:1536] = 0
        assert np.array_equal(samples, expected[y : y + where["height"], x : x + where["width"]])


async def test_slow_server_errors_are_tried_again(browser: BrowserContext, firstlight_server: str) -> None:
    page = await browser.new_page()
    failed = 0

    async def sometimes(route: Route) -> None:
        nonlocal failed
        if failed < 2:
            failed += 1
            await route.fulfill(status=503)
        else:
            await route.continue_()

    await page.route("**/data/slide.zarr/0/c/**", sometimes)
    await page.goto(f"{firstlight_server}/view/slide.zarr")
    await settled(page)
    assert failed == 2
    assert math.isfinite((await stats(page))["error"])


async def test_a_browser_without_webgl_is_told(browser: BrowserContext, firstlight_server: str) -> None:
    page = await browser.new_page()
    await page.add_init_script("""
        const get = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
          return kind === "webgl2" ? null : get.call(this, kind, ...rest);
        };
    """)
    await page.goto(f"{firstlight_server}/view/slide.zarr")
    assert "This browser can not draw the image" in await alert(page)


async def test_two_viewers_come_and_go(page: Page, firstlight_server: str) -> None:
    """destroy() leaves nothing behind; a page may hold several viewers."""
    await page.goto(f"{firstlight_server}/view/photo.zarr")
    await settled(page)
    await page.evaluate("""async () => {
        const { createViewer } = await import(document.querySelector("script[type=module]").src);
        firstlight.destroy();
        if (document.querySelector(".fl-viewer")) throw new Error("something is left");
        const src = new URL(document.body.dataset.image, location.href).href;
        window.second = createViewer(document.body, { src, ui: false });
        await second.ready;
        await new Promise((resolve) => second.on("settled", resolve));
        if (document.querySelector(".fl-status")) throw new Error("no user interface was asked for");
        second.destroy();
    }""")


async def test_graphics_reset_is_survived_without_fetching_again(page: Page, firstlight_server: str) -> None:
    await page.goto(f"{firstlight_server}/view/photo.zarr")
    await settled(page)
    before = await canvas(page)
    requests = (await stats(page))["requests"]
    await page.evaluate("""async () => {
        const canvas = document.querySelector(".fl-stage .openseadragon-canvas canvas");
        const extension = canvas.getContext("webgl2").getExtension("WEBGL_lose_context");
        const restored = new Promise((resolve) => canvas.addEventListener("webglcontextrestored", resolve));
        extension.loseContext();
        setTimeout(() => extension.restoreContext(), 300);
        await restored;
    }""")
    await settled(page)
    assert np.array_equal(await canvas(page), before)
    assert (await stats(page))["requests"] == requests


async def test_a_turned_picture_lies_where_overlays_are(page: Page, firstlight_server: str) -> None:
    """OpenSeadragon's coordinates, which overlays use, agree with what is drawn; also turned and mirrored."""
    await page.goto(f"{firstlight_server}/view/photo.zarr")
    await page.evaluate("firstlight.ready")
    await page.evaluate("firstlight.setPrecision('exact')")
    expected = np.asarray(Image.open(DATA / SOURCES["photo"]))
    for degrees, flipped in ((90, False), (270, False), (90, True), (0, True)):
        await page.evaluate(
            """([degrees, flipped]) => {
                const { viewport } = firstlight.host.viewer;
                viewport.setRotation(degrees, true);
                viewport.setFlip(flipped);
                firstlight.setView({ x: 384, y: 256, scale: 4 });
            }""",
            [degrees, flipped],
        )
        await settled(page)
        shown = await canvas(page)
        for x, y in ((384, 256), (400, 230), (330, 290)):
            at = await page.evaluate(
                """([x, y]) => {
                    const item = firstlight.host.viewer.world.getItemAt(0);
                    const pixel = firstlight.host.viewer.viewport.getCenter();
                    [pixel.x, pixel.y] = [x + 0.5, y + 0.5];
                    const point = item.imageToViewerElementCoordinates(pixel);
                    return [point.x, point.y];
                }""",
                [x, y],
            )
            # OpenSeadragon mirrors overlays as a whole: its coordinates are those before.
            column, row = round((1024 - at[0] if flipped else at[0]) - 0.5), round(at[1] - 0.5)
            assert np.abs(shown[row, column].astype(int) - expected[y, x]).max() <= 1, (degrees, flipped, x, y)
