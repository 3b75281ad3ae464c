"""`closer check`: tells whether everything is set up as it must be."""

from __future__ import annotations

import asyncio
import sys

import click

from tasks.errors import ConfigurationError
from worker.broker import celery_variables
from worker.cli import options, phrase
from worker.cli.output import facts, print_json, styled
from worker.cli.output import show as print_page
from worker.cli.session import operator
from worker.operations import check as checking
from worker.operations.finding import Finding, Line
from worker.settings import load


@click.command()
@options.as_json
def check(as_json: bool) -> None:
    """Check configuration, store, broker, API and key, and tell how to correct what is wrong.

    Nothing is changed: the API is asked for a group that cannot exist. Exit code 1 when something is wrong.

    \b
    Example:
      closer check
    """
    try:
        lines = asyncio.run(_collect())
    except ConfigurationError as error:
        if as_json:
            wrong = Line("configuration", Finding.WRONG, phrase.error(error), "correct the variables that are named")
            print_json({"ok": False, "checks": [_line_json(wrong)]})
        raise
    good = all(line.finding is not Finding.WRONG for line in lines)
    if as_json:
        print_json({"ok": good, "checks": [_line_json(line) for line in lines]})
    else:
        _print(lines)
    sys.exit(0 if good else 1)


async def _collect() -> list[Line]:
    settings = load()
    celery_variables.forget()  # before Celery's modules read them
    from worker.app import app

    return [
        line async for line in checking.check(operator(None, settings), settings, app.connection_for_read, app.ignored)
    ]


def _line_json(line: Line) -> dict[str, str | None]:
    remedy = phrase.remedy(line.remedy, line.step)
    return {"name": line.name, "finding": line.finding.value, "message": line.message, "remedy": remedy}


def _print(lines: list[Line]) -> None:
    grid = facts()
    for line in lines:
        text = styled(f"{line.finding}: ", line.finding).append_text(styled(line.message, "not bold"))
        if remedy := phrase.remedy(line.remedy, line.step):
            text.append("\n")
            text.append_text(styled("→ " + remedy.replace("\n", " "), "bold"))
        grid.add_row(line.name, text)
    print_page(grid)
