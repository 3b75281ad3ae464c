"""Does what `closer requeue` and `closer discard` share: look up, ask, act, and print the result."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import click

from worker.cli import phrase
from worker.cli.carried import say_begun, say_goes_on, say_stopped, say_waits
from worker.cli.output import counts, plain, print_json, say
from worker.cli.progress import ProgressBar
from worker.cli.session import leave_on_hangup, stop_on_interrupt, with_context
from worker.operations import bulk
from worker.operations.bulk import DONE, BulkOptions, BulkResult
from worker.operations.context import OperatorContext
from worker.operations.frozen import FrozenSelection, freeze
from worker.operations.operator import Verb
from worker.operations.selection import Selection

_ASK_OVER = 20


@dataclass(frozen=True, slots=True)
class Given:
    """The arguments and options of the command. `rate`: items per second, None for no limit.

    `canary`, `canary_wait`: see `ActionOptions`; None where the command has no canary. `detach`: leave it to the fleet.
    """

    selection: Selection
    by: str | None
    why: str
    rate: float | None
    detach: bool
    dry_run: bool
    yes: bool
    as_json: bool
    canary: int | None = None
    canary_wait: float = 0.0


Work = Callable[[OperatorContext, FrozenSelection, BulkOptions], Awaitable[BulkResult]]


def act(verb: Verb, work: Work, given: Given) -> None:
    """Do `work` on the chosen closures, and end the process with an exit code.

    The code is 1 if the work was stopped, or if references were given and none of them has changed; else it is 0, also
    where it is left to the fleet. Above 20 closures it asks first, unless `--yes` is given or stdin is not a terminal.
    """

    async def in_context(context: OperatorContext) -> BulkResult | None:
        frozen = await freeze(context, verb, given.selection, given.why)
        if given.dry_run:
            _tell_dry_run(frozen, given.as_json)
            return None
        if len(frozen.eligible) > _ASK_OVER and not given.yes and sys.stdin.isatty():
            click.confirm(f"{verb.capitalize()} {len(frozen.eligible):,} failed closures?", abort=True, err=True)
        with ProgressBar(len(frozen.eligible), verb) as bar:
            done = await work(context, frozen, _how(given, verb, len(frozen.eligible), bar))
        if done.goes_on:
            await say_goes_on(context, done.action)
        return done

    result = with_context(in_context, by=given.by)
    if result is not None:
        _tell(result, given.as_json)
        nothing = given.selection.references and not result.changed and not result.goes_on
        sys.exit(1 if result.stopped or nothing else 0)


def _how(given: Given, verb: Verb, size: int, bar: ProgressBar) -> BulkOptions:
    return BulkOptions(
        given.why, given.rate or 0.0, stop_on_interrupt(), bar.advance, canary=given.canary or 0,
        canary_wait_s=given.canary_wait, detach=given.detach, leave=leave_on_hangup(), waits=say_waits,
        begun=lambda action_id: say_begun(action_id, verb, size, detach=given.detach),
    )  # fmt: skip


def _tell_dry_run(frozen: FrozenSelection, as_json: bool) -> None:
    if as_json:
        print_json(bulk.dry_run(frozen))
        return
    click.echo(f"{frozen.matched:,} match; {len(frozen.eligible):,} of them would be {DONE[frozen.verb]}.")
    if frozen.skipped:
        click.echo(f"Not the others, for only failed closures can be: {counts(frozen.skipped)}.")
    click.echo("Nothing was changed: this was a dry run.")


def _tell(result: BulkResult, as_json: bool) -> None:
    if as_json:
        print_json(result.as_json())
    elif result.matched:
        so_far = " so far" if result.goes_on else ""
        click.echo(f"{DONE[result.verb].capitalize()} {result.changed:,} of {result.matched:,} that match{so_far}.")
        if result.skipped:
            click.echo(f"Not the others: {counts(dict(result.skipped))}.")
    else:
        click.echo("Nothing matches; nothing was changed.")
    for reference, hold in result.holds.items():
        say(plain(phrase.held(reference, hold)))
    if result.stopped and result.action:
        say_stopped(result.action)
