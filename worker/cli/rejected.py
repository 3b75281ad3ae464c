"""`closer rejected`: commands about rejected events."""

from __future__ import annotations

import shlex

import click

from tasks.history import iso
from tasks.ledger.dead_letter import DeadLetter
from worker.cli import options
from worker.cli.output import clock, count, plain, print_json, print_json_lines, say, styled, table
from worker.cli.output import show as print_page
from worker.cli.rejected_bulk import discard, export
from worker.cli.replay import replay
from worker.cli.session import with_context
from worker.operations import dead_letters
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_groups import groups
from worker.operations.dead_letters import by_id


@click.group()
def rejected() -> None:
    """Rejected events: look at them, correct and replay them, or discard them."""


@rejected.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many at most.")
@click.option("--groups", "grouped", is_flag=True, help="Count them by what is wrong and by type.")
@options.as_json
def list_(limit: int, grouped: bool, as_json: bool) -> None:
    """List rejected events, newest first; or count them in groups.

    \b
    Examples:
      closer rejected list
      closer rejected list --groups
    """
    if grouped:
        _list_groups(limit, as_json=as_json)
        return
    found, more = with_context(lambda context: _newest(context, limit))
    if as_json:
        print_json_lines(one.as_json() for one in found)
    elif not found:
        say("No event was rejected.")
    else:
        rows = table("when (UTC)", "id", ">times", "what is wrong")
        for one in found:
            problem = styled("; ".join(one.problems)[:200])
            rows.add_row(clock(one.at), one.rejected_id, f"{one.times:,}", problem)
        rows.columns[0].no_wrap, rows.columns[3].no_wrap = True, False
        print_page(rows)
    if more:
        say(f"There are more than {limit:,}. To count them by what is wrong: closer rejected list --groups")


def _list_groups(limit: int, *, as_json: bool) -> None:
    found = with_context(groups)
    if as_json:
        print_json_lines(group.as_json() for group in found[:limit])
    elif not found:
        say("No event was rejected.")
    else:
        rows = table(">kept", ">times", "last (UTC)", "newest", "type", "what is wrong")
        for group in found[:limit]:
            rows.add_row(
                f"{group.letters:,}", f"{group.events:,}", clock(iso(group.last_ms)), group.newest,
                styled(group.type or "-"), styled(group.problem[:200]),
            )  # fmt: skip
        rows.columns[5].no_wrap = False
        print_page(rows)


async def _newest(context: OperatorContext, limit: int) -> tuple[list[DeadLetter], bool]:
    """Return the newest rejected events, and whether there are more."""
    found: list[DeadLetter] = []
    async for one in dead_letters.newest(context):
        if len(found) == limit:
            return found, True
        found.append(one)
    return found, False


@rejected.command()
@click.argument("rejected_id", metavar="ID")
@options.as_json
def show(rejected_id: str, as_json: bool) -> None:
    """Show one rejected event: what is wrong with it, and its bytes.

    \b
    Example:
      closer rejected show 1767225600000-0
    """
    (one,) = with_context(lambda context: by_id(context, (rejected_id,)))
    if as_json:
        print_json(one.as_json())
        return
    click.echo(f"{one.rejected_id}, {clock(one.at)} UTC, {count(len(one.body), 'byte')}, origin {plain(one.origin)}")
    if one.times > 1:
        click.echo(f"  came {one.times:,} times, last at {clock(iso(one.last_ms))} UTC")
    for problem in one.problems:
        click.echo(f"  wrong: {plain(problem)}")
    click.echo(plain(one.body.decode("utf-8", "backslashreplace")))
    click.echo("\n" + plain(_next(one)))


def _next(one: DeadLetter) -> str:
    """Return what to do: a type is accepted or not; everything else is corrected."""
    command = f"closer rejected replay {one.rejected_id}"
    accept = "" if one.refused_type is None else f" --accept-type {shlex.quote(one.refused_type)}"
    if one.subject_unused:
        means = "its type means complete and the subject" if accept else "the subject"
        return f"If {means} names its group: {command}{accept} --use-subject"
    if accept:
        return f"If its type means complete: {command}{accept}"
    return f"Correct it: {command} --edit, or --set reference=…"


for command in (discard, export, replay):
    rejected.add_command(command)
