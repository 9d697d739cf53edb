"""Fixtures that several folders of tests share. A missing tool fails the test: nothing is skipped."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page

from support import chromium, servers
from support.images import DATA, ingest_all


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real images as they come (read only)."""
    return DATA


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ingested real images: slide.zarr, photo.zarr, cells.zarr, stack.zarr, ct.zarr (read only)."""
    return ingest_all(tmp_path_factory.mktemp("images"))


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """nginx(folder) serves a folder as a plain static host with ranges and CORS, and gives the base URL."""
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(servers.nginx(folder, tmp_path / f"nginx-{folder.name}"))


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[servers.S3]:
    """An empty bucket of a real S3 server, with keys."""
    with servers.s3(tmp_path / "s3", tmp_path / "s3.log") as server:
        yield server


@pytest.fixture
def firstlight_server(images: Path, tmp_path: Path) -> Iterator[str]:
    """`firstlight serve` on the folder of ingested images, as a child process; the base URL."""
    with servers.firstlight(images, tmp_path / "serve.log") as url:
        yield url


@pytest.fixture
async def browser() -> AsyncIterator[BrowserContext]:
    """Headless Chromium, 1024 x 768."""
    async with chromium.browser() as context:
        yield context


@pytest.fixture
async def page(browser: BrowserContext) -> AsyncIterator[Page]:
    """A blank page; the test fails when the page has thrown or logged an error."""
    page = await browser.new_page()
    complaints = chromium.Complaints(page)
    yield page
    assert complaints.seen == []
