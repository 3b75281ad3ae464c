"""Shows a progress bar on stderr where that is a terminal."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.cli.output import console

_WORTH_IT = 200


class ProgressBar:
    """A bar for long work. Nothing is shown for up to 200 items, or when stderr is not a terminal."""

    def __init__(self, total: int, what: str) -> None:
        """`total`: how many items there are. `what`: the word before the bar."""
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        shown = sys.stderr.isatty() and total > _WORTH_IT
        self._progress = Progress(*columns, console=console(sys.stderr, narrowest=0), disable=not shown, transient=True)
        self._task = self._progress.add_task(what, total=total)

    def advance(self, done: int) -> None:
        """Count `done` more items as done."""
        self._progress.advance(self._task, done)

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()
