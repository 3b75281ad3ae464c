"""What operators see: plain in a pipe, coloured on a terminal, and no control character that came from outside."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable
from typing import IO, Any

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_WIDTH = 80
_PIPE_WIDTH = 1000  # in a pipe a row is a line, however long
_STYLES = {
    "failed": "bold red", "closed": "green", "discarded": "dim", "retrying": "yellow", "closing": "cyan",
    "queued": "cyan", "ok": "green", "warning": "yellow", "wrong": "bold red",
}  # fmt: skip


def console(file: IO[str] | None = None) -> Console:
    """A console on stdout, or `file`. Nothing that is printed is taken for markup or an emoji."""
    out = file or sys.stdout
    width = None if out.isatty() else _PIPE_WIDTH
    return Console(file=out, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def show(page: RenderableType) -> None:
    """Print on stdout; in a pipe without the spaces that only a terminal's rows need."""
    out = console()
    if out.is_terminal:
        out.print(page)
        return
    with out.capture() as captured:
        out.print(page)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def plain(text: object) -> str:
    """The text with every character that could steer a terminal written as \\xNN or \\uNNNN."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text))


def styled(text: object, style: str = "") -> Text:
    """Plain text in a style, or in that of a state's or finding's name."""
    return Text(plain(text), style=_STYLES.get(style, style))


def table(*columns: str, header: bool = True) -> Table:
    """An empty table without lines; a column named with a leading `>` holds numbers."""
    made = Table(box=None, show_header=header, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for index, column in enumerate(columns):
        right = column.startswith(">")
        made.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold", no_wrap=index > 0)
    return made


def facts() -> Table:
    """An empty grid of names and what there is to say of each."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def paragraph(text: str, indent: str = "") -> str:
    """Text wrapped for 80 columns, each line but the first indented."""
    return textwrap.fill(plain(text), _WIDTH - 1, subsequent_indent=indent, break_on_hyphens=False)


def print_json(document: Any) -> None:
    """One JSON document on one line of stdout, in ASCII: no control character survives in it."""
    click.echo(json.dumps(document))


def print_json_lines(documents: Iterable[Any]) -> None:
    """One object a line."""
    for document in documents:
        print_json(document)


def say(message: str) -> None:
    """Tell the operator something beside the output, on stderr."""
    click.echo(message, err=True)


def age(seconds: float | None) -> str:
    """How long, in at most two units: `3 h 12 min`."""
    if seconds is None:
        return "-"
    left = int(seconds)
    for unit_s, unit, smaller_s, smaller in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if left >= unit_s:
            more = left % unit_s // smaller_s
            return f"{left // unit_s} {unit}" + (f" {more} {smaller}" if more else "")
    return f"{left} s"


def count(number: int, one: str, many: str = "") -> str:
    """`1 closure`, `1,200 closures`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def counts(numbers: dict[str, int]) -> str:
    """`3 closed, 2 unknown`, the greatest first."""
    return ", ".join(f"{number:,} {plain(name)}" for name, number in sorted(numbers.items(), key=lambda item: -item[1]))


def clock(iso_time: str) -> str:
    """An ISO time for people, in UTC: `2026-01-31 03:14:05`."""
    return iso_time[:19].replace("T", " ")
