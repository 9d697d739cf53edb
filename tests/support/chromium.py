"""Headless Chromium by Playwright, drawing WebGL2 in software: the same picture on every machine."""

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import BrowserContext, ConsoleMessage, Page, async_playwright

from .processes import tool

FLAGS = [
    "--headless=new",
    "--no-sandbox",  # root, as in containers and CI, has no sandbox
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--force-color-profile=srgb",
]


@asynccontextmanager
async def browser(width: int = 1024, height: int = 768) -> AsyncIterator[BrowserContext]:
    """A browser with a fresh profile and one viewport size (CSS pixels = device pixels)."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        async with async_playwright() as playwright:
            context = await playwright.chromium.launch_persistent_context(
                profile,
                executable_path=tool("chromium"),
                headless=True,
                ignore_default_args=["--headless", "--hide-scrollbars", "--mute-audio"],
                args=FLAGS,
                viewport={"width": width, "height": height},
                device_scale_factor=1,
            )
            try:
                yield context
            finally:
                await context.close()


class Complaints:
    """Uncaught errors and console errors of a page: a test that sees one fails."""

    def __init__(self, page: Page) -> None:
        self.seen: list[str] = []
        page.on("pageerror", lambda error: self.seen.append(f"uncaught: {error}"))
        page.on("console", self._console)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.seen.append(message.text)


async def until(page: Page, expression: str, seconds: float = 30.0) -> None:
    """Wait until a JavaScript expression is true (Playwright's own wait needs eval, which the viewer forbids)."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await page.evaluate(expression):
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{page.url}: not true within {seconds:g} s: {expression}")
        await asyncio.sleep(0.05)


async def throttle(page: Page, megabits: float, milliseconds: float) -> None:
    """Give the page a line of so many Mbit/s, both ways, and that latency for each request."""
    session = await page.context.new_cdp_session(page)
    await session.send("Network.enable")
    rate = megabits * 1e6 / 8
    conditions = {"offline": False, "latency": milliseconds, "downloadThroughput": rate, "uploadThroughput": rate}
    await session.send("Network.emulateNetworkConditions", conditions)


def version() -> str:
    """As Chromium names itself."""
    done = subprocess.run([tool("chromium"), "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
