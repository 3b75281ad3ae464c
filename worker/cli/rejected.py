"""`closer rejected`: commands about rejected events."""

from __future__ import annotations

import shlex

import click

from tasks.ledger.dead_letter import DeadLetter
from worker.cli import options
from worker.cli.output import clock, count, plain, print_json, print_json_lines, say, styled, table
from worker.cli.output import show as print_page
from worker.cli.replay import replay
from worker.cli.session import with_context
from worker.operations import dead_letters
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.dead_letters import by_id


@click.group()
def rejected() -> None:
    """Rejected events: look at them, correct and replay them, or discard them."""


@rejected.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many at most.")
@options.as_json
def list_(limit: int, as_json: bool) -> None:
    """List rejected events, newest first.

    \b
    Example:
      closer rejected list
    """
    found = with_context(lambda context: _newest(context, limit))
    if as_json:
        print_json_lines(one.as_json() for one in found)
    elif not found:
        say("No event was rejected.")
    else:
        rows = table("when (UTC)", "id", "what is wrong")
        for one in found:
            rows.add_row(clock(one.at), one.rejected_id, styled("; ".join(one.problems)[:200]))
        rows.columns[0].no_wrap, rows.columns[2].no_wrap = True, False
        print_page(rows)


async def _newest(context: OperatorContext, limit: int) -> list[DeadLetter]:
    found = []
    async for one in dead_letters.newest(context):
        found.append(one)
        if len(found) == limit:
            break
    return found


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


@rejected.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@options.signed
@options.as_json
def discard(ids: tuple[str, ...], by: str | None, why: str, as_json: bool) -> None:
    """Forget rejected events. Their bytes are gone then. Needs --why.

    \b
    Example:
      closer rejected discard 1767225600000-0 --why 'a test message'
    """

    gone = with_context(lambda context: dead_letters.discard(context, ids, BulkOptions(why)), by=by)
    if as_json:
        print_json({"matched": len(set(ids)), "discarded": gone})
    else:
        click.echo(f"Discarded {count(gone, 'rejected event')}.")


rejected.add_command(replay)
