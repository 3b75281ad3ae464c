"""`closer rejected`: events that could not be read."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from tasks.errors import CloserError
from worker.cli import options
from worker.cli.output import clock, count, plain, print_json, print_json_lines, say, styled, table
from worker.cli.output import show as print_page
from worker.cli.session import at_desk, operator
from worker.operations import rejected as rejects
from worker.operations.desk import Desk
from worker.operations.pace import Manner
from worker.operations.rejected import Correct, Rejected, Replayed

_ID = click.argument("ids", nargs=-1, required=True, metavar="ID...")


@click.group()
def rejected() -> None:
    """Events that could not be read: look at them, correct and replay them, or discard them."""


@rejected.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many at most.")
@options.as_json
def list_(limit: int, as_json: bool) -> None:
    """Rejected events, newest first.

    \b
    Example:
      closer rejected list
    """
    found = at_desk(lambda desk: _newest(desk, limit))
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


async def _newest(desk: Desk, limit: int) -> list[Rejected]:
    found = []
    async for one in rejects.newest(desk):
        found.append(one)
        if len(found) == limit:
            break
    return found


@rejected.command()
@click.argument("rejected_id", metavar="ID")
@options.as_json
def show(rejected_id: str, as_json: bool) -> None:
    """One rejected event: what is wrong with it, and its bytes.

    \b
    Example:
      closer rejected show 1767225600000-0
    """
    (one,) = at_desk(lambda desk: _find(desk, [rejected_id]))
    if as_json:
        print_json(one.as_json())
        return
    click.echo(f"{one.rejected_id}, {clock(one.at)} UTC, {count(len(one.body), 'byte')}, origin {plain(one.origin)}")
    for problem in one.problems:
        click.echo(f"  wrong: {plain(problem)}")
    click.echo(plain(one.body.decode("utf-8", "backslashreplace")))
    click.echo(f"\nCorrect it: closer rejected replay {one.rejected_id} --edit, or --set reference=…")


@rejected.command()
@_ID
@click.option("--set", "fields", multiple=True, metavar="FIELD=VALUE", help="Put this in first; a path like data.x.")
@click.option("--edit", is_flag=True, help="Correct each in $EDITOR first.")
@options.signed(why_needed=False)
@options.as_json
def replay(ids: tuple[str, ...], fields: tuple[str, ...], edit: bool, by: str | None, why: str, as_json: bool) -> None:
    """Read events again, after a correction, and receive them.

    \b
    Examples:
      closer rejected replay 1767225600000-0 --set reference=sg_123 --why 'typo in the WMS'
      closer rejected replay 1767225600000-0 --edit
    """
    given = [_correction(field) for field in fields] + ([_edit] if edit else [])

    async def work(desk: Desk) -> Replayed:
        chosen = await _find(desk, ids)
        manner = Manner(operator(by, desk.settings), why)
        return await rejects.replay(desk, chosen, manner, rejects.corrections(given))

    result = at_desk(work)
    if as_json:
        print_json(result.as_json())
    else:
        words = ", ".join(f"{number} {word}" for word, number in result.received.items())
        click.echo(
            f"Replayed {result.received.total()} of {count(result.matched, 'event')}"
            + (f": {words}." if words else ".")
        )
    for rejected_id, problems in result.still_wrong.items():
        say(plain(f"{rejected_id} is still wrong: {'; '.join(problems)}"))
    sys.exit(1 if result.still_wrong else 0)


@rejected.command()
@_ID
@options.signed(why_needed=True)
@options.as_json
def discard(ids: tuple[str, ...], by: str | None, why: str, as_json: bool) -> None:
    """Forget rejected events. Their bytes are gone then.

    \b
    Example:
      closer rejected discard 1767225600000-0 --why 'a test message'
    """

    async def work(desk: Desk) -> int:
        chosen = await _find(desk, ids)
        return await rejects.discard(desk, chosen, Manner(operator(by, desk.settings), why))

    gone = at_desk(work)
    if as_json:
        print_json({"matched": len(set(ids)), "discarded": gone})
    else:
        click.echo(f"Discarded {count(gone, 'rejected event')}.")


async def _find(desk: Desk, ids: Sequence[str]) -> list[Rejected]:
    """The rejected events of these ids. Raises CloserError that names one that is none."""
    for rejected_id in ids:
        milliseconds, _, sequence = rejected_id.partition("-")
        if not (milliseconds.isdigit() and sequence.isdigit()):
            raise click.UsageError(f"{plain(rejected_id)} is no id: it looks like 1767225600000-0")
    found = await rejects.find(desk, list(dict.fromkeys(ids)))
    missing = set(ids) - {one.rejected_id for one in found}
    if missing:
        raise CloserError(f"no rejected event has the id {min(missing)}; see `closer rejected list`")
    return found


def _correction(field: str) -> Correct:
    path, equals, value = field.partition("=")
    if not (path and equals):
        raise click.BadParameter("write FIELD=VALUE, as in reference=sg_123", param_hint="--set")
    return rejects.set_field(path, value)


def _edit(body: bytes) -> bytes:
    edited = click.edit(body.decode("utf-8", "backslashreplace"), extension=".json")
    return body if edited is None else edited.strip().encode()
