"""`closer requeue` and `closer discard`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import click

from tasks.closure import State
from worker.cli import options
from worker.cli.output import counts, plain, print_json, say
from worker.cli.progress import ProgressBar
from worker.cli.session import operator, stop_on_interrupt, with_context
from worker.operations import act
from worker.operations.act import DONE, FrozenSelection, Result, Verb
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.selection import Selection

_ASK_OVER = 20
_FAILED = frozenset({State.FAILED})


@dataclass(frozen=True, slots=True)
class Told:
    """What the operator has said on the command line."""

    chosen: Selection
    by: str | None
    why: str
    rate: float | None
    dry_run: bool
    yes: bool
    as_json: bool


Work = Callable[[OperatorContext, FrozenSelection, BulkOptions], Awaitable[Result]]


@click.command()
@options.selection
@options.signed(why_needed=False)
@click.option("--lock", is_flag=True, help="Lock groups that are still open first: for reason not_locked.")
@options.rate
@options.dry_run
@options.yes
@options.as_json
def requeue(lock: bool, **given: Any) -> None:
    """Queue failed closures again: those named, or all that match the filters.

    Each gets a new deadline and keeps its history. What is chosen is looked up once, before anything
    changes. Ctrl-C stops after the current chunk; running it again does the rest.

    \b
    Examples:
      closer requeue --reason forbidden --dry-run
      closer requeue --reason forbidden --why 'permission is back'
      closer requeue sg_123 --lock --why 'warehouse forgot to lock it'
    """

    async def work(context: OperatorContext, frozen: FrozenSelection, bulk: BulkOptions) -> Result:
        return await act.requeue(context, frozen, bulk, lock=lock)

    _run("requeue", work, Told(**given))


@click.command()
@options.selection
@options.signed(why_needed=True)
@options.rate
@options.dry_run
@options.yes
@options.as_json
def discard(**given: Any) -> None:
    """Give failed closures up for good: those named, or all that match the filters.

    Nothing will try to close them again, not even a new event. They stay in sight as `discarded`;
    one that turns out to be closed counts as closed.

    \b
    Example:
      closer discard --reason gone --why 'removed by Sorted, ticket 4711'
    """
    _run("discard", act.discard, Told(**given))


def _run(verb: Verb, work: Work, told: Told) -> None:
    async def at_work(context: OperatorContext) -> Result | None:
        who = operator(told.by, context.settings)
        frozen = await act.freeze(context, told.chosen, states=_FAILED)
        if told.dry_run:
            _tell_dry_run(verb, frozen, told.as_json)
            return None
        if len(frozen.eligible) > _ASK_OVER and not told.yes and sys.stdin.isatty():
            click.confirm(f"{verb.capitalize()} {len(frozen.eligible):,} failed closures?", abort=True, err=True)
        with ProgressBar(len(frozen.eligible), verb) as bar:
            return await work(
                context, frozen, BulkOptions(who, told.why, told.rate or 0.0, stop_on_interrupt(), bar.advance)
            )

    result = with_context(at_work)
    if result is not None:
        _tell(verb, result, told.as_json)
        sys.exit(1 if result.stopped or (told.chosen.references and not result.changed) else 0)


def _tell_dry_run(verb: Verb, frozen: FrozenSelection, as_json: bool) -> None:
    if as_json:
        print_json(act.dry_run(verb, frozen))
        return
    click.echo(f"{frozen.matched:,} match; {len(frozen.eligible):,} of them would be {DONE[verb]}.")
    if frozen.skipped:
        click.echo(f"Not the others, for only failed closures can be: {counts(frozen.skipped)}.")
    click.echo("Nothing was changed: this was a dry run.")


def _tell(verb: Verb, result: Result, as_json: bool) -> None:
    if as_json:
        print_json(result.as_json())
    elif result.matched:
        click.echo(f"{DONE[verb].capitalize()} {result.changed:,} of {result.matched:,} that match.")
        if result.skipped:
            click.echo(f"Not the others, for only failed closures can be: {counts(dict(result.skipped))}.")
    else:
        click.echo("Nothing matches; nothing was changed.")
    if result.stopped:
        left = result.matched - result.changed - result.skipped.total()
        say(plain(f"Stopped: {left:,} were not touched. The same command again does the rest."))
