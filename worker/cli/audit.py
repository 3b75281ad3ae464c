"""`closer audit`: tells who did what, when and why."""

from __future__ import annotations

import click

from tasks.ledger.audit import AuditEntry
from tasks.ledger.values import Unreadable
from worker.cli import options, phrase
from worker.cli.audit_export import export
from worker.cli.output import clock, counts, facts, print_json_lines, say, styled
from worker.cli.output import show as print_page
from worker.cli.session import with_context
from worker.operations import audit as auditing
from worker.operations.context import OperatorContext
from worker.operations.moment import Moment


@click.group(invoke_without_command=True)
@click.option("--by", metavar="NAME", help="Only what this operator did.")
@click.option(
    "--action",
    metavar="ACTION",
    help="Only this, as the audit words it: requeue, pause, …",
)
@click.option("--since", type=options.Time(), metavar="TIME", help="Since then: 2h, 1d, 03:00.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The newest so many.")
@options.as_json
@click.pass_context
def audit(
    ctx: click.Context, by: str | None, action: str | None, since: Moment | None, limit: int, as_json: bool
) -> None:
    """Show every action of every operator, the newest at the end.

    Nothing removes one but `closer audit export --remove`, which is an entry itself.

    \b
    Example:
      closer audit --since 1d
    """
    if ctx.invoked_subcommand is None:
        _show(by, action, since, limit, as_json=as_json)


def _show(by: str | None, action: str | None, since: Moment | None, limit: int, *, as_json: bool) -> None:
    found, foreign = with_context(lambda context: _entries(context, by, action, since, limit))
    for one in foreign:
        say(f"closer: {one.name} in the audit was not written by closer; find out what else writes there.")
    if as_json:
        print_json_lines(map(phrase.audited, found))
    elif not found:
        say("No operator has done anything yet." if not (by or action or since) else "Nothing matches.")
    else:
        _print(found)


async def _entries(
    context: OperatorContext, by: str | None, action: str | None, since: Moment | None, limit: int
) -> tuple[list[AuditEntry], list[Unreadable]]:
    """Return the entries that match, oldest first, and those that closer did not write."""
    found: list[AuditEntry] = []
    foreign: list[Unreadable] = []
    since_ms = since.ms(await context.now_ms()) if since else 0
    async for entry in auditing.entries(context, since_ms=since_ms):
        if isinstance(entry, Unreadable):
            foreign.append(entry)
        elif by in (None, entry.action.name) and action in (None, entry.action.action):
            found.append(entry)
        if len(found) == limit:
            break
    return found[::-1], foreign


def _print(found: list[AuditEntry]) -> None:
    grid = facts()
    for entry in found:
        action = entry.action
        text = styled(f"{action.name}: {action.action} {phrase.chosen(action)}".rstrip(), "bold")
        result = f"changed {entry.changed:,} of {entry.matched:,}"
        if entry.skipped:
            result += f" (not: {counts(entry.skipped)})"
        if entry.unfinished:
            result += f"; {entry.unfinished:,} not touched: interrupted, or still going on"
        text.append("\n").append_text(styled(result))
        if action.why:
            text.append("\n").append_text(styled(f"why: {action.why}", "dim"))
        grid.add_row(clock(entry.at), text)
    print_page(grid)


audit.add_command(export)
