"""`closer pause` and `closer resume`."""

from __future__ import annotations

import click

from tasks.ledger.gate import Gate
from worker.cli import options
from worker.cli.output import plain, print_json
from worker.cli.phrase import ends
from worker.cli.session import with_context
from worker.operations import gate


@click.command()
@options.signed
@options.as_json
def pause(by: str | None, why: str, as_json: bool) -> None:
    """Make no more calls to the API until `closer resume`, in the whole fleet.

    Events are still taken in, calls in flight end, and deadlines stand still meanwhile.

    \b
    Example:
      closer pause --why 'Sorted is being upgraded until 04:00'
    """
    _tell(with_context(lambda context: gate.pause(context, why=why), by=by), as_json)


@click.command()
@options.signed
@click.option("--override-retry-after", is_flag=True, help="Call although the API asked to hold back; needs --why.")
@options.as_json
def resume(by: str | None, why: str, override_retry_after: bool, as_json: bool) -> None:
    """End a pause, and try at once whether an outage is over or a key is accepted again.

    Few calls are made at first. When the API has asked to hold back (Retry-After), that still stands; to end it
    all the same, say --override-retry-after, and why.

    \b
    Example:
      closer resume --why 'the upgrade is done'
    """
    found = with_context(
        lambda context: gate.resume(context, why=why, override_retry_after=override_retry_after), by=by
    )
    _tell(found, as_json)


def _tell(found: Gate, as_json: bool) -> None:
    if as_json:
        print_json(found.as_json())
    elif found.open:
        click.echo("The gate is open: calls are made.")
    else:
        click.echo("The gate is shut: no calls are made.")
        for one in found.standing:
            click.echo(plain(f"  {one.reason}, by {one.by}: {ends(one, found)}"))
