"""The codec's benchmark page in a real browser: it runs and gives numbers. How large they are is not asserted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from firstlight import codecs
from support import chromium, servers
from support.pictures import picture

DIST = servers.ROOT / "codecs" / "js" / "dist"


@pytest.fixture
def address(nginx: Callable[[Path], str]) -> str:
    """The built page on a static host."""
    if not (DIST / "bench.html").exists():
        pytest.fail(f"{DIST}/bench.html: the codec is not built; run make")
    return f"{nginx(DIST)}/bench.html?seconds=0.05"


def check(shard: dict[str, Any], cores: int) -> None:
    """That all four tasks were measured by one worker and by all."""
    assert len(shard["tasks"]) == 4
    for task in shard["tasks"]:
        assert [rate["workers"] for rate in task["rates"]] == sorted({1, cores})
        for rate in task["rates"]:
            assert rate["rate"] > 0
            assert rate["pictures"] >= rate["workers"]
            assert rate["rate"] == pytest.approx(rate["pictures"] * task["samples"] / rate["seconds"] / 1e6)


async def test_it_measures_its_sample_and_files(page: Page, address: str, tmp_path: Path) -> None:
    await page.goto(address)
    await chromium.until(page, "window.results !== undefined", 120)
    found = await page.evaluate("window.results")
    (sample,) = found["shards"]
    assert (sample["shard"], sample["bytes"]) == ("sample.fls", (DIST / "sample.fls").stat().st_size)
    check(sample, found["cores"])

    shard = codecs.encode(picture("smooth", (90, 120), "uint16", 1))
    (tmp_path / "mine.fls").write_bytes(shard)
    (tmp_path / "other.txt").write_text("This is no shard, but a line of a text that somebody wrote.")
    await page.set_input_files("#files", [tmp_path / "mine.fls", tmp_path / "other.txt"])
    await chromium.until(page, "document.querySelector('#state').className === 'error'", 120)
    assert "other.txt: " in await page.locator("#state").inner_text()
    mine = (await page.evaluate("window.results"))["shards"][1]
    assert (mine["shard"], mine["bytes"], mine["shape"]) == ("mine.fls", len(shard), [90, 120])
    check(mine, found["cores"])
    assert await page.locator("tbody tr").count() == 8
