"""Prints for operators: plain text in a pipe, colours on a terminal, and never a control character from outside."""

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

from worker.operations.ages import age

__all__ = [
    "age", "clock", "console", "count", "counts", "facts", "is_narrow", "paragraph", "plain", "print_json",
    "print_json_lines", "say", "show", "styled", "table",
]  # fmt: skip
_WIDTH = 80
_PIPE_WIDTH = 1000  # in a pipe a row is never wrapped
_STYLES = {
    "failed": "bold red", "closed": "green", "discarded": "dim", "retrying": "yellow", "closing": "cyan",
    "queued": "cyan", "held": "magenta", "ok": "green", "warning": "yellow", "wrong": "bold red",
}  # fmt: skip


def console(file: IO[str] | None = None, *, narrowest: int = _WIDTH) -> Console:
    """Return a console on stdout, or on `file`. It reads no markup and no emoji names in the text that it prints.

    `narrowest`: columns. A terminal with fewer wraps the rows itself; to fit them in would cut references off.
    """
    out = file or sys.stdout
    width = None if out.isatty() else _PIPE_WIDTH
    made = Console(file=out, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)
    made.width = max(made.width, narrowest)
    return made


def is_narrow() -> bool:
    """Return whether stdout is a terminal of fewer columns than a screen of closer's needs."""
    return console(narrowest=0).width < _WIDTH


def show(page: RenderableType) -> None:
    """Print on stdout. In a pipe, lines end without the spaces that would fill a terminal's row."""
    out = console()
    if out.is_terminal:
        out.print(page)
        return
    with out.capture() as captured:
        out.print(page)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def plain(text: object) -> str:
    """Return the text with every character that could steer a terminal written as \\xNN or \\uNNNN."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text))


def styled(text: object, style: str = "") -> Text:
    """Return plain text in a style: a state's or a finding's name, or any style of rich's."""
    return Text(plain(text), style=_STYLES.get(style, style))


def table(*columns: str, header: bool = True) -> Table:
    """Return an empty table without lines. A column whose name begins with `>` holds numbers."""
    made = Table(box=None, show_header=header, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for index, column in enumerate(columns):
        right = column.startswith(">")
        made.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold", no_wrap=index > 0)
    return made


def facts() -> Table:
    """Return an empty grid with two columns: a name, and what there is to say about it."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def paragraph(text: str, indent: str = "", width: int = _WIDTH - 1) -> str:
    """Return the text wrapped for 80 columns, or for this width. Each line but the first is indented."""
    return textwrap.fill(plain(text), width, subsequent_indent=indent, break_on_hyphens=False)


def print_json(document: Any) -> None:
    """Print one JSON document on one line of stdout. It is ASCII, so no control character survives in it."""
    click.echo(json.dumps(document))


def print_json_lines(documents: Iterable[Any]) -> None:
    """Print each document as one line of JSON on stdout."""
    for document in documents:
        print_json(document)


def say(message: str) -> None:
    """Print a message on stderr, so that it is not mixed with the output."""
    click.echo(message, err=True)


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun, as in `1 closure` or `1,200 closures`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def counts(numbers: dict[str, int]) -> str:
    """Return numbers with their names, as in `3 closed, 2 unknown`; the greatest comes first."""
    return ", ".join(f"{number:,} {plain(name)}" for name, number in sorted(numbers.items(), key=lambda item: -item[1]))


def clock(iso_time: str) -> str:
    """Return an ISO time in UTC as people read it, as in `2026-01-31 03:14:05`."""
    return iso_time[:19].replace("T", " ")
