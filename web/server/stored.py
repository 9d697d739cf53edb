"""Files below the served root: which may be opened, their validators, and reading them without holding up the loop.

What is never opened: a path with an empty, "." or ".." part, with NUL or a backslash; any part that begins with a dot
(unfinished images are called `.name.partial-*`); anything that lies outside the root once symbolic links are followed;
anything but a regular file.

A root is a real path without links and without a slash at its end ("" is the file system's own root): `real_root`.
"""

import asyncio
import errno
import os
import stat
from types import TracebackType
from typing import Self

# No such file. A file that may not be read is an error: readers take a missing shard for an empty one.
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO, errno.ENODEV}
# NONBLOCK: opening a FIFO would wait for its writer. BINARY, NOINHERIT: Windows.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)
_DESCRIPTORS = "/proc/self/fd/" if os.path.isdir("/proc/self/fd") else ""


def real_root(path: str | os.PathLike[str]) -> str:
    """The directory to serve, as the functions here take it."""
    return os.path.realpath(path).rstrip("/")


def join(root: str, key: str) -> str | None:
    """`key` (parts separated by "/") below `root`; None where a part is not allowed. Looks at no file."""
    if "\0" in key or "\\" in key:
        return None
    if any(not part or part[0] == "." for part in key.split("/")):
        return None
    return f"{root}/{key}"


def inside(root: str, real: str) -> bool:
    """Whether the absolute path `real`, free of links, is below `root` and in no hidden directory."""
    return real.startswith(root + "/") and "/." not in real[len(root) :]


class StoredFile:
    """An open regular file.

    Attributes
    ----------
    size : int
        Bytes.
    modified : int
        Seconds since 1970, whole.
    etag : str
        Strong: changes whenever the file is replaced (inode) or written (time in ns, size).
    """

    __slots__ = ("_descriptor", "etag", "modified", "size")

    def __init__(self, descriptor: int, info: os.stat_result) -> None:
        self._descriptor = descriptor
        self.size = info.st_size
        self.modified = int(info.st_mtime)
        self.etag = etag(info)

    @classmethod
    def open(cls, root: str, key: str) -> "StoredFile | None":
        """The file `key` below `root`; None where there is none to serve.

        Raises
        ------
        OSError
            The file is there and can't be opened (PermissionError above all).
        """
        path = join(root, key)
        if path is None:
            return None
        try:
            descriptor = os.open(path, _FLAGS)
        except (OSError, ValueError) as error:
            # ValueError: a name that the file system can't encode.
            if isinstance(error, OSError) and error.errno not in _ABSENT:
                raise
            return None
        try:
            info = os.fstat(descriptor)
            # What was opened, not what a second look at the path would find: links may change in between.
            real = os.readlink(f"{_DESCRIPTORS}{descriptor}") if _DESCRIPTORS else os.path.realpath(path)
            if stat.S_ISREG(info.st_mode) and inside(root, real):
                return cls(descriptor, info)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # A read that was cancelled may still run in its thread; it then fails or reads bytes that nobody looks at.
        os.close(self._descriptor)

    async def read(self, offset: int, length: int) -> bytes | bytearray:
        """The bytes at `offset`; fewer only where the file ends sooner.

        Bytes that are in the page cache are copied at once. Whatever the disk has to fetch is read in a thread.
        """
        if _NOWAIT:
            buffer = bytearray(length)
            try:
                if os.preadv(self._descriptor, [buffer], offset, _NOWAIT) == length:
                    return buffer
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
        return await asyncio.to_thread(self._read, offset, length)

    def _read(self, offset: int, length: int) -> bytes:
        parts = []
        while length and (part := os.pread(self._descriptor, length, offset)):
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def etag(info: os.stat_result) -> str:
    """The strong entity tag of a file."""
    return f'"{info.st_mtime_ns:x}-{info.st_size:x}-{info.st_ino:x}"'


def image_directory(root: str, image: str) -> str | None:
    """The real directory of an image's id; None where it is not below `root`. The id "" is the root itself."""
    if not image:
        return root or "/"
    path = join(root, image)
    if path is None:
        return None
    try:
        real = os.path.realpath(path, strict=True)
    except (OSError, ValueError):
        return None
    return real if inside(root, real) and os.path.isdir(real) else None
