"""Says what the API has said of the groups that a re-queue or a discard would change."""

from __future__ import annotations

import click

from worker.cli.output import count, counts
from worker.operations.ask_first import ApiSays
from worker.operations.operator import Verb


def tell_what_it_says(says: ApiSays, verb: Verb, *, lock: bool) -> None:
    """Print how many are closed already, and what would become of the others. `lock`: they would be locked first."""
    if says.is_sample:
        click.echo(f"A sample, spread evenly over the {says.eligible:,} groups, was asked for:")
    if not says.asked:
        click.echo("The API was not asked for any group.")
        return
    click.echo(
        f"{says.found['closed']:,} of {says.asked:,} {_are(says.found['closed'])} closed at the API already, "
        f"{says.found['open']:,} {_are(says.found['open'])} not locked{_of_open(verb, lock=lock)}, "
        f"{says.found['locked']:,} {_are(says.found['locked'])} locked."
    )
    if says.unclear:
        click.echo(f"{count(says.unclear.total(), 'group')} could not be told: {counts(dict(says.unclear))}.")
    if says.found["closed"]:
        click.echo("With --ask-api and without --dry-run, those that are closed are recorded so, without a call.")


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _of_open(verb: Verb, *, lock: bool) -> str:
    if verb is not Verb.REQUEUE:
        return ""
    return " and would be locked first" if lock else " and would fail again"
