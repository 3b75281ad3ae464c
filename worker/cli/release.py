"""`closer release`: ends holds."""

from __future__ import annotations

import sys
from functools import partial

import click

from worker.cli import options
from worker.cli.carried import say_begun, say_goes_on, say_stopped
from worker.cli.output import count, counts, plain, print_json, say
from worker.cli.session import leave_on_hangup, stop_on_interrupt, with_context
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.frozen import FrozenSelection, freeze
from worker.operations.hold import ReleaseResult
from worker.operations.hold import release as release_them
from worker.operations.operator import Verb
from worker.operations.selection import Selection

_ASK_OVER = 20
_NAMED = 20


@click.command()
@options.selection
@options.signed
@options.rate
@options.detach
@options.dry_run
@options.yes
@options.as_json
def release(
    selection: Selection,
    by: str | None,
    why: str,
    rate: float | None,
    detach: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """End holds: of the groups named, or of all that match the filters. Needs --why.

    A closure that was queued or waited for a retry is queued at once, with the time to its deadline that it
    had left, and a minute at least. A failed one is failed again, unless an event came for it meanwhile. One
    that no event has named is forgotten, and is not called.

    \b
    Examples:
      closer release sg_123 --why 'trailer 42 is complete now'
      closer release --state held --since 1h --why 'checked with Anna'
    """

    async def work(context: OperatorContext) -> ReleaseResult | None:
        frozen = await freeze(context, Verb.RELEASE, selection, why)
        if dry_run:
            _tell_dry_run(frozen, as_json)
            return None
        if len(frozen.eligible) > _ASK_OVER and not yes and sys.stdin.isatty():
            click.confirm(f"Release {len(frozen.eligible):,} groups?", abort=True, err=True)
        begun = partial(say_begun, verb=Verb.RELEASE, size=len(frozen.eligible), detach=detach)
        how = BulkOptions(why, rate or 0.0, stop_on_interrupt(), begun=begun, detach=detach, leave=leave_on_hangup())
        done = await release_them(context, frozen, how)
        if done.action and done.action.is_open:
            await say_goes_on(context, done.action)
        return done

    result = with_context(work, by=by)
    if result is not None:
        _tell(result, as_json)
        sys.exit(1 if result.stopped or (selection.references and not result.changed and not result.goes_on) else 0)


def _tell_dry_run(frozen: FrozenSelection, as_json: bool) -> None:
    if as_json:
        shown = {"matched": frozen.matched, "released": 0, "skipped": frozen.skipped, "dry_run": True}
        print_json(shown | {"eligible": len(frozen.eligible)})
        return
    click.echo(f"{frozen.matched:,} match; {len(frozen.eligible):,} of them would be released, if somebody holds them.")
    click.echo("Nothing was changed: this was a dry run.")


def _tell(result: ReleaseResult, as_json: bool) -> None:
    if as_json:
        print_json(result.as_json())
    elif not result.matched:
        click.echo("Nothing matches; nothing was changed.")
    else:
        click.echo(f"Released {result.changed:,} of {result.matched:,} that match.")
        if result.forgotten:
            click.echo(
                f"No event had come for {count(result.forgotten, 'of them', 'of them')}: nothing is called for those."
            )
        if result.skipped:
            click.echo(f"Not the others: {counts(dict(result.skipped))}.")
    if result.unreadable:
        named = ", ".join(result.unreadable[:_NAMED]) + (" …" if result.unreadable[_NAMED:] else "")
        say(plain(f"Their records are damaged, so they are not queued; publish them if they must be closed: {named}"))
    if result.stopped and result.action:
        say_stopped(result.action)
