"""`closer audit`: who did what, when, and why."""

from __future__ import annotations

import click

from worker.cli import options
from worker.cli.output import clock, counts, facts, print_json_lines, say, styled
from worker.cli.output import show as print_page
from worker.cli.session import with_context
from worker.operations import audit as auditing
from worker.operations.audit import Entry
from worker.operations.context import OperatorContext


@click.command()
@click.option("--by", metavar="NAME", help="Only what this operator did.")
@click.option(
    "--action", metavar="ACTION", help="Only this: requeue, discard, pause, resume, verify, replay, move-api."
)
@click.option(
    "--since", "since_ms", type=options.Moment(), default=0, metavar="TIME", help="Since then: 2h, 1d, 03:00."
)
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The newest so many.")
@options.as_json
def audit(by: str | None, action: str | None, since_ms: int, limit: int, as_json: bool) -> None:
    """Every action of every operator, the newest at the end. Nothing ever removes one.

    \b
    Example:
      closer audit --since 1d
    """
    found = with_context(lambda context: _entries(context, by, action, since_ms, limit))
    if as_json:
        print_json_lines(entry.as_json() for entry in found)
    elif not found:
        say("No operator has done anything yet." if not (by or action or since_ms) else "Nothing matches.")
    else:
        _print(found)


async def _entries(
    context: OperatorContext, by: str | None, action: str | None, since_ms: int, limit: int
) -> list[Entry]:
    found: list[Entry] = []
    async for entry in auditing.entries(context, since_ms=since_ms):
        if by in (None, entry.action.by) and action in (None, entry.action.what):
            found.append(entry)
        if len(found) == limit:
            break
    return found[::-1]


def _print(found: list[Entry]) -> None:
    grid = facts()
    for entry in found:
        action = entry.action
        text = styled(f"{action.by}: {action.what} {action.chosen}".rstrip(), "bold")
        result = f"changed {entry.changed:,} of {entry.matched:,}"
        if entry.skipped:
            result += f" (not: {counts(entry.skipped)})"
        if entry.unfinished:
            result += f"; interrupted, {entry.unfinished:,} not touched"
        text.append("\n").append_text(styled(result))
        if action.why:
            text.append("\n").append_text(styled(f"why: {action.why}", "dim"))
        grid.add_row(clock(entry.at), text)
    print_page(grid)
