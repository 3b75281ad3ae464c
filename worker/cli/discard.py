"""`closer discard`: gives failed closures up."""

from __future__ import annotations

from typing import Any

import click

from worker.cli import options
from worker.cli.bulk import Given, act
from worker.operations import bulk
from worker.operations.operator import Verb


@click.command()
@options.selection
@options.signed
@options.rate
@options.ask_api
@options.while_shut
@options.detach
@options.dry_run
@options.yes
@options.as_json
def discard(**given: Any) -> None:
    """Give failed closures up for good: those named, or all that match the filters. Needs --why.

    Nothing will try to close them again, not even a new event. They stay in sight as `discarded`;
    one that turns out to be closed counts as closed. `closer actions recall` undoes it.

    \b
    Example:
      closer discard --reason gone --why 'removed by Sorted, ticket 4711'
    """
    act(Verb.DISCARD, bulk.discard, Given(**given))
