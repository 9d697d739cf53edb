"""The web server for real: stored objects, hostile paths, catalogue, viewer page, thumbnails, its life."""

import asyncio
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

import firstlight
from firstlight.web import background, catalogue, create_app, run, stored, thumbnails

SECRET = b"this is outside of the served folder"
UNFINISHED = b"this image is not finished"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Content-Range, Content-Length, ETag, Accept-Ranges",
}
Client = TestClient[aiohttp.web.Request, aiohttp.web.Application]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Objects to serve, with secrets all around them."""
    base = tmp_path_factory.mktemp("served")
    root = base / "root"
    image = root / "some.zarr"
    (image / "0" / "c").mkdir(parents=True)
    (image / "0" / "c" / "0").write_bytes(random.Random(0).randbytes(3_000_000))
    (image / "small").write_bytes(bytes(range(100)))
    (image / "empty").write_bytes(b"")
    (image / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    (image / "ä b%20+#?.bin").write_bytes(b"strange name")
    (base / "secret").write_bytes(SECRET)
    (base / "rooted").mkdir()
    (base / "rooted" / "secret").write_bytes(SECRET)
    partial = root / ".some.zarr.partial-1a2b"
    partial.mkdir()
    (partial / "zarr.json").write_bytes(UNFINISHED)
    (root / ".env").write_bytes(SECRET)
    for name, target in {
        "out": base,
        "etc": Path("/etc"),
        "file": base / "secret",
        "unfinished": partial,
        "relative": Path("../secret"),
        "self": Path("self"),
    }.items():
        (root / name).symlink_to(target)
    (root / "alias.zarr").symlink_to("some.zarr")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[Client]:
    async with TestClient(TestServer(create_app(folder))) as client:
        yield client


@pytest.fixture
async def gallery(images: Path) -> AsyncIterator[Client]:
    async with TestClient(TestServer(create_app(images))) as client:
        yield client


@pytest.fixture
def address(folder: Path) -> Iterator[tuple[str, int]]:
    with background(folder) as url:
        parts = urlsplit(url)
        yield str(parts.hostname), int(parts.port or 0)


def raw(address: tuple[str, int], target: bytes, headers: bytes = b"", method: bytes = b"GET") -> tuple[int, bytes]:
    """(status, everything that came) of a request as no client library would send it; status 0: just closed."""
    with socket.create_connection(address, timeout=10) as line:
        line.sendall(method + b" " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n")
        got = b""
        while part := line.recv(65536):
            got += part
    return (int(got.split(b" ", 2)[1]) if got.startswith(b"HTTP/") else 0), got


# ---- stored objects -------------------------------------------------------------------------------------------------

SIZE = 100


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        (None, 200, range(100)),
        ("bytes=0-0", 206, range(1)),
        ("bytes=10-19", 206, range(10, 20)),
        ("bytes=10-", 206, range(10, 100)),
        ("bytes=90-1000", 206, range(90, 100)),
        ("bytes=-7", 206, range(93, 100)),
        ("bytes=-1000", 206, range(100)),
        ("bytes=0-99", 206, range(100)),
        ("bytes=100-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=5-4", 200, range(100)),
        ("bytes=0-1,5-6", 200, range(100)),
        ("rows=0-1", 200, range(100)),
        ("nonsense", 200, range(100)),
    ],
)
async def test_ranges(client: Client, asked: str | None, status: int, expected: range | None) -> None:
    async with client.get("/data/some.zarr/small", headers={"Range": asked} if asked else {}) as response:
        body = await response.read()
        assert response.status == status
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers["ETag"].startswith('"')
        assert {name: response.headers[name] for name in CORS} == CORS
        if expected is None:
            assert response.headers["Content-Range"] == f"bytes */{SIZE}"
            return
        assert body == bytes(expected)
        assert response.headers["Content-Length"] == str(len(expected))
        assert response.headers["Content-Type"] == "application/octet-stream"
        if status == 206:
            assert response.headers["Content-Range"] == f"bytes {expected[0]}-{expected[-1]}/{SIZE}"
        else:
            assert "Content-Range" not in response.headers


async def test_large_bodies_come_in_chunks(client: Client, folder: Path) -> None:
    content = (folder / "some.zarr/0/c/0").read_bytes()
    async with client.get("/data/some.zarr/0/c/0") as response:
        assert await response.read() == content
        assert response.headers["Content-Length"] == str(len(content))
    async with client.get("/data/some.zarr/0/c/0", headers={"Range": "bytes=100-2500000"}) as response:
        assert response.status == 206
        assert await response.read() == content[100:2500001]


async def test_empty_object(client: Client) -> None:
    async with client.get("/data/some.zarr/empty") as response:
        assert (response.status, await response.read()) == (200, b"")
        assert response.headers["Content-Length"] == "0"
    async with client.get("/data/some.zarr/empty", headers={"Range": "bytes=0-"}) as response:
        assert response.status == 416


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": "{etag}"}, 304),
        ({"If-None-Match": "W/{etag}"}, 304),
        ({"If-None-Match": '"x", {etag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"'}, 200),
        ({"If-Modified-Since": "{date}"}, 304),
        ({"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 200),
        ({"If-None-Match": '"x"', "If-Modified-Since": "{date}"}, 200),
        ({"If-Match": "{etag}"}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"x"'}, 412),
        ({"If-Match": "W/{etag}"}, 412),
        ({"If-Match": '"x"', "Range": "bytes=0-1"}, 412),
        ({"If-Match": "{etag}", "Range": "bytes=0-1"}, 206),
        ({"If-Unmodified-Since": "{date}"}, 200),
        ({"If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 412),
        ({"If-Range": "{etag}", "Range": "bytes=0-1"}, 206),
        ({"If-Range": '"x"', "Range": "bytes=0-1"}, 200),
        ({"If-Range": "W/{etag}", "Range": "bytes=0-1"}, 200),
        ({"If-Range": "Sun, 06 Nov 1994 08:49:37 GMT", "Range": "bytes=0-1"}, 200),
        ({"If-None-Match": "{etag}", "Range": "bytes=0-1"}, 304),
    ],
)
async def test_preconditions(client: Client, headers: dict[str, str], status: int) -> None:
    async with client.head("/data/some.zarr/small") as response:
        known = {"etag": response.headers["ETag"], "date": response.headers["Last-Modified"]}
    sent = {name: value.format(**known) for name, value in headers.items()}
    async with client.get("/data/some.zarr/small", headers=sent) as response:
        body = await response.read()
        assert response.status == status
        assert response.headers["ETag"] == known["etag"]
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        if status == 304:
            assert body == b""
            assert "Content-Type" not in response.headers
        elif status == 412:
            assert known["etag"] in body.decode()


async def test_a_repeated_header_counts_whole(client: Client) -> None:
    async with client.head("/data/some.zarr/small") as response:
        etag = response.headers["ETag"]
    twice = [("If-None-Match", '"x"'), ("If-None-Match", etag)]
    async with client.get("/data/some.zarr/small", headers=twice) as response:
        assert response.status == 304
    async with client.get(
        "/data/some.zarr/small", headers=[("Range", "bytes=0-1"), ("Range", "bytes=5-6")]
    ) as response:
        assert response.status == 200


async def test_a_replaced_object_has_a_new_tag(client: Client, folder: Path) -> None:
    path = folder / "some.zarr/replaced"
    tags = set()
    for content in (b"one", b"two"):
        new = path.with_name("new")
        new.write_bytes(content)
        new.rename(path)
        async with client.get("/data/some.zarr/replaced") as response:
            assert await response.read() == content
            tags.add(response.headers["ETag"])
    path.unlink()
    assert len(tags) == 2
    async with client.get("/data/some.zarr/replaced", headers={"If-Match": tags.pop()}) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/data/some.zarr/small",
        "/data/some.zarr/0/c/0",
        "/data/some.zarr/empty",
        "/data/some.zarr/zarr.json",
        "/data/none",
        "/data/some.zarr",
        "/",
        "/images",
        "/healthz",
        "/none",
    ],
)
async def test_head_has_the_headers_of_get(client: Client, path: str) -> None:
    kept = []
    for method in ("HEAD", "GET"):
        async with client.request(method, path, headers={"Accept-Encoding": "identity"}) as response:
            body = await response.read()
            kept.append((response.status, {k: v for k, v in response.headers.items() if k != "Date"}))
            if method == "HEAD":
                assert body == b""
    assert kept[0] == kept[1]


async def test_head_ignores_ranges(client: Client) -> None:
    async with client.head("/data/some.zarr/small", headers={"Range": "bytes=0-1"}) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(SIZE))


@pytest.mark.parametrize("path", ["/data/some.zarr/small", "/data/none", "/images", "/view/x", "/none"])
async def test_preflight(client: Client, path: str) -> None:
    headers = {
        "Origin": "https://elsewhere.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "range,if-match",
    }
    async with client.options(path, headers=headers) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
        assert response.headers["Access-Control-Allow-Headers"] == "range,if-match"
        assert int(response.headers["Access-Control-Max-Age"]) >= 600


@pytest.mark.parametrize("path", ["/data/none", "/data/some.zarr/0/c/9/9", "/none", "/view/none", "/thumb/none"])
async def test_failures_have_cors_and_say_what_is_wrong(client: Client, path: str) -> None:
    async with client.get(path) as response:
        text = await response.text()
        assert response.status == 404
        assert {name: response.headers[name] for name in CORS} == CORS
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert text.count("\n") == 1
        assert "none" in text or "9/9" in text
    async with client.get(path, headers={"Accept": "application/json"}) as response:
        answer = await response.json()
        assert answer == {"status": 404, "error": text.strip()}


async def test_only_reading(client: Client) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        async with client.request(method, "/data/some.zarr/small") as response:
            assert response.status == 405
            assert response.headers["Allow"] == "GET, HEAD, OPTIONS"
            assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_caching(client: Client) -> None:
    for path in ("some.zarr/zarr.json", "some.zarr/small"):
        async with client.get(f"/data/{path}") as response:
            assert response.headers["Cache-Control"] == "no-cache"
            assert "Content-Encoding" not in response.headers


async def test_one_origin(folder: Path) -> None:
    app = create_app(folder, allow_origin="https://lab.example")
    async with TestClient(TestServer(app)) as client, client.get("/images") as response:
        assert response.headers["Access-Control-Allow-Origin"] == "https://lab.example"


def test_strange_names(address: tuple[str, int]) -> None:
    status, got = raw(address, b"/data/some.zarr/%C3%A4%20b%2520+%23%3F.bin")
    assert status == 200
    assert got.endswith(b"strange name")


async def test_links(client: Client) -> None:
    async with client.get("/data/alias.zarr/small") as response:
        assert await response.read() == bytes(range(100))
    for path in ("out/secret", "etc/passwd", "file", "relative", "self", "unfinished/zarr.json", "pipe"):
        async with client.get(f"/data/{path}") as response:
            assert response.status == 404, path


async def test_a_stalled_client_costs_little(address: tuple[str, int]) -> None:
    """The server does not read ahead of a client that takes nothing, and goes on serving others."""
    with socket.create_connection(address) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.sendall(b"GET /data/some.zarr/0/c/0 HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.2)
        status, _ = await asyncio.to_thread(raw, address, b"/data/some.zarr/small")
        assert status == 200


async def test_an_object_that_shrinks_breaks_the_connection(folder: Path) -> None:
    path = folder / "some.zarr/shrinking"
    path.write_bytes(bytes(64 << 20))
    with background(folder) as url:
        async with aiohttp.ClientSession(read_bufsize=1024) as session:
            async with session.get(url + "data/some.zarr/shrinking") as response:
                await response.content.readexactly(10)
                os.truncate(path, 10)
                with pytest.raises(aiohttp.ClientError):
                    await response.read()
            async with session.get(url + "healthz") as response:
                assert response.status == 200
    path.unlink()


# ---- hostile paths --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        b"/data/../secret",
        b"/data/../../secret",
        b"/data/some.zarr/../../secret",
        b"/data/%2e%2e/secret",
        b"/data/%2e%2e%2fsecret",
        b"/data/..%2fsecret",
        b"/data/..%5csecret",
        b"/data/..\\secret",
        b"/data/%252e%252e/secret",
        b"/data//etc/passwd",
        b"/data/%2fetc%2fpasswd",
        b"/data/some.zarr//small",
        b"/data/./some.zarr/small",
        b"/data/some.zarr/./small",
        b"/data/some.zarr/small/",
        b"/data/some.zarr/small%00",
        b"/data/some.zarr/small%00.json",
        b"/data/.some.zarr.partial-1a2b/zarr.json",
        b"/data/%2esome.zarr.partial-1a2b/zarr.json",
        b"/data/some.zarr/../.some.zarr.partial-1a2b/zarr.json",
        b"/data/.env",
        b"/data/../rooted/secret",
        b"/data/out/secret",
        b"/data/some.zarr",
        b"/data/some.zarr/",
        b"/data/",
        b"/data",
        b"/data/%ff%fe",
        b"/data/%c0%ae%c0%ae/secret",
        b"/data/" + b"a/" * 3000,
        b"/data/" + b"a" * 5000,
        b"/view/../secret",
        b"/view/%2e%2e",
        b"/view/out",
        b"/view/unfinished",
        b"/view/.some.zarr.partial-1a2b",
        b"/thumb/..%2f..%2fetc",
        b"/thumb/%00",
        b"/assets/../server.py",
        b"/assets/..%2fserver.py",
        b"/assets/%2e%2e/server.py",
        b"/assets/",
    ],
)
def test_hostile_paths(address: tuple[str, int], target: bytes) -> None:
    status, got = raw(address, target)
    assert 400 <= status < 500, got[:200]
    assert SECRET not in got
    assert UNFINISHED not in got
    assert b"root:x:" not in got


def test_a_thousand_hostile_paths(address: tuple[str, int]) -> None:
    """Random mixtures: never a failure of the server, never a byte from outside."""
    luck = random.Random(20261122)
    parts = [
        b"..", b".", b"", b"/", b"\\", b"%2e%2e", b"%2f", b"%5c", b"%00", b"%0d%0a", b"%", b"%zz", b"%ff", b"%u002e",
        b"some.zarr", b"small", b"zarr.json", b"secret", b"root", b"rooted", b"out", b"etc", b"passwd", b"self",
        b"file", b"unfinished", b".some.zarr.partial-1a2b", b".env", b"pipe", b"?", b"#", b";", b"a" * 300, b"\xc3\xa4",
        b"\x01", b"~", b"*", b"%E2%80%AE", b"http://", b"//", b"file:///etc/passwd", b"CON", b"$(id)", b"\xff", b"'",
    ]  # fmt: skip
    starts = [b"/data/", b"/view/", b"/thumb/", b"/assets/", b"/", b"", b"/data//", b"//data/", b"http://x/data/"]
    methods = [b"GET", b"GET", b"GET", b"HEAD", b"OPTIONS", b"POST"]
    for _ in range(1000):
        count = luck.randrange(1, 9)
        target = luck.choice(starts) + luck.choice([b"/", b"", b"%2f"]).join(luck.choices(parts, k=count))
        status, got = raw(address, target.replace(b" ", b"") or b"/", method=luck.choice(methods))
        assert status < 500, (target, got[:300])
        assert SECRET not in got, target
        assert UNFINISHED not in got, target
        assert b"root:x:" not in got, target
    assert raw(address, b"/healthz")[0] == 200


@pytest.mark.parametrize(
    "name", [b"Range", b"If-Range", b"If-None-Match", b"If-Match", b"If-Modified-Since", b"Accept"]
)
def test_hostile_headers(address: tuple[str, int], name: bytes) -> None:
    values = [b"bytes=" + b"9" * 4000 + b"-", b"bytes=0-" + b"0-" * 3000, b'"' * 5000, b"\xff" * 100, b",;q=,=;" * 100]
    values += [b"Sun, 99 Nov 99999999999999 99:99:99 GMT", b"W/" * 1000, b"application/json;q=nan", b"-1", b""]
    for value in values:
        for target in (b"/data/some.zarr/small", b"/data/none", b"/images", b"/thumb/none"):
            status, got = raw(address, target, name + b": " + value + b"\r\n")
            assert 0 < status < 500, (value, got[:200])


# ---- catalogue, viewer, thumbnails ----------------------------------------------------------------------------------


def image_folders(images: Path) -> list[Path]:
    return sorted(images.glob("*.zarr"))


async def test_catalogue_as_json(gallery: Client, images: Path) -> None:
    async with gallery.get("/images") as response:
        assert response.headers["Content-Type"].startswith("application/json")
        found = {image["id"]: image for image in (await response.json())["images"]}
    assert set(found) == {path.name for path in image_folders(images)}
    slide = found["slide.zarr"]
    image = firstlight.open(images / "slide.zarr")
    assert slide["readable"] is True
    assert (tuple(slide["shape"]), slide["dtype"], slide["rgb"]) == (image.shape, "uint8", True)
    assert (slide["name"], slide["levels"]) == (image.name, len(image.levels))
    assert slide["axes"] == ["c", "y", "x"]
    for kind in ("data", "view", "thumbnail"):
        tail = "/zarr.json" if kind == "data" else ""
        async with gallery.get("/" + slide[kind] + tail) as response:
            assert response.status == 200


async def test_catalogue_page(gallery: Client, images: Path) -> None:
    async with gallery.get("/") as response:
        page = await response.text()
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    for path in image_folders(images):
        assert f'href="view/{path.name}"' in page
        assert firstlight.open(path).name in page
    assert "uint16" in page
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert all(not a.startswith(("/", "http")) for a in addresses)
    for thumb in [a.replace("&amp;", "&") for a in addresses if a.startswith("thumb/")]:
        async with gallery.get("/" + thumb) as response:
            assert response.status == 200
            assert "immutable" in response.headers["Cache-Control"]


async def test_catalogue_follows_the_folder(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "RESCAN_SECONDS", 0.0)
    root = tmp_path / "<b>root</b>"
    deep = root / "a" / "b" / "c"
    deep.mkdir(parents=True)

    async def ids(client: Client) -> dict[str, bool]:
        async with client.get("/images") as response:
            return {image["id"]: image["readable"] for image in (await response.json())["images"]}

    async with TestClient(TestServer(create_app(root))) as client:
        assert await ids(client) == {}
        async with client.get("/") as response:
            page = await response.text()
            assert "No images" in page
            assert "<b>" not in page
        shutil.copytree(images / "photo.zarr", deep / "photo.zarr")
        shutil.copytree(images / "photo.zarr", root / ".photo.zarr.partial-1")
        shutil.copytree(images / "photo.zarr", root / "photo.zarr" / "nested.zarr")  # a plain folder around an image
        (root / "broken.zarr").mkdir()
        metadata = root / "broken.zarr" / "zarr.json"
        good = {"a/b/c/photo.zarr": True, "photo.zarr/nested.zarr": True}
        for text in ('{"a": ', "[]", "[" * 100_000, "\ud800".encode("utf-8", "surrogatepass")):
            metadata.write_bytes(text if isinstance(text, bytes) else text.encode())
            assert await ids(client) == {**good, "broken.zarr": False}
            async with client.get("/") as response:
                page = await response.text()
                assert response.status == 200
                assert "Unreadable" in page
        document = json.loads((images / "photo.zarr" / "zarr.json").read_bytes())
        document["consolidated_metadata"]["metadata"]["0"]["shape"] = [3, -1, "x"]
        document["attributes"]["ome"]["multiscales"][0]["name"] = "<script>alert(1)</script>"
        metadata.write_text(json.dumps(document))
        assert await ids(client) == {**good, "broken.zarr": False}
        async with client.get("/view/broken.zarr") as response:
            assert response.status == 500
            assert "shape" in await response.text()
        # Somebody else's Zarr is not ours to list.
        metadata.write_text('{"zarr_format": 3, "node_type": "array"}')
        assert await ids(client) == good
        shutil.rmtree(deep / "photo.zarr")
        assert await ids(client) == {"photo.zarr/nested.zarr": True}


def test_a_busy_page_does_not_mean_a_busy_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    found = catalogue.Catalogue(stored.real_root(folder))
    monkeypatch.setattr(found, "_walk", lambda *arguments: looks.append(arguments))
    for _ in range(100):
        found.entries()
    assert len(looks) == 1


async def test_the_root_may_be_an_image(images: Path) -> None:
    async with TestClient(TestServer(create_app(images / "photo.zarr"))) as client:
        async with client.get("/images") as response:
            (image,) = (await response.json())["images"]
        assert image["id"] == ""
        assert (image["view"], image["thumbnail"], image["data"]) == ("view", "thumb", "data")
        for path in ("/view", "/view/", "/thumb", "/thumb/", "/data/zarr.json", "/"):
            async with client.get(path) as response:
                assert response.status == 200, path


@pytest.mark.parametrize(
    ("path", "up"),
    [("/view/photo.zarr", "../"), ("/view/photo.zarr/", "../../"), ("/view/folder/photo.zarr", "../../")],
)
async def test_viewer_page(images: Path, tmp_path: Path, path: str, up: str) -> None:
    shutil.copytree(images / "photo.zarr", tmp_path / "photo.zarr")
    shutil.copytree(images / "photo.zarr", tmp_path / "folder" / "photo.zarr")
    document = json.loads((tmp_path / "photo.zarr" / "zarr.json").read_bytes())
    document["attributes"]["ome"]["multiscales"][0]["name"] = "</script><!--<script>&amp;"
    for metadata in (tmp_path / "photo.zarr/zarr.json", tmp_path / "folder/photo.zarr/zarr.json"):
        metadata.write_text(json.dumps(document))
    async with TestClient(TestServer(create_app(tmp_path))) as client, client.get(path) as response:
        page = await response.text()
        assert response.status == 200
        policy = response.headers["Content-Security-Policy"]
    assert "'wasm-unsafe-eval'" in policy
    assert "worker-src 'self'" in policy
    inline = re.search(r'<script type="application/json" id="firstlight-metadata">(.*?)</script>', page, re.S)
    assert inline is not None
    assert json.loads(inline[1]) == document
    assert "<" not in inline[1]
    assert f'src="{up}assets/viewer.js"' in page
    assert f'data-image="{up}data{path.rstrip("/").removeprefix("/view")}"' in page
    assert not re.findall(r'(?:src|href)="(/|https?:)', page)


async def test_below_another_path(images: Path) -> None:
    outer = aiohttp.web.Application()
    outer.add_subapp("/some/where", create_app(images))
    async with TestClient(TestServer(outer)) as client:
        async with client.get("/some/where/view/photo.zarr") as response:
            assert 'src="../assets/viewer.js"' in await response.text()
        async with client.get("/some/where/data/photo.zarr/zarr.json") as response:
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("query", "side"),
    [("", 320), ("?size=100", 100), ("?size=1", 16), ("?size=16", 16), ("?size=99999", 768), ("?size=768", 768)],
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
async def test_thumbnails(gallery: Client, query: str, side: int, kind: str) -> None:
    headers = {"Accept": "image/avif,image/webp,image/*;q=0.8" if kind == "WEBP" else "*/*"}
    async with gallery.get(f"/thumb/photo.zarr{query}", headers=headers) as response:
        body = await response.read()
        assert response.status == 200
        assert response.headers["Content-Type"] == f"image/{kind.lower()}"
        assert response.headers["Vary"] == "Accept"
        etag = response.headers["ETag"]
    picture = Image.open(io.BytesIO(body))
    assert picture.format == kind
    assert max(picture.size) == side
    assert picture.size[0] / picture.size[1] == pytest.approx(1.5, abs=0.1)
    async with gallery.get(f"/thumb/photo.zarr{query}", headers={**headers, "If-None-Match": etag}) as response:
        assert (response.status, await response.read()) == (304, b"")


async def test_thumbnail_is_the_picture(gallery: Client, data: Path) -> None:
    async with gallery.get("/thumb/photo.zarr?size=256") as response:
        got = np.asarray(Image.open(io.BytesIO(await response.read())).convert("RGB")).astype(float)
    original = Image.open(data / "kodim23.png").convert("RGB").resize(got.shape[1::-1], Image.Resampling.LANCZOS)
    error = np.abs(got - np.asarray(original).astype(float)).mean()
    assert error < 5


@pytest.mark.parametrize("name", ["cells.zarr", "stack.zarr", "ct.zarr", "slide.zarr"])
async def test_thumbnails_of_all_kinds(gallery: Client, name: str) -> None:
    async with gallery.get(f"/thumb/{name}?size=64") as response:
        picture = np.asarray(Image.open(io.BytesIO(await response.read())))
    assert picture.ndim == 3
    assert picture.std() > 5


@pytest.mark.parametrize("size", ["0", "-1", "abc", "1.5", "1e3", "", "9999999999", "%00", "٣"])
async def test_thumbnail_sizes_that_are_none(gallery: Client, size: str) -> None:
    async with gallery.get(f"/thumb/photo.zarr?size={size}") as response:
        assert response.status == 400
        assert "size" in await response.text()


async def test_one_picture_is_rendered_once(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def slow(directory: str, size: int, kind: str) -> bytes:
        calls.append(size)
        time.sleep(0.2)
        return b"picture"

    monkeypatch.setattr(thumbnails, "picture", slow)
    async with TestClient(TestServer(create_app(images))) as client:

        async def get() -> bytes:
            async with client.get("/thumb/photo.zarr?size=111") as response:
                return await response.read()

        # The first one leaves: the others get their picture all the same.
        first = asyncio.create_task(get())
        await asyncio.sleep(0.1)
        first.cancel()
        assert await asyncio.gather(*(get() for _ in range(8))) == [b"picture"] * 8
    assert calls == [111]


async def test_the_cache_of_thumbnails_is_bounded(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "CACHE_BYTES", 1000)
    monkeypatch.setattr(thumbnails, "picture", lambda directory, size, kind: bytes(300))
    app = create_app(images)
    async with TestClient(TestServer(app)) as client:
        for size in range(100, 120):
            async with client.get(f"/thumb/photo.zarr?size={size}") as response:
                assert len(await response.read()) == 300
    assert len(app[thumbnails.THUMBNAILS]._done) == 3


@pytest.fixture
def damaged(images: Path, tmp_path: Path) -> Path:
    """A folder with one image whose shards are rubbish."""
    shutil.copytree(images / "photo.zarr", tmp_path / "photo.zarr")
    for shard in tmp_path.glob("photo.zarr/*/c/**/*"):
        if shard.is_file():
            shard.write_bytes(b"not a shard" * 1000)
    return tmp_path


async def test_a_damaged_image_has_no_thumbnail(damaged: Path) -> None:
    async with TestClient(TestServer(create_app(damaged))) as client, client.get("/thumb/photo.zarr") as response:
        assert response.status == 500
        assert "photo.zarr" in await response.text()


async def test_images_are_read_over_http_exactly(images: Path, data: Path) -> None:
    with background(images) as url:
        image = await asyncio.to_thread(firstlight.open, f"{url}data/photo.zarr")
        pixels = await asyncio.to_thread(image.read)
    assert np.array_equal(np.moveaxis(pixels, 0, -1), np.asarray(Image.open(data / "kodim23.png").convert("RGB")))


# ---- life -----------------------------------------------------------------------------------------------------------


def test_a_busy_port_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port}: another program listens there"):
            run(folder, "127.0.0.1", port)
    with pytest.raises(OSError, match=r"no\.such\.host\.invalid:80"):
        run(folder, "no.such.host.invalid", 80)
    with pytest.raises(OSError, match="99999"):
        run(folder, "127.0.0.1", 99999)


def test_the_root_must_be_a_folder(folder: Path) -> None:
    with pytest.raises(NotADirectoryError, match="nowhere"):
        create_app(folder / "nowhere")
    with pytest.raises(NotADirectoryError, match="expected a directory"):
        create_app(folder / "some.zarr/small")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A folder with one object that fills every buffer on the way."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 << 20)
    return tmp_path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("patient", [True, False])
def test_a_signal_ends_it(large: Path, number: signal.Signals, patient: bool) -> None:
    """Requests under way are finished, unless the client is slower than the drain time."""
    code = (
        "import sys; from firstlight.web import run; "
        "run(sys.argv[1], port=0, drain=float(sys.argv[2]), ready=lambda url: print(url, flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(large), "20" if patient else "0.5"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        parts = urlsplit(child.stdout.readline().strip())
        address = str(parts.hostname), int(parts.port or 0)
        with socket.create_connection(address, timeout=20) as line:
            line.sendall(b"GET /data/large HTTP/1.1\r\nHost: x\r\n\r\n")
            got = len(line.recv(1000))
            child.send_signal(number)
            if patient:
                time.sleep(0.3)
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(address).close()
                while part := line.recv(1 << 20):
                    got += len(part)
                assert got > 64 << 20
            assert child.wait(10) == 0
        assert child.stderr.read() == ""
