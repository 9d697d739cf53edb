"""What a person sees: sizes and times in words, and progress.

On a terminal progress is one bar at the bottom of stderr; elsewhere (a log, a pipe) a plain line now and then.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType, TracebackType
from typing import NoReturn, Self

PLAIN_SECONDS = 10.0
WIDE = 100
"""Columns from which there is room for the part at work."""
LONGEST = 30
"""Characters of a bar's name: what comes after it matters more."""


def size(count: float) -> str:
    """Bytes as a person says them, decimal: 812 B, 8.1 MB."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        count /= 1000
        if count < 999.5 or unit == "PB":
            break
    return f"{count:.1f} {unit}" if count < 99.95 else f"{count:.0f} {unit}"


def seconds(count: float) -> str:
    """A duration: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if count < 10:
        return f"{count:.1f} s"
    whole = round(count)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def percent(part: float, whole: float) -> str:
    """A share with two significant digits below 10 %."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 shard`, `12 shards`, `12,345 shards`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def note(text: str) -> None:
    """A line for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Progress of one task that is measured in bytes of samples.

    Parameters
    ----------
    what : str
        What is being done: "Ingesting slide.svs".
    quiet : bool
        Show nothing.
    """

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what = what
        self._quiet = quiet
        self._stack = ExitStack()
        self._start = time.monotonic()
        self._said = self._start
        self._bar: _Bar | None = None

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            self._bar = self._stack.enter_context(_Bar(self._what))
            self._stack.enter_context(_ctrl_c(self._stopping))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def elapsed(self) -> float:
        """Seconds since the task began."""
        return time.monotonic() - self._start

    def update(self, done: int, total: int, stage: str = "") -> None:
        """`done` of `total` bytes are done; `stage` names the part at work."""
        if self._bar is not None:
            self._bar.update(done, total, stage)
        elif not self._quiet and time.monotonic() - self._said >= PLAIN_SECONDS:
            self._said = time.monotonic()
            note(f"{self._what}: {percent(done, total)} of {size(total)}{_pace(done, total, self.elapsed)}")

    def note(self, text: str) -> None:
        """A line above the bar."""
        if self._bar is not None:
            self._bar.note(text)
        elif not self._quiet:
            note(text)

    def _stopping(self) -> None:
        """Ctrl-C was heard, even if what is under way takes a moment to end."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._quiet = True
            note("stopping ...")


def _pace(done: float, total: float, elapsed: float, ago: float = 0.0) -> str:
    """`, 21 MB/s, 26 s left` from what was done `ago` seconds ago, `elapsed` seconds after the start; "" at first."""
    if not done or not elapsed:
        return ""
    left = max(elapsed * (total - done) / done - ago, 0)
    return f", {size(done / elapsed)}/s, {seconds(left)} left"


@contextmanager
def _ctrl_c(heard: Callable[[], None]) -> Iterator[None]:
    """Call `heard` at once when Ctrl-C is pressed, before it stops what is at work."""

    def handler(number: int, frame: FrameType | None) -> NoReturn:
        heard()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Bar:
    """A rich progress bar on stderr, which vanishes at the end: the command's own last line says how it went."""

    def __init__(self, what: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column
        from rich.text import Text

        class Pace(ProgressColumn):
            """How much is done, how fast, and how long it takes still: that one goes on between updates."""

            def render(self, task: Task) -> Text:
                if task.total is None:
                    return Text("")
                at = task.fields["at"]
                ago = time.monotonic() - start - at
                text = f"{size(task.completed)} of {size(task.total)}{_pace(task.completed, task.total, at, ago)}"
                return Text(text, no_wrap=True)

        start = self._start = time.monotonic()
        self._console = Console(stderr=True, highlight=False)
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),  # takes what the texts leave
            Pace(table_column=Column(no_wrap=True)),
        ]
        if self._console.width >= WIDE:
            columns.append(TextColumn("({task.fields[stage]})", markup=False, table_column=Column(no_wrap=True)))
        if len(what) > LONGEST:
            what = what[: LONGEST - 1] + "…"
        self._progress = RichProgress(
            *columns,
            console=self._console,
            transient=True,
            expand=True,
        )
        self._task = self._progress.add_task(what, total=None, stage="reading", at=0.0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._progress.stop()

    def update(self, done: int, total: int, stage: str) -> None:
        at = time.monotonic() - self._start
        self._progress.update(self._task, completed=done, total=total, stage=stage, at=at)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)
