"""`closer actions`: bulk actions, those that go on and those that have ended."""

from __future__ import annotations

import sys

import click

from tasks.ledger.bulk_action import BulkAction, BulkState
from tasks.ledger.values import Unreadable
from worker.cli import options
from worker.cli.action_screens import action_page, action_rows
from worker.cli.carried import say_begun, say_goes_on, say_stopped, say_waits
from worker.cli.output import count, counts, plain, print_json, print_json_lines, say
from worker.cli.output import show as print_page
from worker.cli.progress import ProgressBar
from worker.cli.session import leave_on_hangup, stop_on_interrupt, with_context
from worker.operations import actions as doing
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext

_ITEMS = 20

identity = click.argument("action_id", metavar="ID")


@click.group()
def actions() -> None:
    """Bulk actions: re-queues, discards, holds and releases, and what recalls them.

    Each is stored, so it goes on when its terminal is gone.
    """


@actions.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The newest so many.")
@options.as_json
def list_(limit: int, as_json: bool) -> None:
    """List bulk actions, the newest first; with --json one object a line.

    \b
    Example:
      closer actions list --limit 5
    """

    async def work(context: OperatorContext) -> list[BulkAction | Unreadable]:
        return [action async for action in doing.newest(context, limit)]

    found = with_context(work)
    ours = [action for action in found if isinstance(action, BulkAction)]
    for damaged in (action for action in found if isinstance(action, Unreadable)):
        say(plain(f"closer: what the store holds of the action {damaged.name} is damaged."))
    if as_json:
        print_json_lines(action.as_json() for action in ours)
    elif ours:
        print_page(action_rows(ours))
    else:
        say("There are no bulk actions.")


@actions.command()
@identity
@click.option("--items", type=click.IntRange(min=0), default=_ITEMS, show_default=True,
              help="Name so many of those that were not done.")  # fmt: skip
@options.as_json
def show(action_id: str, items: int, as_json: bool) -> None:
    """Show one bulk action: how far it is, what became of its groups, and which were not done.

    \b
    Example:
      closer actions show 1hk3v9abc
    """

    async def work(context: OperatorContext) -> tuple[BulkAction, dict[str, str]]:
        action = await doing.read(context, action_id)
        return action, await doing.not_done(context, action_id, items) if items else {}

    action, not_done = with_context(work)
    if as_json:
        print_json(action.as_json() | {"not_done": not_done})
    else:
        print_page(action_page(action, not_done))


@actions.command()
@identity
@options.signed
@options.as_json
def stop(action_id: str, by: str | None, why: str, as_json: bool) -> None:
    """Stop a bulk action until it is resumed. What it has changed stays so.

    \b
    Example:
      closer actions stop 1hk3v9abc --why 'wrong filter'
    """
    action = with_context(lambda context: doing.stop(context, action_id, why), by=by)
    if as_json:
        print_json(action.as_json())
    else:
        click.echo(f"Stopped {action.id}: {action.changed:,} were changed, {action.left:,} were not touched.")


@actions.command()
@identity
@options.signed
@options.detach
@options.as_json
def resume(action_id: str, by: str | None, why: str, detach: bool, as_json: bool) -> None:
    """Have a stopped bulk action go on, and wait for its end. A canary that stopped it is not waited for again.

    \b
    Example:
      closer actions resume 1hk3v9abc --detach
    """

    async def work(context: OperatorContext) -> BulkAction:
        left = (await doing.read(context, action_id)).left
        with ProgressBar(left, "resume") as bar:
            action = await doing.resume(context, action_id, _how(why, bar, "resume", left, detach=detach))
        if action.is_open:
            await say_goes_on(context, action)
        return action

    action = with_context(work, by=by)
    if as_json:
        print_json(action.as_json())
    else:
        click.echo(f"{action.verb.capitalize()} {action.id}: changed {action.changed:,} of {action.matched:,}.")
    if action.state is BulkState.STOPPED:
        say_stopped(action)
    sys.exit(1 if action.state in (BulkState.STOPPED, BulkState.RECALLED) else 0)


@actions.command()
@identity
@options.signed
@options.detach
@options.as_json
def recall(action_id: str, by: str | None, why: str, detach: bool, as_json: bool) -> None:
    """End a re-queue or a discard, and take back what it has changed.

    Groups that were not called since, and discarded ones, are failed again as they were. Those that are too
    late are named: they were called, or an event came for them. One that is being attempted returns if that
    ends without a call; this waits for it.

    \b
    Example:
      closer actions recall 1hk3v9abc --why 'the wrong ones'
    """

    async def work(context: OperatorContext) -> tuple[BulkAction, dict[str, str]]:
        changed = (await doing.read(context, action_id)).changed
        with ProgressBar(changed, "recall") as bar:
            action = await doing.recall(context, action_id, _how(why, bar, "recall", changed, detach=detach))
        if action.is_open:
            await say_goes_on(context, action)
        return action, await doing.not_done(context, action.id, _ITEMS)

    action, late = with_context(work, by=by)
    _tell_recall(action, late, as_json)
    sys.exit(1 if action.state is BulkState.STOPPED or (action.matched and not action.changed and not detach) else 0)


def _tell_recall(action: BulkAction, late: dict[str, str], as_json: bool) -> None:
    if as_json:
        done = {"id": action.id, "recalls": action.of, "matched": action.matched, "recalled": action.changed}
        print_json(done | {"skipped": action.untouched, "pending": action.marked, "state": action.state.value})
        return
    click.echo(f"Recalled {action.changed:,} of {action.matched:,} that were changed.")
    if action.not_done:
        click.echo(f"Not the others: {counts(dict(action.not_done))}.")
    for reference, why in late.items():
        say(plain(f"  {reference}: {why}"))
    if action.not_done and sum(action.not_done.values()) > len(late):
        say(
            f"  and {count(sum(action.not_done.values()) - len(late), 'more', 'more')}: closer actions show {action.id}"
        )
    if action.state is BulkState.STOPPED:
        say_stopped(action)


def _how(why: str, bar: ProgressBar, what: str, size: int, *, detach: bool) -> BulkOptions:
    return BulkOptions(
        why, stop=stop_on_interrupt(), progress=bar.advance, detach=detach, leave=leave_on_hangup(), waits=say_waits,
        begun=lambda action_id: say_begun(action_id, what, size, detach=detach),
    )  # fmt: skip
