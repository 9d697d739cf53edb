"""Which paths below the root may be opened at all."""

import os
from pathlib import Path

import pytest

from firstlight.web.stored import StoredFile, image_directory, inside, join, real_root


@pytest.mark.parametrize("key", ["a", "a/b", "a b/c", "ä/ö", "a..b", "a.zarr/0/c/0/0"])
def test_join(key: str) -> None:
    assert join("/images", key) == f"/images/{key}"


@pytest.mark.parametrize(
    "key", ["", "/", "a/", "/a", "a//b", ".", "..", "a/..", "../a", "a/./b", ".a", "a/.b.partial-1", "a\0b", "a\\b"]
)
def test_join_refuses(key: str) -> None:
    assert join("/images", key) is None


def test_inside() -> None:
    assert inside("/images", "/images/a")
    assert inside("", "/a")
    assert not inside("/images", "/images2/a")
    assert not inside("/images", "/images")
    assert not inside("/images", "/images/.hidden/a")


def test_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "image").mkdir(parents=True)
    (root / ".image.partial-1").mkdir()
    for folder in (root / "image", root / ".image.partial-1", tmp_path):
        (folder / "object").write_bytes(b"bytes")
    for name, target in [("in", root / "image"), ("out", tmp_path), ("hidden", root / ".image.partial-1")]:
        (root / name).symlink_to(target)
    (root / "loop").symlink_to(root / "loop")
    served = real_root(root)
    for key, there in [("image/object", True), ("in/object", True), ("out/object", False), ("hidden/object", False)]:
        file = StoredFile.open(served, key)
        assert (file is not None) is there, key
        if file is not None:
            with file:
                assert file.size == 5
        assert (image_directory(served, key.partition("/")[0]) is not None) is there, key
    assert StoredFile.open(served, "loop") is None
    assert image_directory(served, "") == served


def test_only_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "null", "folder", "missing", "x" * 5000, "\ud800"):
        assert StoredFile.open(real_root(tmp_path), name) is None, name


def test_a_replaced_file_has_another_tag(tmp_path: Path) -> None:
    path = tmp_path / "object"
    tags = set()
    for n in range(3):
        new = tmp_path / f"new{n}"
        new.write_bytes(b"same size")
        os.utime(new, ns=(10**18, 10**18))
        keep = path.open("rb") if path.exists() else None  # so that the inode is not used again
        new.rename(path)
        file = StoredFile.open(real_root(tmp_path), "object")
        assert file is not None
        with file:
            tags.add(file.etag)
        if keep is not None:
            keep.close()
    assert len(tags) >= 2


async def test_reads(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    (tmp_path / "object").write_bytes(content)
    file = StoredFile.open(real_root(tmp_path), "object")
    assert file is not None
    with file:
        assert await file.read(0, len(content)) == content
        assert await file.read(1000, 5) == content[1000:1005]
        assert await file.read(len(content) - 2, 10) == content[-2:]
        assert await file.read(len(content), 10) == b""
        assert await file.read(0, 0) == b""
