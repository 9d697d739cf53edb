"""web/nginx.conf.example: a plain static host gives scripts of other origins what the viewer needs."""

import os
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

import firstlight

EXPOSED = {"Content-Range", "Content-Length", "ETag", "Accept-Ranges"}


@pytest.fixture
def host(nginx: Callable[[Path], str], tmp_path: Path) -> str:
    folder = tmp_path / "images"
    (folder / "some.zarr").mkdir(parents=True)
    (folder / ".some.zarr.partial-1").mkdir()
    (folder / "some.zarr" / "object").write_bytes(bytes(range(256)) * 4)
    for place in ("some.zarr", ".some.zarr.partial-1"):
        (folder / place / "zarr.json").write_text("{}")
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "kernels.wasm").write_bytes(b"\0asm")
    return nginx(folder)


def check_cors(response: aiohttp.ClientResponse) -> None:
    # Exactly once: browsers refuse "*, *".
    assert response.headers.getall("Access-Control-Allow-Origin") == ["*"]
    assert set(response.headers["Access-Control-Expose-Headers"].split(", ")) == EXPOSED


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [("bytes=10-19", 206, 10), ("bytes=-5", 206, 5), ("bytes=1000-", 206, 24), ("bytes=5000-", 416, None)],
)
async def test_ranges(host: str, asked: str, status: int, expected: int | None) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{host}/some.zarr/object", headers={"Range": asked, "Origin": "https://a.example"}) as response,
    ):
        assert response.status == status
        check_cors(response)
        if expected is not None:
            assert len(await response.read()) == expected
            assert response.headers["Content-Range"].endswith("/1024")
            assert response.headers["ETag"].startswith('"')


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("some.zarr/object", 200, "application/octet-stream"),
        ("some.zarr/zarr.json", 200, "application/json; charset=utf-8"),
        ("kernels.wasm", 200, "application/wasm"),
        ("", 200, "text/html; charset=utf-8"),
        ("some.zarr/missing", 404, None),
        ("some.zarr", 404, None),
        (".some.zarr.partial-1/zarr.json", 404, None),
    ],
)
async def test_objects(host: str, path: str, status: int, kind: str | None) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{host}/{path}") as response:
        assert response.status == status
        check_cors(response)
        assert response.headers["Cache-Control"] == "no-cache"
        if kind is not None:
            assert response.headers["Content-Type"] == kind


async def test_preflight_and_preconditions(host: str) -> None:
    url = f"{host}/some.zarr/object"
    async with aiohttp.ClientSession() as session:
        async with session.options(url) as response:
            assert response.status == 204
            assert response.headers.getall("Access-Control-Allow-Origin") == ["*"]
            assert "If-Match" in response.headers["Access-Control-Allow-Headers"]
            assert int(response.headers["Access-Control-Max-Age"]) >= 600
        async with session.get(url, headers={"If-Match": '"another"'}) as response:
            assert response.status == 412
            check_cors(response)
        async with session.head(url) as response:
            etag = response.headers["ETag"]
        async with session.get(url, headers={"If-None-Match": etag}) as response:
            assert response.status == 304
            check_cors(response)


def test_an_image_reads_the_same(nginx: Callable[[Path], str], images: Path) -> None:
    local = firstlight.open(images / "cells.zarr")
    remote = firstlight.open(f"{nginx(images)}/cells.zarr")
    assert (remote[0] == local[0]).all()
    assert os.path.basename(remote.store.url.rstrip("/")) == "cells.zarr"
