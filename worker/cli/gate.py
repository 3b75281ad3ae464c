"""Prints the gate for `closer pause` and `closer resume`."""

from __future__ import annotations

import click

from tasks.ledger.gate import Gate
from worker.cli.output import plain, print_json
from worker.cli.phrase import ends


def tell(found: Gate, as_json: bool) -> None:
    """Print whether calls are made. If they are not, print every reason and when it ends."""
    if as_json:
        print_json(found.as_json())
    elif found.open:
        click.echo("The gate is open: calls are made.")
    else:
        click.echo("The gate is shut: no calls are made.")
        for one in found.standing:
            click.echo(plain(f"  {one.reason}, by {one.by}: {ends(one, found)}"))
