"""How the demo goes: a live table on a terminal, plain lines in a pipe, nothing when only the result is wanted."""

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
    """The demo at one moment, as the store and the simulated API tell it. `shut`: why the gate is shut, or empty."""

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
        """Groups of which the ledger knows the end."""
        return self.states["closed"] + self.states["failed"]

    @property
    def over(self) -> bool:
        """Nothing is left to be done: what has no end now has been lost."""
        return not self.backlog and not self.unfinished


class View(Protocol):
    """Shows one look after the other."""

    def show(self, look: Look) -> None:
        """Show this one."""


class Silence:
    """Shows nothing."""

    def show(self, look: Look) -> None:
        """Show nothing."""


class Lines:
    """A plain line now and then, when something has changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: Look | None = None

    def show(self, look: Look) -> None:
        """One line, a second after the last one at the earliest, and one at the end."""
        last = self._last
        if last and not look.over and look.seconds - last.seconds < _LINE_EVERY_S:
            return
        self._last = look
        words = [f"{name} {number}" for name, number in _numbers(look)]
        self._console.print(f"{look.seconds:5.1f} s  {', '.join(words)}", soft_wrap=True)


class LiveTable:
    """A table that is drawn anew in its place."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, look: Look) -> None:
        """Draw it; `live` decides when."""
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
    """What suits this console."""
    if not console.is_terminal:
        yield Lines(console)
        return
    with Live(console=console, refresh_per_second=10) as live:
        yield LiveTable(live)


def _numbers(look: Look) -> list[tuple[str, int]]:
    return [("on the stream", look.backlog), *look.states.items(), ("rejected", look.rejected), ("calls", look.calls)]
