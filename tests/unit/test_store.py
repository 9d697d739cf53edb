"""tiler/store.py: the bytes that were asked for, or one clear error; against a scripted server and real ones."""

import contextlib
import http.server
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import MemoryStore

from firstlight.errors import NotFound, ObjectReplaced, StoreError
from firstlight.store import Fetched, Store, open_store
from support import servers

DATA = bytes(range(256)) * 40
Answer = Callable[["Scripted", int, int], None]


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers by the name of the object; `seen` has every request's headers."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, str]]

    def log_message(self, *args: Any) -> None: ...

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def part(self, start: int, end: int, **headers: str) -> None:
        self.reply(206, DATA[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(DATA)}", **headers)

    def do_GET(self) -> None:
        self.seen.append({k.lower(): v for k, v in self.headers.items()})
        first, last = map(int, re.findall(r"\d+", self.headers.get("Range", f"bytes=0-{len(DATA) - 1}")))
        last = min(last + 1, len(DATA))
        # A client that has seen enough closes the connection.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            SCRIPT[self.path.rpartition("/")[2]](self, first, last)


def cut_off(request: Scripted, first: int, last: int) -> None:
    request.send_response(206)
    request.send_header("Content-Range", f"bytes {first}-{last - 1}/{len(DATA)}")
    request.send_header("Content-Length", str(last - first))
    request.end_headers()
    request.wfile.write(DATA[first : (first + last) // 2])
    request.close_connection = True


def stall(request: Scripted, first: int, last: int) -> None:
    time.sleep(1.0)
    request.part(first, last)


SCRIPT: dict[str, Answer] = {
    "good": lambda r, a, b: r.part(a, b, ETag='"one"'),
    "whole": lambda r, a, b: r.reply(200, DATA, ETag='"one"'),
    "weak": lambda r, a, b: r.part(a, b, ETag='W/"one"'),
    "untagged": lambda r, a, b: r.part(a, b),
    "changed": lambda r, a, b: r.reply(412, b"") if "If-Match" in r.headers else r.part(a, b, ETag='"two"'),
    "careless": lambda r, a, b: r.part(a, b, ETag='"two"'),  # ignores If-Match
    "ignores-range": lambda r, a, b: r.reply(200, DATA),
    "shifted": lambda r, a, b: r.part(a + 1, b + 1),
    "short": lambda r, a, b: r.part(a, b - 1),
    "past": lambda r, a, b: r.reply(416, b"", Content_Range=f"bytes */{len(DATA)}"),
    "missing": lambda r, a, b: r.reply(404, b"not here"),
    "denied": lambda r, a, b: r.reply(403, b""),
    "secret": lambda r, a, b: r.reply(401, b""),
    "broken": lambda r, a, b: r.reply(500, b"oops"),
    "cut-off": cut_off,
    "stalls": stall,
}


@pytest.fixture
def scripted() -> Iterator[Store]:
    Scripted.seen = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield open_store(
            f"http://127.0.0.1:{server.server_port}/scan.zarr/",
            read_timeout=timedelta(milliseconds=300),
            retry_config={"max_retries": 1, "backoff": {"init_backoff": timedelta(milliseconds=10), "base": 2}},
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_a_range_is_exactly_what_was_asked_for(scripted: Store) -> None:
    data, etag = await scripted.get_range("good", 300, 500)
    assert (bytes(data), etag) == (DATA[300:800], '"one"')
    assert Scripted.seen[-1]["range"] == "bytes=300-799"
    assert "if-match" not in Scripted.seen[-1]
    assert (scripted.stats.requests, scripted.stats.bytes) == (1, 500)


async def test_the_version_is_pinned(scripted: Store) -> None:
    await scripted.get_range("good", 0, 5, '"one"')
    assert Scripted.seen[-1]["if-match"] == '"one"'
    for key in ("changed", "careless"):
        with pytest.raises(ObjectReplaced, match=f"scan.zarr/{key}: was replaced while it was being read"):
            await scripted.get_range(key, 0, 5, '"one"')


async def test_weak_etags_are_compared_here(scripted: Store) -> None:
    """If-Match never holds for a weak ETag (RFC 9110, 13.1.1): sent along, every read would fail."""
    assert (await scripted.get_range("weak", 0, 5, 'W/"one"')).etag == 'W/"one"'
    assert "if-match" not in Scripted.seen[-1]
    with pytest.raises(ObjectReplaced):
        await scripted.get_range("weak", 0, 5, 'W/"zero"')


async def test_a_server_without_etags_is_read_unpinned(scripted: Store) -> None:
    assert (await scripted.get_range("untagged", 0, 5)).etag is None
    assert bytes((await scripted.get_range("untagged", 5, 5, None)).data) == DATA[5:10]


async def test_short_reads(scripted: Store) -> None:
    end = len(DATA)
    assert bytes((await scripted.get_range("good", end - 10, 50, may_be_short=True)).data) == DATA[-10:]
    with pytest.raises(StoreError, match=f"good: expected 50 bytes from byte {end - 10}, got 10"):
        await scripted.get_range("good", end - 10, 50)
    # Short in the middle of the object is wrong in any case.
    for may_be_short in (False, True):
        with pytest.raises(StoreError, match=r"scan\.zarr/short"):
            await scripted.get_range("short", 0, 50, may_be_short=may_be_short)


@pytest.mark.parametrize(
    ("key", "kind", "says"),
    [
        ("missing", NotFound, "not found"),
        ("ignores-range", StoreError, "the server ignores Range requests"),
        ("shifted", StoreError, "another byte range"),
        ("past", StoreError, "expected bytes from byte 7, but the object ends before that"),
        ("denied", StoreError, "access denied"),
        ("secret", StoreError, "asks for credentials"),
        ("broken", StoreError, "the server answered 500 Internal Server Error"),
        ("cut-off", StoreError, "the connection broke off"),
        ("stalls", StoreError, "no answer in time"),
    ],
)
async def test_errors_are_one_line_that_names_the_url(
    scripted: Store, key: str, kind: type[StoreError], says: str
) -> None:
    with pytest.raises(kind) as caught:
        await scripted.get_range(key, 7, 100)
    message = str(caught.value)
    assert message.startswith(f"{scripted.url}/{key}: ")
    assert says in message
    assert "\n" not in message
    assert caught.value.__cause__ is not None


async def test_no_server() -> None:
    store = open_store("http://127.0.0.1:9/scan.zarr", retry_config={"max_retries": 0})
    with pytest.raises(StoreError, match=r"http://127.0.0.1:9/scan.zarr/zarr.json: connection refused"):
        await store.get("zarr.json")


async def test_memory_and_a_store_of_ones_own() -> None:
    backend = MemoryStore()
    obstore.put(backend, "a/b", DATA)
    store = Store(backend, "memory://")
    assert open_store(store) is store
    fetched = await store.get_range("a/b", 3, 4)
    assert isinstance(fetched, Fetched)
    obstore.put(backend, "a/b", DATA[::-1])
    with pytest.raises(ObjectReplaced):
        await store.get_range("a/b", 3, 4, fetched.etag)


# -- local directories --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "with space", "50%25 #1?", "Überblick"])
async def test_local(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "object").write_bytes(DATA)
    store = open_store(folder)
    assert await store.get("object") == DATA
    data, etag = await store.get_range("object", 10_000, 500, may_be_short=True)
    assert bytes(data) == DATA[10_000:]
    with pytest.raises(StoreError, match=r"expected bytes from byte 20000, but the object ends at byte 10240"):
        await store.get_range("object", 20_000, 1)
    (folder / "new").write_bytes(DATA)
    (folder / "new").rename(folder / "object")
    with pytest.raises(ObjectReplaced):
        await store.get_range("object", 0, 1, etag)
    with pytest.raises(NotFound):
        await store.get("absent")


def test_places_that_are_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotFound, match="no such directory"):
        open_store(tmp_path / "absent")
    with pytest.raises(StoreError, match=r"is a file.*firstlight ingest"):
        open_store(tmp_path / "file")
    with pytest.raises(StoreError, match="can't have a query"):
        open_store("https://host/scan.zarr?token=1")
    with pytest.raises(StoreError, match=r"nosuch://x"):
        open_store("nosuch://x")
    with pytest.raises(StoreError, match=r"s3://bucket: can't be opened"):
        open_store("s3://bucket", no_such_option="x")
    with pytest.raises(StoreError, match="takes no store options, got endpoint"):
        open_store(tmp_path, endpoint="x")


async def test_file_urls(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    (folder / "object").write_bytes(DATA)
    assert await open_store(folder.as_uri()).get("object") == DATA


# -- real servers -------------------------------------------------------------------------------------------------


async def _behaves(store: Store, folder: Path) -> None:
    (folder / "object").write_bytes(DATA)
    data, etag = await store.get_range("object", 300, 500)
    assert bytes(data) == DATA[300:800]
    assert etag
    assert bytes((await store.get_range("object", 0, 500, etag)).data) == DATA[:500]
    assert bytes((await store.get_range("object", 10_000, 500, may_be_short=True)).data) == DATA[10_000:]
    with pytest.raises(StoreError, match="expected 500 bytes from byte 10000, got 240"):
        await store.get_range("object", 10_000, 500)
    with pytest.raises(StoreError, match="expected bytes from byte 20000, but the object ends"):
        await store.get_range("object", 20_000, 1)
    with pytest.raises(NotFound, match=re.escape(store.where("absent"))):
        await store.get("absent")
    # Another version is refused; that of a file that is replaced while nginx has it open shows seconds later.
    with pytest.raises(ObjectReplaced, match="was replaced"):
        await store.get_range("object", 0, 500, f'{etag[:-1]}0"')


async def test_nginx(tmp_path: Path, nginx: Callable[[Path], str]) -> None:
    (tmp_path / "static").mkdir()
    await _behaves(open_store(nginx(tmp_path / "static")), tmp_path / "static")


async def test_s3(s3: servers.S3) -> None:
    (s3.folder / "scan.zarr").mkdir()
    await _behaves(open_store(f"s3://{s3.bucket}/scan.zarr", **s3.options), s3.folder / "scan.zarr")


async def test_s3_by_environment(s3: servers.S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    (s3.folder / "object").write_bytes(DATA)
    assert await open_store(f"s3://{s3.bucket}").get("object") == DATA
