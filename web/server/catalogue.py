"""The images below the served root, found by looking.

An image is a directory whose `zarr.json` is a group with OME-Zarr multiscales and our codec; its id is its path below
the root, "" for the root itself. Directories of images are not entered, nor are arrays, hidden directories and links (a
link may lead to an image by its address all the same, if it stays below the root: stored.py).

The directory tree is looked at when someone asks, at most once in RESCAN_SECONDS; a `zarr.json` is parsed again only
when its entity tag has changed. What can't be read is an entry with a `problem`, so that it is seen and not missed.
"""

import json
import os
import threading
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from firstlight.layout import CODEC, METADATA_KEY, ImageLayout, LayoutError

from . import stored

RESCAN_SECONDS = 1.0
DEPTH = 8
DIRECTORIES = 20_000  # visited in one scan; a root with more is more than a catalogue can show
METADATA_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """An image, or what should be one.

    Attributes
    ----------
    id : str
        Path below the root, posix.
    version : str
        Entity tag of its metadata, without the quotes: it stands in addresses.
    layout : ImageLayout or None
        None where it can't be read; `problem` then says why in one line.
    problem : str
    """

    id: str
    version: str
    layout: ImageLayout | None
    problem: str = ""


class Catalogue:
    """Images below `root` (see `stored.real_root`). Methods block on the disk; threads may share it."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._scanned = float("-inf")
        self._entries: tuple[Entry, ...] = ()
        self._known: dict[str, tuple[str, _Found]] = {}  # by id: the version that was parsed, and what it is

    def entries(self) -> tuple[Entry, ...]:
        """All images, sorted by id, as they were at most RESCAN_SECONDS ago."""
        with self._lock:
            if time.monotonic() - self._scanned >= RESCAN_SECONDS:
                known: dict[str, tuple[str, _Found]] = {}
                self._walk("", self.root or "/", DEPTH, [DIRECTORIES], known)
                self._known = known
                self._entries = tuple(e for _, (_, e) in sorted(known.items()) if isinstance(e, Entry))
                self._scanned = time.monotonic()
            return self._entries

    def find(self, image: str) -> Entry | None:
        """The image with this id as it is now; None where there is none of ours."""
        directory = stored.image_directory(self.root, image)
        if directory is None:
            return None
        found = self._look(image, directory)
        return found[1] if found is not None and isinstance(found[1], Entry) else None

    def _walk(
        self, image: str, directory: str, depth: int, budget: list[int], known: "dict[str, tuple[str, _Found]]"
    ) -> None:
        budget[0] -= 1
        found = self._look(image, directory)
        if found is not None:
            known[image] = found
            if found[1] is not _Other.GROUP:
                return
        if depth == 0:
            return
        for name in _subdirectories(directory):
            if budget[0] <= 0:
                return
            self._walk(f"{image}/{name}" if image else name, os.path.join(directory, name), depth - 1, budget, known)

    def _look(self, image: str, directory: str) -> "tuple[str, _Found] | None":
        """(version, what it is) of the directory's `zarr.json`; None where there is none."""
        path = os.path.join(directory, METADATA_KEY)
        try:
            info = os.stat(path)
            version = stored.etag(info).strip('"')
            known = self._known.get(image)
            if known is not None and known[0] == version:
                return known
            if info.st_size > METADATA_BYTES:
                raise ValueError(f"expected at most {METADATA_BYTES} bytes, found {info.st_size}")
            with open(path, encoding="utf-8") as file:
                text = file.read()
            return version, _parse(image, version, text)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return "", Entry(image, "", None, problem=f"{METADATA_KEY}: {error.strerror}")
        except (ValueError, RecursionError) as error:
            return version, Entry(image, version, None, problem=f"{METADATA_KEY}: expected JSON: {error}")


class _Other(Enum):
    """A node of a Zarr hierarchy that is no image of ours."""

    GROUP = 1  # may hold images
    LEAF = 2  # an array, or somebody else's image: nothing of ours below


_Found: TypeAlias = Entry | _Other


def _subdirectories(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as items:
            names = [
                i.name for i in items if i.name[0] != "." and "\\" not in i.name and i.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []  # not ours to read, or gone since
    # A name that is not UTF-8 or has a backslash has no address.
    return sorted(name for name in names if name.isascii() or name.encode("utf-8", "ignore").decode() == name)


def _parse(image: str, version: str, text: str) -> _Found:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError(f"found {type(document).__name__}, not an object")
    if not _multiscales(document):
        return _Other.GROUP if document.get("node_type") == "group" else _Other.LEAF
    # The name of our codec or our own attributes: metadata that is nearly right is an image that needs attention.
    if f'"{CODEC}"' not in text and "firstlight" not in document["attributes"]:
        return _Other.LEAF
    try:
        return Entry(image, version, ImageLayout.from_json(document, METADATA_KEY))
    except LayoutError as error:
        return Entry(image, version, None, problem=str(error))
    except Exception as error:  # whatever stands in the file, the other images are listed
        return Entry(image, version, None, problem=f"{METADATA_KEY}: {type(error).__name__}: {error}")


def _multiscales(document: dict[str, Any]) -> bool:
    attributes = document.get("attributes")
    ome = attributes.get("ome") if isinstance(attributes, dict) else None
    return isinstance(ome, dict) and "multiscales" in ome
