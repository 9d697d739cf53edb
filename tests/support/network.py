"""A TCP pass-through that counts: whatever a browser's pages, workers and sockets transfer is seen here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass
class Counted:
    """A counting address in front of a server: `url` is to be used instead of the server's own."""

    url: str
    down: int = 0  # bytes from the server, headers included
    up: int = 0


@asynccontextmanager
async def counted(url: str) -> AsyncIterator[Counted]:
    """Stand between a client and the server at `url`, on a port of its own."""
    target = urlsplit(url)
    counts = Counted("")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        try:
            while data := await reader.read(1 << 16):
                setattr(counts, direction, getattr(counts, direction) + len(data))
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(pump(reader, up_writer, "up"), pump(up_reader, writer, "down"))

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    counts.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield counts
    finally:
        server.close()
