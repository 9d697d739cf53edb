"""Work spread over threads: the kernels release the GIL."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")

# Parts of the work that each thread takes, one after the other: parts are not equally hard.
_PARTS = 4


def processors(threads: int | None) -> int:
    """How many threads that means."""
    return threads or os.cpu_count() or 1


def spread(work: Callable[[Item], Result], items: Sequence[Item], threads: int | None) -> list[Result]:
    """``[work(item) for item in items]`` on `threads` threads (None: one per processor)."""
    count = min(processors(threads), len(items))
    if count <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, items))


def batched(rows: NDArray[Any], threads: int | None) -> list[NDArray[Any]]:
    """An array in parts, in their order, for `spread`: all of it for one thread, a few parts for each of several."""
    count = processors(threads)
    return [rows] if count == 1 else np.array_split(rows, min(count * _PARTS, max(len(rows), 1)))
