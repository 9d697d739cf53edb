"""Whatever stops a writer, nothing half is left where a whole is expected: kill -9, Ctrl-C, SIGTERM, a full disk."""

import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import firstlight
from firstlight import codecs, write
from firstlight.errors import CorruptData, TargetError
from firstlight.layout import ImageLayout
from firstlight.write import ImageWriter, head_bytes

SHARD = codecs.encode(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
LAYOUT = ImageLayout.build("made", ("y", "x"), (64, 64), "uint16", chunk=64)


def make(target: Path, **options: bool) -> None:
    with ImageWriter(target, **options) as writer:
        writer.put("0/c/0/0", SHARD)
        writer.finish(LAYOUT)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def hidden(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith("."))


# -- the writer itself --------------------------------------------------------------------------------------------


def test_what_is_written(tmp_path: Path) -> None:
    target = tmp_path / "a.zarr"
    with ImageWriter(target) as writer:
        writer.put("0/c/0/0", SHARD)
        assert writer.get("0/c/0/0") == SHARD
        assert writer.bytes_stored == len(SHARD)
        assert not target.exists()
        layout = writer.finish(LAYOUT)
    assert layout.stored_bytes == len(SHARD)
    assert layout.arrays[0].head_bytes == head_bytes(codecs.Index.parse(SHARD)) < len(SHARD)
    assert sorted(snapshot(target)) == ["0/c/0/0", "0/zarr.json", "zarr.json"]
    assert firstlight.open(target).layout == layout
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_head_bytes_bring_the_first_picture() -> None:
    rng = np.random.default_rng(5)
    noise = codecs.Index.parse(codecs.encode(rng.integers(0, 65536, (700, 700), np.uint16)))
    # The first group of the levels up to 128 samples: 88, 44, 22, 11, 6 and 3 of 700.
    assert head_bytes(noise) == noise.offsets[noise.levels[2].first_segments[0]]
    # Never more than 64 KiB, unless the head alone is longer.
    assert noise.head_size < head_bytes(noise) < write.MAX_HEAD_BYTES
    huge = codecs.Index.parse(codecs.encode(np.zeros((8, 65536), np.uint8)))
    assert huge.head_size <= head_bytes(huge) <= max(huge.head_size, write.MAX_HEAD_BYTES)


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    writer = ImageWriter(tmp_path / "a.zarr")

    def interrupted() -> None:
        with writer:
            writer.put("0/c/0/0", SHARD)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == []
    with pytest.raises(TargetError, match="was put after the image was finished or discarded"):
        writer.put("0/c/0/0", SHARD)


def test_what_is_no_shard_is_refused(tmp_path: Path) -> None:
    with ImageWriter(tmp_path / "a.zarr") as writer, pytest.raises(CorruptData):
        writer.put("0/c/0/0", b"something else altogether")
    assert os.listdir(tmp_path) == []


def test_an_image_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.zarr"
    make(target)
    before = snapshot(target)
    with pytest.raises(TargetError, match="exists already"):
        make(target)
    with ImageWriter(target, overwrite=True) as writer:
        writer.put("0/c/0/0", SHARD[:-1] + b"\0")
        assert snapshot(target) == before
    assert snapshot(target) == before
    make(target, overwrite=True)
    assert snapshot(target) == before
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_a_target_that_appears_meanwhile_is_not_touched(tmp_path: Path) -> None:
    target = tmp_path / "a.zarr"
    with ImageWriter(target) as writer:
        writer.put("0/c/0/0", SHARD)
        shutil.copytree(writer.path, target)
        (target / "zarr.json").write_text('{"attributes": {"firstlight": {"version": 1}}}')
        before = snapshot(target)
        with pytest.raises(TargetError, match="exists already"):
            writer.finish(LAYOUT)
    assert snapshot(target) == before
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_two_writers_of_one_target(tmp_path: Path) -> None:
    with ImageWriter(tmp_path / "a.zarr"), pytest.raises(TargetError, match="is being written by another thread"):
        ImageWriter(tmp_path / "a.zarr")


def test_an_empty_directory_may_become_an_image(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    make(tmp_path / "a.zarr")
    assert (tmp_path / "a.zarr/zarr.json").exists()


def test_threads_put_at_once(tmp_path: Path) -> None:
    layout = ImageLayout.build("made", ("z", "y", "x"), (20, 64, 64), "uint16", chunk=64)
    with ImageWriter(tmp_path / "a.zarr") as writer:
        threads = [threading.Thread(target=writer.put, args=(f"0/c/{z}/0/0", SHARD)) for z in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert writer.finish(layout).stored_bytes == 20 * len(SHARD)
    assert len(snapshot(tmp_path / "a.zarr")) == 22


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    target = tmp_path / "a.zarr"
    make(target)
    before = snapshot(target)

    def full(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    # As late as data may be refused: when it has to reach the disk.
    monkeypatch.setattr(write.os, "fsync", full)
    for overwrite in (True, False):
        path = target if overwrite else tmp_path / "b.zarr"
        with pytest.raises(TargetError) as caught:
            make(path, overwrite=overwrite)
        assert str(caught.value) == f"{path}: can't be written: {os.strerror(code)}"
    assert snapshot(target) == before
    assert os.listdir(tmp_path) == ["a.zarr"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_swap_that_fails_puts_the_old_image_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    target = tmp_path / "a.zarr"
    make(target)
    before = snapshot(target)
    rename: Callable[[Path, Path], None] = os.rename
    swaps = []

    def flaky(source: Path, to: Path) -> None:
        if target in (source, to):
            swaps.append(to)
            if len(swaps) == failing:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, to)

    monkeypatch.setattr(write.os, "rename", flaky)
    with pytest.raises(TargetError, match="Input/output error"):
        make(target, overwrite=True)
    assert snapshot(target) == before
    assert os.listdir(tmp_path) == ["a.zarr"]


# -- leftovers ----------------------------------------------------------------------------------------------------


@pytest.fixture
def dead() -> int:
    """The number of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
        return child.pid


def test_leftovers_of_the_dead_are_cleared_up(tmp_path: Path, dead: int) -> None:
    target = tmp_path / "a.zarr"
    kept = [
        f".a.zarr.partial-{write._host()}-{os.getppid()}",
        f".a.zarr.partial-elsewhere-{dead}",
        ".b.zarr.partial-x-1",
    ]
    stale = [f".a.zarr.partial-{write._host()}-{dead}", f".a.zarr.partial-{write._host()}-{os.getpid()}"]
    for name in [*kept, *stale]:
        (tmp_path / name / "0/c").mkdir(parents=True)
    notes: list[str] = []
    with ImageWriter(target, note=notes.append):
        pass
    assert hidden(tmp_path) == sorted(kept)
    assert sorted(notes) == sorted(f"a.zarr: removed {name}, left by an interrupted run" for name in stale)


def test_an_image_that_was_moved_aside_is_put_back(tmp_path: Path, dead: int) -> None:
    """The writer was killed between the two renames of a swap."""
    target = tmp_path / "a.zarr"
    make(target)
    before = snapshot(target)
    target.rename(tmp_path / f".a.zarr.replaced-{write._host()}-{dead}")
    notes: list[str] = []
    with pytest.raises(TargetError, match="exists already"):
        ImageWriter(target, note=notes.append)
    assert notes == ["a.zarr: put back the image that an interrupted run had moved aside"]
    assert snapshot(target) == before
    assert os.listdir(tmp_path) == ["a.zarr"]


# -- real processes -----------------------------------------------------------------------------------------------


@contextmanager
def ingesting(source: Path, target: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """`firstlight ingest` at the moment when its first shard is stored and others are not."""
    command = [sys.executable, "-m", "firstlight", "ingest", str(source), str(target), "--chunk", "256", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            deadline = time.monotonic() + 60
            while not list(target.parent.glob(".*.partial-*/0/c/0/0/*")):
                assert child.poll() is None, child.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.005)
            yield child
        finally:
            child.kill()


@pytest.fixture
def source(data: Path) -> Path:
    return data / "bmng_5400x2700.jpg"


@pytest.fixture
def old(tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """An image that is there already."""
    make(tmp_path / "t.zarr")
    return tmp_path / "t.zarr", snapshot(tmp_path / "t.zarr")


def test_kill_9(source: Path, old: tuple[Path, dict[str, bytes]], data: Path) -> None:
    target, before = old
    with ingesting(source, target, "--overwrite") as child:
        child.kill()
        assert child.wait() == -signal.SIGKILL
    assert snapshot(target) == before
    assert len(hidden(target.parent)) == 1

    command = [sys.executable, "-m", "firstlight", "ingest", data / "ct_small.tif", target, "--overwrite"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert re.fullmatch(r"t\.zarr: removed \.t\.zarr\.partial-\S+, left by an interrupted run\n", done.stderr)
    assert os.listdir(target.parent) == ["t.zarr"]
    assert firstlight.open(target).shape == (128, 128)


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [(signal.SIGINT, 130, "firstlight ingest: interrupted\n"), (signal.SIGTERM, 143, "")],
)
def test_being_stopped(
    source: Path, old: tuple[Path, dict[str, bytes]], number: signal.Signals, code: int, says: str
) -> None:
    target, before = old
    with ingesting(source, target, "--overwrite") as child:
        child.send_signal(number)
        out, error = child.communicate(timeout=60)
    assert (child.returncode, out, error) == (code, "", says)
    assert snapshot(target) == before
    assert os.listdir(target.parent) == ["t.zarr"]


def test_a_full_disk(source: Path, old: tuple[Path, dict[str, bytes]]) -> None:
    """A limit on the size of files stops a write in the middle, as a full disk does."""
    target, before = old
    command = [sys.executable, "-m", "firstlight", "ingest", source, target, "--overwrite"]
    limit = 1 << 20  # a shard of this image takes 8 MB
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"firstlight ingest: {target}: can't be written: {os.strerror(errno.EFBIG)}\n"
    assert snapshot(target) == before
    assert os.listdir(target.parent) == ["t.zarr"]
