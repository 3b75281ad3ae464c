"""Does what `closer requeue` and `closer discard` share: look up, ask, act, and print the result."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import click

from worker.cli import phrase
from worker.cli.api_says import tell_what_it_says
from worker.cli.carried import say_begun, say_goes_on, say_stopped, say_waits
from worker.cli.output import counts, plain, print_json, say
from worker.cli.progress import ProgressBar
from worker.cli.session import leave_on_hangup, stop_on_interrupt, with_context
from worker.operations import bulk
from worker.operations.ask_first import ask_first
from worker.operations.bulk import DONE, BulkOptions, BulkResult
from worker.operations.context import OperatorContext
from worker.operations.frozen import FrozenSelection, freeze
from worker.operations.operator import Verb
from worker.operations.selection import Selection

_ASK_OVER = 20


@dataclass(frozen=True, slots=True)
class Given:
    """The arguments and options of the command. `rate`: items per second, None for no limit. `lock`: as of `requeue`.

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
    ask_api: bool
    while_shut: bool
    lock: bool = False
    canary: int | None = None
    canary_wait: float = 0.0


Work = Callable[[OperatorContext, FrozenSelection, BulkOptions], Awaitable[BulkResult]]


def act(verb: Verb, work: Work, given: Given) -> None:
    """Do `work` on the chosen closures, and end the process with an exit code.

    The code is 1 if the work was stopped, or if references were given and none of them has changed; else it is 0, also
    where it is left to the fleet. A dry run ends with 1 if the API was not asked for all. Above 20
    closures it asks first, unless `--yes` is given or stdin is not a terminal.
    """

    async def in_context(context: OperatorContext) -> BulkResult | int:
        frozen = await freeze(context, verb, given.selection, given.why)
        if given.dry_run:
            return await _dry_run(context, frozen, given)
        if len(frozen.eligible) > _ASK_OVER and not given.yes and sys.stdin.isatty():
            click.confirm(f"{verb.capitalize()} {len(frozen.eligible):,} failed closures?", abort=True, err=True)
        with ProgressBar(len(frozen.eligible), verb) as bar:
            done = await work(context, frozen, _how(given, verb, len(frozen.eligible), bar))
        if done.goes_on:
            await say_goes_on(context, done.action)
        return done

    result = with_context(in_context, by=given.by)
    if isinstance(result, int):
        sys.exit(result)
    _tell(result, given.as_json)
    nothing = given.selection.references and not (result.changed or result.recorded or result.goes_on)
    sys.exit(1 if result.stopped or nothing else 0)


def _how(given: Given, verb: Verb, size: int, bar: ProgressBar) -> BulkOptions:
    return BulkOptions(
        given.why, given.rate or 0.0, stop_on_interrupt(), bar.advance, canary=given.canary or 0,
        canary_wait_s=given.canary_wait, detach=given.detach, leave=leave_on_hangup(), waits=say_waits,
        ask_api=given.ask_api, while_shut=given.while_shut,
        begun=lambda action_id: say_begun(action_id, verb, size, detach=given.detach),
    )  # fmt: skip


async def _dry_run(context: OperatorContext, frozen: FrozenSelection, given: Given) -> int:
    """Tell what would be done, and return the exit code."""
    says = None
    if given.ask_api:
        how = BulkOptions(given.why, given.rate or 0.0, stop_on_interrupt(), while_shut=given.while_shut)
        says = await ask_first(context, frozen, how)
    if given.as_json:
        print_json(bulk.dry_run(frozen) | ({"api": says.as_json()} if says else {}))
    else:
        _tell_dry_run(frozen)
        if says:
            tell_what_it_says(says, frozen.verb, lock=given.lock)
        click.echo("Nothing was changed: this was a dry run.")
    if says and says.ended:
        say(plain(f"Not all were asked for: {says.ended}. The same command again asks for all."))
    return 1 if says and says.ended else 0


def _tell_dry_run(frozen: FrozenSelection) -> None:
    click.echo(f"{frozen.matched:,} match; {len(frozen.eligible):,} of them would be {DONE[frozen.verb]}.")
    if frozen.skipped:
        click.echo(f"Not the others, for only failed closures can be: {counts(frozen.skipped)}.")


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
