"""Child processes that listen on a port: started, waited for, and stopped by their own id."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 10.0


def tool(name: str) -> str:
    """Path of a program; a missing one is a failure, never a skip."""
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    if path is None:
        raise RuntimeError(f"the program {name!r} is missing: run `make system` (as root) or install it")
    return path


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def listening(
    command: Sequence[str | Path], port: int, log: Path, *, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` until the block ends; enter the block once `port` accepts connections.

    Both outputs go to the file `log`, whose end is part of the error when the child dies early or stays silent.
    """
    with log.open("wb") as sink:
        child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(port):
            if child.poll() is not None or time.monotonic() > deadline:
                state = "still silent" if child.poll() is None else f"exit status {child.returncode}"
                tail = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{command[0]}: nothing listens on port {port} ({state}); its output:\n{tail}")
            time.sleep(0.02)
        yield child
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
