"""Byte ranges per second: firstlight's server beside nginx, on the same folder, in the same run.

    PYTHONPATH=tests python tests/bench/bench_server.py [--seconds 10] [--length 16384] [--connections 16]

Random ranges of one object, each connection one request at a time. The two servers take turns, so that other work on
the machine hits both. The client shares the machine: read the processor time of the server first, then the rate.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from support import processes, record, servers

SIZE = 64 << 20
OBJECT = "image.zarr/0/c/0/0/0"
ROUNDS = 4


@dataclass
class Tally:
    """What one server did in all of its turns."""

    requests: int = 0
    seconds: float = 0.0
    server_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def row(self, name: str, length: int, connections: int) -> dict[str, object]:
        ordered = sorted(self.latencies)
        return {
            "server": name,
            "range_bytes": length,
            "connections": connections,
            "requests": self.requests,
            "requests_per_s": self.requests / self.seconds,
            "MB_per_s": self.requests * length / self.seconds / 1e6,
            "server_us_per_request": self.server_seconds / self.requests * 1e6,
            "p50_ms": ordered[len(ordered) // 2] * 1e3,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3,
        }


class Connection(asyncio.Protocol):
    """Asks for one random range after the other; checks status, length and the first bytes of each."""

    def __init__(self, path: str, length: int, until: float, latencies: list[float], luck: random.Random) -> None:
        self.path, self.length, self.until, self.latencies, self.luck = path, length, until, latencies, luck
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.start = time.perf_counter()
        if self.start >= self.until:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self.offset = self.luck.randrange((SIZE - self.length) // 8) * 8
        last = self.offset + self.length - 1
        request = f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\nRange: bytes={self.offset}-{last}\r\n\r\n"
        self.transport.write(request.encode())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n") + 4
        if end < 4 or len(self.buffer) < end + self.length:
            return
        # Every 8 bytes of the object are their own offset.
        number = int.from_bytes(self.buffer[end : end + 8], "little")
        right = self.buffer.startswith(b"HTTP/1.1 206") and number == self.offset
        if not right or len(self.buffer) != end + self.length:
            self.connection_lost(RuntimeError(f"wrong answer: {bytes(self.buffer[:200])!r}"))
            return
        self.latencies.append(time.perf_counter() - self.start)
        self.buffer.clear()
        self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or RuntimeError("the server closed the connection"))


async def turn(url: str, length: int, connections: int, seconds: float, seed: int) -> list[float]:
    """Latencies in seconds."""
    parts = urlsplit(url)
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    opened = []
    for n in range(connections):
        luck = random.Random(seed * 1000 + n)
        _, protocol = await loop.create_connection(
            partial(Connection, parts.path, length, until, latencies, luck), parts.hostname or "", parts.port or 80
        )
        opened.append(protocol.done)
    await asyncio.gather(*opened)
    return latencies


def processor_seconds(pid: int) -> float:
    """User and system time of a process and its children."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(processor_seconds(int(child)) for child in children)


@contextmanager
def both(folder: Path, work: Path) -> Iterator[dict[str, tuple[int, str]]]:
    """name -> (process id, address of the object)."""
    ports = processes.free_port(), processes.free_port()
    conf = work / "nginx.conf"
    # One event loop against one event loop, both without an access log.
    text = servers.nginx_conf(folder, ports[0], work).replace("worker_processes 2", "worker_processes 1")
    text = text.replace(f"access_log {work / 'access.log'};", "access_log off; keepalive_requests 1000000;")
    conf.write_text(text)
    nginx = [processes.tool("nginx"), "-p", str(work), "-e", str(work / "error.log"), "-c", str(conf)]
    code = "import sys; from firstlight.web import run; run(sys.argv[1], '127.0.0.1', int(sys.argv[2]))"
    own = [sys.executable, "-c", code, str(folder), str(ports[1])]
    with (
        processes.listening(nginx, ports[0], work / "nginx.log") as first,
        processes.listening(own, ports[1], work / "firstlight.log") as second,
    ):
        yield {
            "nginx": (first.pid, f"http://127.0.0.1:{ports[0]}/{OBJECT}"),
            "firstlight": (second.pid, f"http://127.0.0.1:{ports[1]}/data/{OBJECT}"),
        }


def measure(work: Path, seconds: float, length: int, connections: int) -> list[dict[str, object]]:
    """One row for each server; `seconds` for each in all."""
    folder = work / "images"
    path = folder / OBJECT
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for at in range(0, SIZE, 1 << 20):
            file.write(b"".join(n.to_bytes(8, "little") for n in range(at, at + (1 << 20), 8)))
    tallies = {"nginx": Tally(), "firstlight": Tally()}
    with both(folder, work) as running:
        for number in range(ROUNDS):
            for name, (pid, url) in running.items():
                tally = tallies[name]
                start, before = time.perf_counter(), processor_seconds(pid)
                latencies = asyncio.run(turn(url, length, connections, seconds / ROUNDS, number))
                tally.seconds += time.perf_counter() - start
                tally.server_seconds += processor_seconds(pid) - before
                tally.requests += len(latencies)
                tally.latencies += latencies
    return [tally.row(name, length, connections) for name, tally in tallies.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6, help="for each server (default: 6)")
    parser.add_argument("--length", type=int, default=16384, help="bytes of a range (default: 16384)")
    parser.add_argument("--connections", type=int, default=16)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-server-") as work:
        rows = measure(Path(work), given.seconds, given.length, given.connections)
    print(record.table(rows))
    nginx, own = rows
    for name in ("requests_per_s", "server_us_per_request"):
        print(f"{name}: firstlight / nginx = {float(str(own[name])) / float(str(nginx[name])):.2f}")
    print(f"wrote {record.write('server', rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
