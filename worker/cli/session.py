"""Runs a command's work: one event loop, one connection pool, and a Ctrl-C that stops it between two steps."""

from __future__ import annotations

import asyncio
import getpass
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from worker.cli import phrase
from worker.operations.context import OperatorContext, open_context
from worker.operations.operator import Operator, Role
from worker.operations.refusal import Refused, Rule
from worker.settings import Settings, load

T = TypeVar("T")


def with_context(work: Callable[[OperatorContext], Awaitable[T]], *, by: str | None = None) -> T:
    """Do the work in the operator's name, see `operator`.

    Raises ConfigurationError; StoreAway that tells which address was tried; and click.UsageError for what is refused.
    """
    settings = load()

    async def run() -> T:
        async with open_context(operator(by, settings), settings) as context:
            return await work(context)

    try:
        return asyncio.run(run())
    except Refused as refused:
        if refused.rule is Rule.SEVERAL_KINDS:  # its command has more to say about it
            raise
        raise click.UsageError(phrase.refusal(refused)) from None


def stop_on_interrupt() -> asyncio.Event:
    """Return an event that the first Ctrl-C or SIGTERM sets. The second ends the process as usual."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def told() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told)
    return stop


def operator(by: str | None, settings: Settings) -> Operator:
    """Return who acts: `--by`, else CLOSER_OPERATOR, else the login name; a nameless operator when there is none.

    Whoever may run a command here reaches the store and so can do all: the role is `ADMIN`.
    """
    try:
        name = by or settings.operator or getpass.getuser()
    except (OSError, KeyError):
        name = ""
    return Operator(name, Role.ADMIN, "cli")
