"""`closer hold`: keeps groups from being closed."""

from __future__ import annotations

import asyncio
import sys
from functools import partial

import click

from worker.cli import options, phrase
from worker.cli.carried import say_begun, say_stopped
from worker.cli.output import count, counts, plain, print_json, say
from worker.cli.session import leave_on_hangup, stop_on_interrupt, with_context
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.frozen import FrozenSelection, freeze
from worker.operations.hold import HoldResult, follow
from worker.operations.hold import hold as hold_them
from worker.operations.operator import Verb
from worker.operations.selection import Selection
from worker.operations.step import Step

_NAMED = 20


@click.command()
@options.selection
@options.signed
@click.option("--no-wait", is_flag=True, help="Do not wait for attempts that are under way.")
@options.dry_run
@options.as_json
def hold(selection: Selection, by: str | None, why: str, no_wait: bool, dry_run: bool, as_json: bool) -> None:
    """Keep groups from being closed: those named, or all that match the filters. Needs --why.

    A held group is not called, whatever comes, until `closer release`. Events for it are remembered. A group
    that no event has named yet can be held beforehand. An attempt that is under way cannot be taken back:
    this waits until it has ended, and tells whether the hold came in time.

    \b
    Examples:
      closer hold sg_123 --why 'trailer 42 is not complete'
      closer hold --source wms-leeds --state queued --why 'wrong cages, ask Anna'
    """

    async def work(context: OperatorContext) -> HoldResult | None:
        frozen = await freeze(context, Verb.HOLD, selection, why)
        if dry_run:
            _tell_dry_run(frozen, as_json)
            return None
        stop = stop_on_interrupt()
        begun = partial(say_begun, verb=Verb.HOLD, size=len(frozen.eligible), detach=False)
        result = await hold_them(context, frozen, BulkOptions(why, stop=stop, begun=begun, leave=leave_on_hangup()))
        if not no_wait:
            await _wait(context, result, stop)
        return result

    result = with_context(work, by=by)
    if result is not None:
        _tell(result, as_json)
        sys.exit(1 if result.too_late or result.stopped or (result.pending and not no_wait) else 0)


async def _wait(context: OperatorContext, result: HoldResult, stop: asyncio.Event) -> None:
    if result.pending:
        groups = count(len(result.pending), "group")
        say(f"An attempt is under way for {groups}: {result.longest_wait_s:.0f} s at most …")
        await follow(context, result, stop)


def _tell_dry_run(frozen: FrozenSelection, as_json: bool) -> None:
    if as_json:
        shown = {"matched": frozen.matched, "held": 0, "skipped": frozen.skipped, "dry_run": True}
        print_json(shown | {"eligible": len(frozen.eligible)})
        return
    click.echo(f"{frozen.matched:,} match; {len(frozen.eligible):,} of them would be held.")
    if frozen.skipped:
        click.echo(f"Not the others: {counts(frozen.skipped)}.")
    click.echo("Nothing was changed: this was a dry run.")


def _tell(result: HoldResult, as_json: bool) -> None:
    if as_json:
        print_json(result.as_json())
    elif result.matched:
        click.echo(f"Held {result.held:,} of {result.matched:,} that match. Nobody calls them until they are released.")
    else:
        click.echo("Nothing matches; nothing was changed.")
    if result.skipped and not as_json:
        click.echo(f"Not the others: {counts(dict(result.skipped))}.")
    for reference, one in result.already.items():
        say(plain(phrase.held(reference, one)))
    if result.pending:
        look = phrase.command(Step(Verb.SHOW, Selection(tuple(result.pending)[:1])))
        say(
            f"PENDING: an attempt is still under way for {count(len(result.pending), 'group')}, for "
            f"{result.longest_wait_s:.0f} s at most. It may still close them. See: {look}"
        )
    if result.stopped and result.action:
        say_stopped(result.action)
    if result.too_late:
        _tell_too_late(result.too_late)


def _tell_too_late(references: list[str]) -> None:
    click.secho(f"TOO LATE: {count(len(references), 'group')} closed already:", fg="red", bold=True, err=True)
    for reference in references[:_NAMED]:
        say(f"  {plain(reference)}")
    if references[_NAMED:]:
        say(f"  and {len(references) - _NAMED} more")
