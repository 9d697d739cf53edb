"""Writing an image so that nobody ever sees half of one.

An image is built in a directory beside its target, `.<name>.partial-<host>-<pid>`: shards first, metadata last; then
that directory is renamed to the target in one step. Whatever stops the writer (an error, Ctrl-C, a full disk, kill -9),
the target is what it was before. States of a writer:

    open -> put ... put -> finish -> the target is the new image
     |                       |
     +----- any error -------+----> discarded: the partial directory is removed

An image that is replaced moves aside to `.<name>.replaced-<host>-<pid>` for the instant between two renames. What a
process that was killed left beside the target (a partial directory; in that instant, the old image) is cleared up, or
put back, by the next writer of the same target.
"""

import contextlib
import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from firstlight.codecs.index import Index
from firstlight.errors import TargetError
from firstlight.layout import ImageLayout

METADATA = "zarr.json"
FIRST_PICTURE_SIDE = 128
"""A head read should bring the levels up to this many samples a side ..."""
MAX_HEAD_BYTES = 65536
"""... as far as they fit in this many bytes."""

_open: set[Path] = set()  # the directories that living writers of this process may use


def head_bytes(index: Index) -> int:
    """Bytes from the start of a shard that a client should read first: the head, and the first picture.

    That is the first group of layers of the levels up to 128 samples a side. At most 64 KiB where the head itself is
    not longer, and never less than the head.
    """
    level = next(j for j, at in enumerate(index.levels) if max(at.width, at.height) <= FIRST_PICTURE_SIDE)
    _, end = index.level_segments(level, 0)
    return max(index.head_size, min(int(index.offsets[end]), MAX_HEAD_BYTES))


class ImageWriter:
    """Writes one image; use it in a `with` block, which discards what was written unless `finish` was reached.

        with ImageWriter("scan.zarr") as writer:
            writer.put("0/c/0/0", shard)
            ...
            layout = writer.finish(layout)

    Parameters
    ----------
    target : path
        The directory to make. Its parent must exist.
    overwrite : bool
        Replace what is there, if that is an image; it stays whole and in place until the new one is.
    note : callable, optional
        Gets a line of text for each leftover of a dead process that was cleared up.

    Raises
    ------
    TargetError
        From every method: the target exists, is not an image, may not be written, or the disk is full.
    """

    def __init__(
        self, target: str | os.PathLike[str], *, overwrite: bool = False, note: Callable[[str], None] | None = None
    ) -> None:
        # Not resolve(): a target that is a symbolic link is refused below rather than followed.
        self.target = Path(os.path.abspath(target))
        self.overwrite = overwrite
        self._lock = threading.Lock()
        self._heads: dict[str, int] = {}  # array path -> largest head_bytes
        self._bytes = 0
        self._closed = False
        mark = f"{_host()}-{os.getpid()}"
        self._partial = self.target.with_name(f".{self.target.name}.partial-{mark}")
        self._replaced = self.target.with_name(f".{self.target.name}.replaced-{mark}")
        with _explained(self.target):
            if not self.target.parent.is_dir():
                raise TargetError(f"{self.target}: the directory {self.target.parent} does not exist")
            _clear_leftovers(self.target, note)
            self._check_target()
            try:
                self._partial.mkdir()
            except FileExistsError as error:
                raise TargetError(f"{self.target}: is being written by another thread of this process") from error
            _open.update((self._partial, self._replaced))

    @property
    def path(self) -> Path:
        """The partial directory. What was put can be read there until `finish`."""
        return self._partial

    @property
    def bytes_stored(self) -> int:
        """Bytes of all shards put so far."""
        return self._bytes

    def put(self, key: str, shard: bytes | memoryview) -> None:
        """Store one shard, all of it or nothing. Threads may put different keys at once.

        Parameters
        ----------
        key : str
            `{array}/c/{i}/{j}/...`, as ImageLayout.shard_key gives it.
        shard : bytes
            A whole shard; its head must parse.
        """
        if self._closed:
            raise TargetError(f"{self.target}: shard {key} was put after the image was finished or discarded")
        wanted = head_bytes(Index.parse(shard))
        with _explained(self.target):
            _write_object(self._partial / key, shard)
        array = key.partition("/")[0]
        with self._lock:
            self._heads[array] = max(wanted, self._heads.get(array, 0))
            self._bytes += len(shard)

    def get(self, key: str) -> bytes:
        """The whole shard that was put as `key`."""
        with _explained(self.target):
            return (self._partial / key).read_bytes()

    def finish(self, layout: ImageLayout) -> ImageLayout:
        """Write the metadata and move the image to its target.

        Parameters
        ----------
        layout : ImageLayout
            The image's description; what the writer knows (`head_bytes` of the arrays, `stored_bytes`) is filled in.

        Returns
        -------
        ImageLayout
            As it was stored.
        """
        heads = [self._heads.get(array.path, array.head_bytes) for array in layout.arrays]
        layout = replace(layout.with_head_bytes(heads), stored_bytes=self._bytes)
        with _explained(self.target):
            for number, array in enumerate(layout.arrays):
                _write_object(self._partial / array.path / METADATA, _strict_json(layout.array_json(number)))
            _write_object(self._partial / METADATA, _strict_json(layout.to_json()))
        self._move_into_place()
        return layout

    def discard(self) -> None:
        """Remove everything that was written. Does nothing after `finish`. No other thread may be in `put`."""
        self._closed = True
        shutil.rmtree(self._partial, ignore_errors=True)
        _open.difference_update((self._partial, self._replaced))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _check_target(self) -> None:
        if self.target.is_symlink():
            raise TargetError(f"{self.target}: is a symbolic link; name the directory itself")
        if not self.target.exists() or (self.target.is_dir() and _is_empty(self.target)):
            return
        if not _is_image(self.target):
            raise TargetError(f"{self.target}: exists and is not a firstlight image, so it is never overwritten")
        if not self.overwrite:
            raise TargetError(f"{self.target}: exists already (overwrite it with --overwrite, overwrite=True)")

    def _move_into_place(self) -> None:
        with _explained(self.target):
            self._check_target()  # someone may have made it meanwhile
            old = self.target.exists() and not _is_empty(self.target)
            if old:
                os.rename(self.target, self._replaced)
            try:
                os.rename(self._partial, self.target)
            except BaseException:
                if old:
                    os.rename(self._replaced, self.target)
                raise
            _sync_directory(self.target.parent)
            if old:
                shutil.rmtree(self._replaced, ignore_errors=True)


def _write_object(path: Path, data: bytes | memoryview) -> None:
    """Write a file under another name, reach the disk, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{threading.get_ident()}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            # Without this a power cut after the last rename could leave an image of empty files.
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _strict_json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False).encode() + b"\n"


def _sync_directory(path: Path) -> None:
    with contextlib.suppress(OSError):  # not every system lets a directory be opened
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_empty(path: Path) -> bool:
    return next(path.iterdir(), None) is None


def _is_image(path: Path) -> bool:
    try:
        document = json.loads((path / METADATA).read_bytes())
        return "firstlight" in document["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _host() -> str:
    return socket.gethostname().replace("/", "_") or "localhost"


def _clear_leftovers(target: Path, note: Callable[[str], None] | None) -> None:
    """Remove partial directories beside `target` whose process is dead; put back an old image that was moved aside."""
    for kind in ("replaced", "partial"):
        start = f".{target.name}.{kind}-{_host()}-"
        for path in target.parent.iterdir():
            if not path.name.startswith(start) or not _is_dead(path, path.name[len(start) :]):
                continue
            if kind == "replaced" and not target.exists():
                os.rename(path, target)
                said = "put back the image that an interrupted run had moved aside"
            else:
                shutil.rmtree(path)
                said = f"removed {path.name}, left by an interrupted run"
            if note is not None:
                note(f"{target.name}: {said}")


def _is_dead(path: Path, pid: str) -> bool:
    if not pid.isdecimal():
        return False
    if int(pid) == os.getpid():
        return path not in _open  # the process that had our number before us
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Turn an operating system's error into one that names the image and says what to do about it."""
    try:
        yield
    except OSError as error:
        # ENOSPC, EDQUOT, EACCES ... strerror is the system's own sentence: "No space left on device".
        reason = error.strerror or str(error)
        raise TargetError(f"{target}: can't be written: {reason}") from error
