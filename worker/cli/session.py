"""How a command works: one loop, one connection pool, and a Ctrl-C that stops it between two steps."""

from __future__ import annotations

import asyncio
import getpass
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from worker.operations.context import OperatorContext, open_context
from worker.settings import Settings, load

T = TypeVar("T")


def with_context(work: Callable[[OperatorContext], Awaitable[T]]) -> T:
    """Do the work. Raises ConfigurationError, and StoreUnavailable that tells which address was tried."""
    settings = load()

    async def run() -> T:
        async with open_context(settings) as context:
            return await work(context)

    return asyncio.run(run())


def stop_on_interrupt() -> asyncio.Event:
    """An event that the first Ctrl-C, or SIGTERM, sets; the second ends the process as usual."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def told() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told)
    return stop


def operator(by: str | None, settings: Settings) -> str:
    """Who acts: `--by`, else CLOSER_OPERATOR, else the login name. Raises click.UsageError when there is none."""
    try:
        name = (by or settings.operator or getpass.getuser()).strip()
    except (OSError, KeyError):
        name = ""
    if not name:
        raise click.UsageError("nobody knows who you are: give --by NAME, or set CLOSER_OPERATOR")
    return name[:100]
