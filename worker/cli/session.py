"""Runs a command's work in one event loop with one pool of connections. Ctrl-C stops it between two steps."""

from __future__ import annotations

import asyncio
import getpass
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from worker.cli import phrase
from worker.cli.streams import as_text
from worker.operations.context import OperatorContext, open_context
from worker.operations.operator import Operator, Role
from worker.operations.refusal import Refused, Rule
from worker.settings import Settings, load

T = TypeVar("T")


def with_context(work: Callable[[OperatorContext], Awaitable[T]], *, by: str | None = None) -> T:
    """Run the work in an operator's name, and return its result.

    `by`: the operator's name, see `operator`. Raises ConfigurationError; StoreAway, which tells the address that was
    tried; and click.UsageError for what is refused.
    """
    settings = load()

    async def run() -> T:
        async with open_context(operator(by, settings), settings) as context:
            return await work(context)

    try:
        return asyncio.run(run())
    except Refused as refused:
        if refused.rule is Rule.SEVERAL_KINDS:  # `closer rejected replay` prints these kinds itself
            raise
        raise click.UsageError(phrase.refusal(refused)) from None


def stop_on_interrupt() -> asyncio.Event:
    """Return an event that the first Ctrl-C or SIGTERM sets, so that the work ends after its present step.

    The second one ends the process at once, which loses nothing: each step is whole or not done.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def told() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told)
    return stop


def leave_on_hangup() -> asyncio.Event:
    """Return an event that a lost terminal (SIGHUP) sets, so that the work is left to the fleet.

    Where the signal is ignored, as under nohup, the work goes on.
    """
    leave = asyncio.Event()
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, leave.set)
    return leave


def operator(by: str | None, settings: Settings) -> Operator:
    """Return who acts: `--by`, else CLOSER_OPERATOR, else the login name; "" if there is none.

    The role is ADMIN, because whoever may run a command here can reach the store and so do everything.
    """
    try:
        name = by or settings.operator or getpass.getuser()
    except (OSError, KeyError):
        name = ""
    return Operator(as_text(name), Role.ADMIN, "cli")
