"""Bytes of objects, from a directory, a web server or a bucket.

The one place that talks to obstore. It gives exactly the bytes that were asked for or raises one clear `StoreError`:
a range that comes back short, shifted or as the whole object, and an object that was replaced between two reads, are
errors here and nowhere else. Ranges are never merged here (obstore's own coalescing bridges gaps of 1 MiB, a thousand
segments of ours): what to read in one request is the planner's choice.
"""

import os
import re
import urllib.parse
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import obstore
from obstore.exceptions import (
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import HTTPStore, LocalStore, MemoryStore, ObjectStore, from_url

from firstlight.errors import NotFound, ObjectReplaced, StoreError

CONNECT_SECONDS = 10
STALL_SECONDS = 30
"""How long a connection may bring nothing. The length of a whole request is not limited: lines are slow."""
RETRIES = 3
# What concerns the connection and not the bucket; obstore takes these apart from the rest (and panics otherwise).
CLIENT_OPTIONS = (
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "default_headers",
    "proxy_url",
    "read_timeout",
    "root_certificate",
    "timeout",
    "user_agent",
)


@dataclass
class StoreStats:
    """What a store has done since it was opened.

    Attributes
    ----------
    requests : int
        Gets that were sent, failed ones included (retries inside a get are not counted).
    bytes : int
        Payload received.
    """

    requests: int = 0
    bytes: int = 0


class Fetched(NamedTuple):
    """Bytes of an object, and the ETag of the version that they are from (None: the store has no ETags)."""

    data: memoryview
    etag: str | None


class Store:
    """Objects below one root, by key.

    Parameters
    ----------
    backend : ObjectStore
        Any obstore store.
    url : str
        Where the root is, for messages: a path or URL without a trailing slash.
    """

    def __init__(self, backend: ObjectStore, url: str) -> None:
        self.url = url.rstrip("/")
        self.stats = StoreStats()
        self._backend = backend

    def __repr__(self) -> str:
        return f"<Store {self.url}>"

    def where(self, key: str) -> str:
        """Path or URL of an object, as a person would name it."""
        return f"{self.url}/{key}"

    async def get(self, key: str) -> bytes:
        """A whole object.

        Raises
        ------
        NotFound, StoreError
        """
        fetched, _ = await self._get(key, None, None)
        return bytes(fetched.data)

    async def get_range(
        self, key: str, offset: int, length: int, etag: str | None = None, *, may_be_short: bool = False
    ) -> Fetched:
        """`length` bytes of an object from `offset`.

        Parameters
        ----------
        offset, length : int
            Bytes; length > 0.
        etag : str, optional
            The version that the bytes must be of, as an earlier read gave it.
        may_be_short : bool
            Take what is there where the object ends before offset + length (it must reach beyond `offset`).

        Raises
        ------
        NotFound
            No such object.
        ObjectReplaced
            There is one, but another version of it.
        StoreError
            Anything else: unreachable, denied, ends too early, ranges not served.
        """
        fetched, size = await self._get(key, (offset, length), etag)
        found = len(fetched.data)
        if found != length and not (may_be_short and offset + found == size):
            raise StoreError(
                f"{self.where(key)}: expected {length} bytes from byte {offset}, got {found} (it ends at byte {size})"
            )
        return fetched

    async def _get(self, key: str, byte_range: tuple[int, int] | None, etag: str | None) -> tuple[Fetched, int]:
        options: obstore.GetOptions = {}
        if byte_range is not None:
            options["range"] = (byte_range[0], byte_range[0] + byte_range[1])
        # By RFC 9110 a weak ETag never satisfies If-Match; it can still be compared with the answer's.
        if etag is not None and not etag.startswith("W/"):
            options["if_match"] = etag
        self.stats.requests += 1
        try:
            result = await obstore.get_async(self._backend, key, options=options)
            data = memoryview(await result.bytes_async())
        except Exception as error:
            raise self._explain(key, byte_range, error) from error
        self.stats.bytes += len(data)
        found = result.meta["e_tag"]
        # Some servers ignore If-Match.
        if etag is not None and found is not None and found != etag:
            raise self._replaced(key)
        if byte_range is not None and result.range[0] != byte_range[0]:
            raise StoreError(
                f"{self.where(key)}: asked for bytes from {byte_range[0]}, got them from {result.range[0]}"
            )
        return Fetched(data, found), result.meta["size"]

    def _replaced(self, key: str) -> ObjectReplaced:
        return ObjectReplaced(f"{self.where(key)}: was replaced while it was being read; open the image again")

    def _explain(self, key: str, byte_range: tuple[int, int] | None, error: Exception) -> StoreError:
        """What obstore's error means, in a line; its own text (pages of Rust debug output) stays as the cause."""
        name = self.where(key)
        match error:
            case FileNotFoundError():
                return NotFound(f"{name}: not found")
            case PreconditionError():
                return self._replaced(key)
            case NotSupportedError() if byte_range is not None:
                return StoreError(
                    f"{name}: the server ignores Range requests and sends whole objects; it has to serve byte ranges"
                )
            case PermissionDeniedError():
                return StoreError(f"{name}: access denied")
            case UnauthenticatedError():
                return StoreError(f"{name}: the server asks for credentials")
            case BaseError() | OSError() | ValueError():
                return StoreError(f"{name}: {_reason(str(error), byte_range)}")
        raise error


def _reason(text: str, byte_range: tuple[int, int] | None) -> str:
    """The cause in the text of an obstore error, which has no other structure."""
    if "StartTooLarge" in text or "416 Range Not Satisfiable" in text:
        length = re.search(r"length: (\d+)", text)
        end = f"ends at byte {length[1]}" if length else "ends before that"
        start = byte_range[0] if byte_range else 0
        return f"expected bytes from byte {start}, but the object {end}"
    status = re.search(r"status code: (\d{3}[^:\n]*)", text)
    if status:
        return f"the server answered {status[1].strip()}"
    for sign, meaning in (
        ("ConnectionRefused", "connection refused"),
        ("dns error", "no such host"),
        ("failed to lookup", "no such host"),
        ("certificate", "the server's TLS certificate is not trusted"),
        ("TimedOut", "no answer in time"),
        ("Timeout", "no answer in time"),
        ("kind: Connect", "no connection to the server"),
        ("IncompleteBody", "the connection broke off in the middle of the answer"),
        ("Interrupted", "the connection broke off"),
        ("PermissionDenied", "permission denied"),
        ("UnexpectedRange", "the server sent another byte range than the one asked for"),
    ):
        if sign in text:
            return meaning
    return text.partition("\n")[0]


def open_store(location: "str | os.PathLike[str] | Store", **options: Any) -> Store:
    """The store at a path or URL.

    Parameters
    ----------
    location : str, path or Store
        A directory, `file://`, `http(s)://`, `s3://`, `gs://`, `az://` or `memory://` (new and empty). A store is
        returned as it is.
    **options
        For buckets, what obstore takes for that kind of store: `endpoint`, `region`, `access_key_id`,
        `skip_signature=True` for a public bucket ... The usual environment variables (`AWS_...`) count too.
        For all that is remote: `retry_config` and those of CLIENT_OPTIONS, such as `allow_invalid_certificates`,
        `default_headers={"Authorization": ...}`, `proxy_url`.

    Raises
    ------
    NotFound
        No such directory.
    StoreError
        Not a location that is understood.
    """
    if isinstance(location, Store):
        return location
    text = os.fspath(location)
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme in ("", "file"):
        if options:
            raise StoreError(f"{text}: a local directory takes no store options, got {', '.join(options)}")
        return _open_local(urllib.parse.unquote(urllib.parse.urlsplit(text).path) if scheme else text)
    if scheme == "memory":
        return Store(MemoryStore(), text)
    url = text.rstrip("/")
    if urllib.parse.urlsplit(url).query:
        raise StoreError(f"{url}: an image's URL can't have a query: its objects lie below it")
    options.setdefault(
        "retry_config",
        {
            "max_retries": RETRIES,
            "retry_timeout": timedelta(minutes=3),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
        },
    )
    options["client_options"] = {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=STALL_SECONDS),
        "timeout": timedelta(hours=1),
        **{key: options.pop(key) for key in CLIENT_OPTIONS if key in options},
    }
    try:
        # Not from_url for http: it would take a bucket's web address for the bucket itself.
        backend = HTTPStore(url, **options) if scheme in ("http", "https") else from_url(url, **options)
    except BaseException as error:
        # An option that obstore does not know ends in a Rust panic, which is no Exception.
        if isinstance(error, (BaseError, ValueError, TypeError)) or type(error).__name__ == "PanicException":
            raise StoreError(f"{url}: can't be opened: {str(error).partition(chr(10))[0]}") from error
        raise
    return Store(backend, url)


def _open_local(text: str) -> Store:
    path = os.path.abspath(os.path.expanduser(text))
    if not os.path.exists(path):
        raise NotFound(f"{text}: no such directory")
    if not os.path.isdir(path):
        raise StoreError(f"{text}: is a file, and a stored image is a directory (make one: firstlight ingest)")
    try:
        return Store(LocalStore(path), path)
    except BaseError as error:
        raise StoreError(f"{text}: can't be opened: {str(error).partition(chr(10))[0]}") from error
