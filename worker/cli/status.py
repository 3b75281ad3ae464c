"""`closer status`: shows everything at a glance."""

from __future__ import annotations

import asyncio
import sys

import click
from rich.console import Group, RenderableType
from rich.live import Live

from tasks.errors import LedgerBroken, StoreUnavailable
from worker.cli import options
from worker.cli.output import console, is_narrow, print_json, say, styled
from worker.cli.output import show as print_page
from worker.cli.screens import status_screen
from worker.cli.session import with_context
from worker.cli.streams import nobody_reads
from worker.operations import status as statuses
from worker.operations.context import OperatorContext

_REFRESH_S = 1.0


@click.command()
@click.option("--watch", is_flag=True, help="Refresh every second, until Ctrl-C.")
@options.as_json
def status(watch: bool, as_json: bool) -> None:
    """Show everything at a glance: the gate, closures, failures, events, workers.

    \b
    Example:
      closer status --watch
    """
    if watch:
        _watch(as_json)
        return
    shown = with_context(statuses.status)
    if as_json:
        print_json(shown.as_json())
    else:
        print_page(status_screen(shown))


def _watch(as_json: bool) -> None:
    try:
        with_context(_repeat_json if as_json or not sys.stdout.isatty() else _repeat if is_narrow() else _refresh)
    except KeyboardInterrupt:
        say("")


async def _repeat_json(context: OperatorContext) -> None:
    while not nobody_reads():  # or until Ctrl-C: the operator asked for an endless command
        print_json((await statuses.status(context)).as_json())
        await asyncio.sleep(_REFRESH_S)


async def _repeat(context: OperatorContext) -> None:
    while True:  # until Ctrl-C
        screen = await _screen(context)
        click.clear()  # rows that the terminal wraps cannot be drawn over one by one
        print_page(screen)
        await asyncio.sleep(_REFRESH_S)


async def _refresh(context: OperatorContext) -> None:
    with Live(console=console(), auto_refresh=False) as live:
        while True:  # until Ctrl-C
            live.update(await _screen(context), refresh=True)
            await asyncio.sleep(_REFRESH_S)


async def _screen(context: OperatorContext) -> RenderableType:
    """Return the status, or why it is not known. A store that is away for a while does not end the watch."""
    try:
        return Group(status_screen(await statuses.status(context)), "", styled("Ctrl-C ends this.", "dim"))
    except (StoreUnavailable, LedgerBroken) as error:
        return styled(f"{str(error).partition(chr(10))[0]}; asking again …", "wrong")
