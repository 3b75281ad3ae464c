"""`closer requeue`: queues failed closures again."""

from __future__ import annotations

from typing import Any

import click

from worker.cli import options
from worker.cli.bulk import Given, act
from worker.operations import bulk
from worker.operations.bulk import BulkOptions, BulkResult
from worker.operations.context import OperatorContext
from worker.operations.frozen import FrozenSelection
from worker.operations.operator import Verb


@click.command()
@options.selection
@options.signed
@click.option("--lock", is_flag=True, help="Lock groups that are still open first: for reason not_locked.")
@options.rate
@click.option(
    "--canary",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Queue N first. The others follow when all of these are closed; at the first that fails it stops.",
)
@click.option(
    "--canary-wait",
    type=options.Length(),
    default="10m",
    metavar="TIME",
    show_default=True,
    help="Stop when some of the canary are undecided for so long. Time while the gate is shut does not count.",
)
@options.ask_api
@options.while_shut
@options.detach
@options.dry_run
@options.yes
@options.as_json
def requeue(lock: bool, **given: Any) -> None:
    """Queue failed closures again: those named, or all that match the filters.

    Each gets a new deadline and keeps its history. What is chosen is looked up once, before anything
    changes. The action is stored: Ctrl-C stops it, `closer actions resume` has it go on, and
    `closer actions recall` takes back what has not been called since. With --ask-api a dry run tells what
    the API says of the groups; of more than 1,000, it asks for that many.

    \b
    Examples:
      closer requeue --reason not_found --canary 20 --rate 50/s --why 'account fixed'
      closer requeue --reason forbidden --dry-run --ask-api
      closer requeue --reason forbidden --why 'permission is back'
      closer requeue --file groups.txt --dry-run
      closer requeue sg_123 --lock --why 'warehouse forgot to lock it'
    """

    async def work(context: OperatorContext, frozen: FrozenSelection, how: BulkOptions) -> BulkResult:
        return await bulk.requeue(context, frozen, how, lock=lock)

    act(Verb.REQUEUE, work, Given(**given, lock=lock))
