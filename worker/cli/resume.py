"""`closer resume`: ends a pause, and probes the API at once."""

from __future__ import annotations

import click

from worker.cli import options
from worker.cli.gate import tell
from worker.cli.session import with_context
from worker.operations import gate


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
    tell(found, as_json)
