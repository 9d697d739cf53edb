"""One event loop in a background thread for the whole process, and the few tools that work on it needs.

Synchronous callers `run` a coroutine there; asynchronous ones iterate a generator that lives there by `stream_from`,
whatever loop they are on themselves.
"""

import asyncio
import atexit
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")
EXIT_SECONDS = 1.0

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_owner = 0  # the process that the loop's thread lives in: a fork has the variables, and no thread


def background_loop() -> asyncio.AbstractEventLoop:
    """The loop, started when it is first needed."""
    global _loop, _owner
    with _lock:
        if _loop is None or _owner != os.getpid():
            _loop = asyncio.new_event_loop()
            _owner = os.getpid()
            threading.Thread(target=_loop.run_forever, name="firstlight-loop", daemon=True).start()
            atexit.register(_wind_down, _loop, _owner)
        return _loop


def _wind_down(loop: asyncio.AbstractEventLoop, owner: int) -> None:
    """At exit: call off what is under way. A request that outlives the interpreter makes obstore's threads panic."""
    if owner != os.getpid():
        return

    async def cancel_all() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with contextlib.suppress(TimeoutError):
        asyncio.run_coroutine_threadsafe(cancel_all(), loop).result(EXIT_SECONDS)
    # The requests themselves end on threads of obstore's, which tell nobody when.
    time.sleep(0.01)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop and wait for it. An exception here (Ctrl-C) cancels it."""
    future = asyncio.run_coroutine_threadsafe(work, background_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def stream_from(source: AsyncGenerator[T, None]) -> AsyncIterator[T]:
    """The items of a generator whose work is done on the background loop; closes it when the reader stops."""
    loop = background_loop()
    turn = asyncio.Lock()  # held by whoever runs the generator: it can't be closed in the middle of a step

    async def step() -> tuple[T] | None:
        async with turn:
            try:
                return (await anext(source),)
            except StopAsyncIteration:
                return None

    async def close() -> None:
        async with turn:
            await source.aclose()

    try:
        while (item := await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(step(), loop))) is not None:
            yield item[0]
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop)


async def together(work: Iterable[Awaitable[T]]) -> list[T]:
    """Results of awaitables that run at once, in their order. The first failure cancels the others and is raised."""

    async def one(item: Awaitable[T]) -> T:
        return await item

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures.exceptions[0].__cause__
    return [task.result() for task in tasks]


class Allowance:
    """A quantity that many tasks draw on, first come, first served.

    Parameters
    ----------
    total : int
        What may be out at once. A task that wants more gets it when nobody else has any.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def of(self, amount: int) -> AsyncIterator[None]:
        """Hold `amount` inside the block."""
        amount = min(amount, self._total)
        await self._take(amount)
        try:
            yield
        finally:
            self._free += amount
            self._wake()

    async def _take(self, amount: int) -> None:
        if not self._waiting and amount <= self._free:
            self._free -= amount
            return
        ready = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, ready))
        try:
            await ready
        except asyncio.CancelledError:
            if ready.done() and not ready.cancelled():  # it was given just before
                self._free += amount
            self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self._free):
            amount, ready = self._waiting.popleft()
            if not ready.done():
                self._free -= amount
                ready.set_result(None)
