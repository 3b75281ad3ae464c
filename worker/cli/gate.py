"""`closer pause` and `closer resume`."""

from __future__ import annotations

import click

from worker.cli import options
from worker.cli.output import plain, print_json
from worker.cli.session import at_desk, operator
from worker.operations import gate
from worker.operations.gate import Gate


@click.command()
@options.signed(why_needed=False)
@options.as_json
def pause(by: str | None, why: str, as_json: bool) -> None:
    """Make no more calls to the API until `closer resume`, in the whole fleet.

    Events are still taken in, calls in flight end, and deadlines stand still meanwhile.

    \b
    Example:
      closer pause --why 'Sorted is being upgraded until 04:00'
    """
    _tell(at_desk(lambda desk: gate.pause(desk, by=operator(by, desk.settings), why=why)), as_json)


@click.command()
@options.signed(why_needed=False)
@options.as_json
def resume(by: str | None, why: str, as_json: bool) -> None:
    """Open the gate, whatever had shut it; few calls are made at first.

    \b
    Example:
      closer resume --why 'the upgrade is done'
    """
    _tell(at_desk(lambda desk: gate.resume(desk, by=operator(by, desk.settings), why=why)), as_json)


def _tell(found: Gate, as_json: bool) -> None:
    if as_json:
        print_json(found.as_json())
    elif found.open:
        click.echo("The gate is open: calls are made.")
    else:
        click.echo(plain(f"The gate is shut ({found.reason}, by {found.by}): no calls until `closer resume`."))
