"""`closer ledger`: commands about the ledger as a whole."""

from __future__ import annotations

import click

from worker.cli import options
from worker.cli.output import plain, print_json
from worker.cli.session import with_context
from worker.operations import policy


@click.group()
def ledger() -> None:
    """Commands about the ledger as a whole."""


@ledger.command("move-api")
@options.signed
@options.as_json
def move_api(by: str | None, why: str, as_json: bool) -> None:
    """Make this ledger one for the API at CLOSER_API_BASE_URL.

    A ledger is for one API: its first worker notes the address, and whoever would call another one refuses.
    This is for when the API itself has got another address. Stop all workers first; each group that is not
    closed will be closed at the new address.

    \b
    Example:
      CLOSER_API_BASE_URL=https://api.sorted.com/v2 closer ledger move-api --why 'Sorted has moved'
    """
    before, now = with_context(lambda context: policy.move_api(context, why=why), by=by)
    if as_json:
        print_json({"before": before, "now": now})
    elif before == now:
        click.echo(plain(f"This ledger is for the API at {now} already; nothing was changed."))
    else:
        click.echo(plain(f"This ledger is for the API at {now} now; it was for {before or 'none'}."))
