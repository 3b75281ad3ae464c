"""Shows the course of the demo: a live table on a terminal, plain lines in a pipe, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

_LINE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """The demo at one moment, as the store and the simulated API tell it.

    `seconds`: since the start. `groups`: how many were published. `backlog`: events not taken in yet. `states`:
    closures by state. `unfinished`: closures that have not ended. `calls`: so far. `shut`: why the gate is shut, "" if
    it is open.
    """

    seconds: float
    groups: int
    backlog: int
    rejected: int
    states: dict[str, int]
    unfinished: int
    calls: int
    shut: str = ""

    @property
    def ended(self) -> int:
        """How many groups are closed or failed in the ledger."""
        return self.states["closed"] + self.states["failed"]

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done. A group that has not ended by then is lost."""
        return not self.backlog and not self.unfinished


class View(Protocol):
    """Shows one look after the other."""

    def show(self, look: Look) -> None:
        """Show this look."""


class Silence:
    """Shows nothing. It is used when only the result is wanted."""

    def show(self, look: Look) -> None:
        """Show nothing."""


class Lines:
    """Prints a plain line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: Look | None = None

    def show(self, look: Look) -> None:
        """Print a line, at most one per second, and one at the end."""
        last = self._last
        if last and not look.over and look.seconds - last.seconds < _LINE_EVERY_S:
            return
        self._last = look
        words = [f"{name} {number}" for name, number in _numbers(look)]
        self._console.print(f"{look.seconds:5.1f} s  {', '.join(words)}", soft_wrap=True)


class LiveTable:
    """Draws a table again and again in the same place."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, look: Look) -> None:
        """Draw the table. `live` decides when it appears."""
        table = Table(box=None, show_header=False, padding=(0, 2))
        table.add_column(justify="left")
        table.add_column(justify="right")
        for name, number in _numbers(look):
            table.add_row(name, str(number))
        bar = ProgressBar(total=max(look.groups, 1), completed=look.ended, width=50)
        held = f"the API asked to hold back ({look.shut})" if look.shut else ""
        self._live.update(Group(table, bar, f"{look.seconds:.1f} s  {held}"))


@contextmanager
def view(console: Console) -> Iterator[View]:
    """Yield the view that suits this console."""
    if not console.is_terminal:
        yield Lines(console)
        return
    with Live(console=console, refresh_per_second=10) as live:
        yield LiveTable(live)


def _numbers(look: Look) -> list[tuple[str, int]]:
    return [("on the stream", look.backlog), *look.states.items(), ("rejected", look.rejected), ("calls", look.calls)]
