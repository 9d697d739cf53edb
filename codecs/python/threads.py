"""Work spread over threads: the kernels release the GIL."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")

# Parts of the work that each thread takes, one after the other: parts are not equally hard.
_PARTS = 4


def processors(threads: int | None) -> int:
    """How many threads that means."""
    return threads or os.cpu_count() or 1


class Spread(Protocol):
    """``[work(item) for item in items]``, on threads."""

    def __call__(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]: ...


@contextmanager
def workers(threads: int) -> Iterator[Spread]:
    """So many threads for several rounds of work."""

    def alone(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        return [work(item) for item in items]

    def together(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        return list(pool.map(work, items)) if len(items) > 1 else alone(work, items)

    if threads <= 1:
        yield alone
        return
    with ThreadPoolExecutor(threads) as pool:
        yield together


def spread(work: Callable[[Item], Result], items: Sequence[Item], threads: int | None) -> list[Result]:
    """``[work(item) for item in items]`` on `threads` threads (None: one per processor)."""
    with workers(min(processors(threads), len(items))) as run:
        return run(work, items)


def batched(rows: NDArray[Any], threads: int | None) -> list[NDArray[Any]]:
    """An array in parts, in their order, for `spread`: all of it for one thread, a few parts for each of several."""
    count = processors(threads)
    return [rows] if count == 1 else np.array_split(rows, min(count * _PARTS, max(len(rows), 1)))
