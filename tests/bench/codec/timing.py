"""Seconds of processor time: other work on the machine is not counted, and a second thread would be."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What `work` gives, and the processor time that this process spent on it."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def race(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Each contestant's least processor time in `rounds` rounds; they take turns within a round."""
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(rounds):
        for name, work in contestants.items():
            best[name] = min(best[name], timed(work)[1])
    return best
